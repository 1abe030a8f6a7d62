/** What is known of missions, and what follows from it: pure, so that tree, status bar, chat and tests share it. */

import type { FileChange, MissionStatus, Receipt, Spent, TaskState } from "./protocol";

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
  /** Where its plan came from; empty where the Planner made it. */
  planFile: string;
  /** On models; undefined where none was asked. */
  spent: Spent | undefined;
  /** Seconds; 0 until the mission ended. */
  durationS: number;
  /** Files that an undo could not bring back. */
  unrestored: readonly string[];
  readonly tasks: Map<string, Task>;
  lastSequence: number;
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

/** What can be done about a task now. */
export function taskActions(mission: Mission, task: Task): TaskAction[] {
  if (!isOver(mission)) {
    return task.state === "running" ? ["stop"] : [];
  }
  if (task.state === "done") {
    return task.changes.size > 0 && mission.status !== "undone" && !mission.dryRun ? ["undo"] : [];
  }
  // Without a plan file a task has no place of its own: its mission is tried again.
  return [task.attempt === 0 && mission.planFile !== "" ? "run" : "retry"];
}

export type TaskAction = "run" | "retry" | "undo" | "stop";

/** Two changes of one path as one: a file that was created and then modified was created. */
export function joined(first: FileChange | undefined, second: FileChange): FileChange {
  return first !== undefined && second.kind === "modify" ? first : second;
}
