/** Missions as a fold over the server's events: pure, so that tree, status bar and tests share it. */

import type { FileChange, MissionEvent, MissionStatus, PlannedTask, Receipt, TaskState } from "./protocol";

/** A task of a mission, as far as the events told. */
export interface Task {
  readonly id: string;
  readonly title: string;
  readonly steps: readonly string[];
  readonly depends: readonly string[];
  state: TaskState;
  attempt: number;
  reason: string;
  notes: readonly string[];
  receipt: Receipt | undefined;
  /** What the task changed and was not taken back, by path. */
  readonly changes: Map<string, FileChange>;
}

/** A mission, as far as the events told. */
export interface Mission {
  readonly id: string;
  text: string;
  title: string;
  status: MissionStatus;
  reason: string;
  dryRun: boolean;
  /** Seconds; 0 until the mission ended. */
  durationS: number;
  /** Files that an undo could not bring back. */
  unrestored: readonly string[];
  readonly tasks: Map<string, Task>;
  lastSequence: number;
}

/** The missions of this session, oldest first. Keeps the last `limit`; a running one is kept in any case. */
export class MissionBook {
  private readonly missions = new Map<string, Mission>();

  constructor(private readonly limit = 20) {}

  /** Takes an event in. Returns its mission, or undefined where the event was seen before. */
  apply(event: MissionEvent): Mission | undefined {
    const mission = this.missions.get(event.missionId) ?? this.open(event.missionId);
    if (event.sequence <= mission.lastSequence) {
      return undefined;
    }
    mission.lastSequence = event.sequence;
    fold(mission, event);
    return mission;
  }

  get(id: string): Mission | undefined {
    return this.missions.get(id);
  }

  /** Oldest first. */
  all(): Mission[] {
    return [...this.missions.values()];
  }

  latest(): Mission | undefined {
    return this.all().at(-1);
  }

  /** The missions at work, oldest first. */
  running(): Mission[] {
    return this.all().filter((mission) => !isOver(mission));
  }

  /** Marks what was at work as cancelled: the server is gone, and nothing more will be heard of it. */
  abandon(reason: string): void {
    for (const mission of this.running()) {
      mission.status = "cancelled";
      mission.reason = reason;
      cancelUnfinished(mission);
    }
  }

  private open(id: string): Mission {
    const mission: Mission = {
      id,
      text: "",
      title: "",
      status: "planning",
      reason: "",
      dryRun: false,
      durationS: 0,
      unrestored: [],
      tasks: new Map(),
      lastSequence: 0,
    };
    this.missions.set(id, mission);
    for (const old of this.all().slice(0, -this.limit)) {
      if (isOver(old)) {
        this.missions.delete(old.id);
      }
    }
    return mission;
  }
}

/** Where the file of a change is now: the server leaves the new path empty where there is none. */
export function pathNow(change: FileChange): string {
  return change.newPath === undefined || change.newPath === "" ? change.path : change.newPath;
}

export function isOver(mission: Mission): boolean {
  return mission.status !== "planning" && mission.status !== "running";
}

/** Tasks that are done, and tasks in all. */
export function progress(mission: Mission): { done: number; total: number } {
  const tasks = [...mission.tasks.values()];
  return { done: tasks.filter((task) => task.state === "done").length, total: tasks.length };
}

/** What the mission changed, one entry a path, in the order of first change. */
export function filesChanged(mission: Mission): FileChange[] {
  const changes = new Map<string, FileChange>();
  for (const task of mission.tasks.values()) {
    for (const [path, change] of task.changes) {
      changes.set(path, joined(changes.get(path), change));
    }
  }
  return [...changes.values()];
}

/** What to call a mission: what the person typed, else its plan's title, else its id. */
export function label(mission: Mission): string {
  const text = mission.text.trim() || mission.title.trim() || mission.id;
  return text.replace(/\s+/g, " ");
}

function fold(mission: Mission, event: MissionEvent): void {
  switch (event.kind) {
    case "accepted":
      mission.text = event.text;
      mission.dryRun = event.dryRun ?? false;
      break;
    case "planned":
      mission.title = event.plan.title;
      mission.status = "running";
      replan(mission, event.plan.tasks);
      break;
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
    case "undone":
      mission.status = "undone";
      mission.unrestored = event.unrestored ?? [];
      break;
  }
}

/** What had not ended when its mission ended will not be carried out. */
function cancelUnfinished(mission: Mission): void {
  for (const task of mission.tasks.values()) {
    if (task.state === "pending" || task.state === "running") {
      task.state = "cancelled";
    }
  }
}

/** A plan may come again when it was changed while running: tasks that stay keep their standing. */
function replan(mission: Mission, planned: readonly PlannedTask[]): void {
  const before = new Map(mission.tasks);
  mission.tasks.clear();
  for (const task of planned) {
    const old = before.get(task.id);
    mission.tasks.set(task.id, {
      ...(old ?? newTask(task.id)),
      title: task.title,
      steps: (task.steps ?? []).map((step) => step.text),
      depends: task.depends ?? [],
      state: old?.state ?? task.state ?? "pending",
    });
  }
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

/** Two changes of one path as one: a file that was created and then modified was created. */
function joined(first: FileChange | undefined, second: FileChange): FileChange {
  return first !== undefined && second.kind === "modify" ? first : second;
}
