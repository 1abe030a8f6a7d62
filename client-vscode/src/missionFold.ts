/** Missions as a fold over the server's events. */

import { joined, pathNow, type Mission, type Task } from "./missions";
import type { FileChange, MissionEvent, MissionOverview, PlannedTask } from "./protocol";

/** A mission as an overview has it. */
export function fill(mission: Mission, overview: MissionOverview): void {
  const { text, status, reason, durationS, planFile = "" } = overview;
  Object.assign(mission, { text, status, reason, durationS, planFile });
  for (const { id, title, status: state, files, receipt, reason: why, notes } of overview.tasks) {
    const changes = new Map(files.map((path): [string, FileChange] => [path, { path, kind: "modify" }]));
    mission.tasks.set(id, { ...newTask(id), title, state, reason: why, notes, receipt: receipt ?? undefined, attempt: 1, changes });
  }
}

/** Takes an event in. */
export function fold(mission: Mission, event: MissionEvent): void {
  switch (event.kind) {
    case "accepted":
      mission.text = event.text;
      mission.dryRun = event.dryRun ?? false;
      mission.planFile = event.planFile ?? "";
      goOn(mission);
      break;
    case "planned":
      mission.title = event.plan.title;
      mission.status = "running";
      replan(mission, event.plan.tasks);
      break;
    case "taskDivided": {
      // The parts follow what they are parts of.
      const parts = event.parts.map((part) => ({ ...newTask(part.id), ...planned(part) }));
      const tasks = [...mission.tasks.values()].flatMap((task) => (task.id === event.taskId ? [task, ...parts] : [task]));
      mission.tasks.clear();
      for (const task of tasks) {
        mission.tasks.set(task.id, task);
      }
      break;
    }
    case "taskStarted": {
      const task = taskOf(mission, event.taskId);
      task.state = "running";
      task.attempt = event.attempt ?? 1;
      task.receipt = undefined;
      task.reason = "";
      break;
    }
    case "editsIntended":
      break;
    case "editApplied": {
      const task = taskOf(mission, event.taskId);
      for (const change of event.changes) {
        task.changes.set(change.path, joined(task.changes.get(change.path), change));
      }
      break;
    }
    case "editReverted": {
      const kept = new Set(event.unrestored ?? []);
      // Without a task's id, those of all tasks were taken back.
      const tasks = event.taskId === "" ? [...mission.tasks.values()] : [taskOf(mission, event.taskId)];
      for (const { changes } of tasks) {
        for (const change of [...changes.values()]) {
          if (!kept.has(change.path) && !kept.has(pathNow(change))) {
            changes.delete(change.path);
          }
        }
      }
      break;
    }
    case "review":
      taskOf(mission, event.taskId).receipt = event.receipt;
      break;
    case "taskFinished": {
      const task = taskOf(mission, event.taskId);
      task.state = event.state;
      task.reason = event.reason ?? "";
      task.notes = event.notes ?? [];
      break;
    }
    case "done":
      mission.status = event.status;
      mission.reason = event.reason ?? "";
      mission.durationS = event.durationS ?? 0;
      cancelUnfinished(mission);
      break;
    case "spent":
      mission.spent = event.spent;
      break;
    case "undone":
      mission.status = "undone";
      mission.unrestored = event.unrestored ?? [];
      break;
  }
}

/** A mission that its budget had stopped is accepted again: what was cancelled is to be done. */
function goOn(mission: Mission): void {
  mission.status = mission.tasks.size > 0 ? "running" : "planning";
  mission.reason = "";
  for (const task of mission.tasks.values()) {
    if (task.state === "cancelled") {
      task.state = "pending";
      task.reason = "";
    }
  }
}

/** What had not ended when its mission ended will not be carried out. */
export function cancelUnfinished(mission: Mission): void {
  for (const task of mission.tasks.values()) {
    if (task.state === "pending" || task.state === "running") {
      task.state = "cancelled";
    }
  }
}

/** A plan may come again when it was changed while running: tasks that stay keep their standing. */
function replan(mission: Mission, tasks: readonly PlannedTask[]): void {
  const before = new Map(mission.tasks);
  mission.tasks.clear();
  for (const task of tasks) {
    const old = before.get(task.id);
    mission.tasks.set(task.id, {
      ...(old ?? newTask(task.id)),
      ...planned(task),
      state: old?.state ?? task.state ?? "pending",
    });
  }
}

/** What a plan says of a task. */
function planned({ title, steps = [], depends = [] }: PlannedTask): Pick<Task, "title" | "steps" | "depends"> {
  return { title, steps: steps.map((step) => step.text), depends };
}

function taskOf(mission: Mission, id: string): Task {
  let task = mission.tasks.get(id);
  if (task === undefined) {
    task = newTask(id);
    mission.tasks.set(id, task);
  }
  return task;
}

function newTask(id: string): Task {
  return {
    id,
    title: id,
    steps: [],
    depends: [],
    state: "pending",
    attempt: 0,
    reason: "",
    notes: [],
    receipt: undefined,
    changes: new Map(),
  };
}
