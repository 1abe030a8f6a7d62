/** The missions of this session as a tree: tasks, what was checked, files changed. */

import * as vscode from "vscode";
import { fileOf } from "./changes";
import { counted, duration } from "./figures";
import type { MissionBook } from "./missionBook";
import { filesChanged, isOver, label, pathNow, progress, type Mission, type Task } from "./missions";
import type { CheckResult, FileChange, MissionStatus, TaskState } from "./protocol";

/** A row of the tree. */
export type Row =
  | { readonly kind: "mission"; readonly mission: Mission }
  | { readonly kind: "task"; readonly mission: Mission; readonly task: Task }
  | { readonly kind: "note"; readonly mission: Mission; readonly task: Task; readonly text: string }
  | { readonly kind: "check"; readonly mission: Mission; readonly task: Task; readonly check: CheckResult }
  | { readonly kind: "files"; readonly mission: Mission }
  | { readonly kind: "file"; readonly mission: Mission; readonly change: FileChange };

/** Redraws at most this often while events pour in. */
const REFRESH_MS = 100;

export class MissionTree implements vscode.TreeDataProvider<Row>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly book: MissionBook) {}

  /** Redraws soon: many events in a row cost one redraw. */
  refresh(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.changed.fire(undefined);
    }, REFRESH_MS);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
  }

  getChildren(row?: Row): Row[] {
    if (row === undefined) {
      return this.book
        .all()
        .reverse()
        .map((mission) => ({ kind: "mission", mission }));
    }
    const { mission } = row;
    switch (row.kind) {
      case "mission": {
        const rows: Row[] = [...mission.tasks.values()].map((task) => ({ kind: "task", mission, task }));
        return filesChanged(mission).length > 0 ? [...rows, { kind: "files", mission }] : rows;
      }
      case "task": {
        const { task } = row;
        return [
          ...[task.reason, ...task.notes].filter(Boolean).map((text): Row => ({ kind: "note", mission, task, text })),
          ...(task.receipt?.checks ?? []).map((check): Row => ({ kind: "check", mission, task, check })),
          ...[...task.changes.values()].map((change): Row => ({ kind: "file", mission, change })),
        ];
      }
      case "files":
        return filesChanged(mission).map((change) => ({ kind: "file", mission, change }));
      default:
        return [];
    }
  }

  getTreeItem(row: Row): vscode.TreeItem {
    switch (row.kind) {
      case "mission":
        return missionItem(row.mission, row.mission === this.book.latest());
      case "task":
        return taskItem(row.mission, row.task);
      case "note": {
        const item = new vscode.TreeItem(row.text);
        item.iconPath = new vscode.ThemeIcon("comment");
        item.tooltip = row.text;
        return item;
      }
      case "check":
        return checkItem(row.check);
      case "files": {
        const item = new vscode.TreeItem("Files changed", vscode.TreeItemCollapsibleState.Collapsed);
        item.id = `${row.mission.id}/files`;
        item.description = String(filesChanged(row.mission).length);
        item.iconPath = new vscode.ThemeIcon("files");
        return item;
      }
      case "file":
        return fileItem(row);
    }
  }
}

const STATE_ICONS: Record<TaskState | MissionStatus, readonly [icon: string, color?: string]> = {
  pending: ["circle-outline"],
  planning: ["loading~spin"],
  running: ["loading~spin"],
  done: ["pass", "testing.iconPassed"],
  failed: ["error", "testing.iconFailed"],
  cancelled: ["circle-slash", "testing.iconSkipped"],
  undone: ["discard", "testing.iconSkipped"],
};

const CHECK_ICONS: Record<CheckResult["status"], readonly [icon: string, color: string]> = {
  passed: ["pass", "testing.iconPassed"],
  failed: ["error", "testing.iconFailed"],
  unverified: ["question", "testing.iconSkipped"],
};

function icon([id, color]: readonly [string, string?]): vscode.ThemeIcon {
  return color === undefined ? new vscode.ThemeIcon(id) : new vscode.ThemeIcon(id, new vscode.ThemeColor(color));
}

function missionItem(mission: Mission, latest: boolean): vscode.TreeItem {
  const { Expanded, Collapsed } = vscode.TreeItemCollapsibleState;
  const item = new vscode.TreeItem(label(mission), latest ? Expanded : Collapsed);
  const files = filesChanged(mission).length;
  item.id = mission.id;
  item.iconPath = icon(STATE_ICONS[mission.status]);
  item.description = [
    missionStanding(mission),
    mission.dryRun ? "preview" : "",
    isOver(mission) && files > 0 && mission.status !== "undone" ? counted(files, "file") : "",
    mission.durationS > 0 ? duration(mission.durationS) : "",
  ]
    .filter(Boolean)
    .join(" · ");
  const restorable = files > 0 && mission.status !== "undone" && !mission.dryRun;
  item.contextValue = `mission.${mission.status}.${restorable ? "changed" : "same"}`;
  const tooltip = new vscode.MarkdownString();
  tooltip.appendText(mission.text || mission.title);
  for (const line of [mission.reason, ...mission.unrestored.map((path) => `Not restored: ${path}`)].filter(Boolean)) {
    tooltip.appendMarkdown("\n\n").appendText(line);
  }
  item.tooltip = tooltip.appendMarkdown("\n\n").appendText(`Mission ${mission.id}`);
  return item;
}

/** In words what the icon does not say clearly. */
function missionStanding(mission: Mission): string {
  const { done, total } = progress(mission);
  if (isOver(mission)) {
    return mission.status === "done" ? "" : mission.status;
  }
  return total === 0 ? "planning" : `${done}/${total}`;
}

function taskItem(mission: Mission, task: Task): vscode.TreeItem {
  const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
  const details = task.reason !== "" || task.notes.length > 0 || task.receipt !== undefined || task.changes.size > 0;
  const item = new vscode.TreeItem(task.title, details ? (task.state === "failed" ? Expanded : Collapsed) : None);
  // The state is part of the id: VS Code keeps the fold of an id, and a task that fails is to unfold.
  item.id = `${mission.id}/${task.id}/${task.state === "failed" ? "failed" : ""}`;
  item.iconPath = icon(STATE_ICONS[task.state]);
  item.description = [
    task.attempt > 1 ? `attempt ${task.attempt}` : "",
    task.changes.size > 0 ? counted(task.changes.size, "file") : "",
  ]
    .filter(Boolean)
    .join(" · ");
  const tooltip = new vscode.MarkdownString().appendText(`${task.id}: ${task.title}`);
  if (task.steps.length > 0) {
    tooltip.appendCodeblock(task.steps.join("\n"), "text");
  }
  if (task.depends.length > 0) {
    tooltip.appendMarkdown("\n\nAfter ").appendText(task.depends.join(", "));
  }
  item.tooltip = tooltip;
  return item;
}

function checkItem(check: CheckResult): vscode.TreeItem {
  const item = new vscode.TreeItem(check.name);
  item.iconPath = icon(CHECK_ICONS[check.status]);
  const { before = -1, after = 0 } = check;
  item.description = [
    check.status === "passed" ? "" : check.status,
    before < 0 ? "" : `${before === after ? "" : `${before} → `}${counted(after, "finding")}`,
    (check.durationS ?? 0) > 0 ? duration(check.durationS ?? 0) : "",
  ]
    .filter(Boolean)
    .join(" · ");
  const tooltip = new vscode.MarkdownString().appendText(`${check.name}: ${check.status}`);
  const text = [check.command ?? "", ...(check.details ?? [])].filter(Boolean).join("\n");
  item.tooltip = text === "" ? tooltip : tooltip.appendCodeblock(text, "text");
  return item;
}

function fileItem(row: Extract<Row, { kind: "file" }>): vscode.TreeItem {
  const { change } = row;
  const path = pathNow(change);
  const uri = fileOf(path);
  const item = uri === undefined ? new vscode.TreeItem(path) : new vscode.TreeItem(uri);
  item.iconPath = vscode.ThemeIcon.File;
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
  const what = change.kind === "modify" ? "" : change.kind === "rename" ? `was ${change.path}` : `${change.kind}d`;
  item.description = [folder, what].filter(Boolean).join(" · ");
  item.command = { command: "orchestrator.mission.openChange", title: "Show Change", arguments: [row] };
  return item;
}
