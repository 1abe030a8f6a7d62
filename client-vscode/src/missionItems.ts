/** The rows of the tree of missions, as VS Code shows them. */

import * as vscode from "vscode";
import { capitalised, counted, duration, spending } from "./figures";
import { filesChanged, isOver, label, pathNow, progress, taskActions, type Mission, type Task } from "./missions";
import type { MissionRow } from "./missionTree";
import { fileOf } from "./places";
import type { CheckResult, MissionStatus, RoleUse, TaskState } from "./protocol";

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

/** The group of agents. */
export function agentsItem(agents: Readonly<Record<string, RoleUse>>): vscode.TreeItem {
  const item = new vscode.TreeItem("Agents", vscode.TreeItemCollapsibleState.Collapsed);
  const active = Object.values(agents).reduce((sum, use) => sum + use.active, 0);
  item.id = "agents";
  item.description = active === 0 ? "idle" : `${active} at work`;
  item.iconPath = new vscode.ThemeIcon("organization");
  return item;
}

/** A role: how many of its agents are at work, and whether it is kept from failing on. */
export function agentItem(role: string, { active, limit, circuit }: RoleUse): vscode.TreeItem {
  const item = new vscode.TreeItem(capitalised(role));
  item.id = `agents/${role}`;
  item.description = [`${active} of ${limit}`, circuit === "closed" ? "" : `circuit ${circuit}`].filter(Boolean).join(" · ");
  item.iconPath =
    circuit !== "closed"
      ? icon(["debug-disconnect", "testing.iconFailed"])
      : active > 0
        ? icon(["loading~spin"])
        : icon(["circle-outline"]);
  item.tooltip = `${active} at work, ${limit} at most${circuit === "closed" ? "" : "; after too many failures no more are started for a while"}`;
  return item;
}

/** What a task has to say. */
export function noteItem(text: string): vscode.TreeItem {
  const item = new vscode.TreeItem(text);
  item.iconPath = new vscode.ThemeIcon("comment");
  item.tooltip = text;
  return item;
}

/** The group of changed files. */
export function filesItem(mission: Mission): vscode.TreeItem {
  const item = new vscode.TreeItem("Files changed", vscode.TreeItemCollapsibleState.Collapsed);
  item.id = `${mission.id}/files`;
  item.description = String(filesChanged(mission).length);
  item.iconPath = new vscode.ThemeIcon("files");
  return item;
}

export function missionItem(mission: Mission, latest: boolean): vscode.TreeItem {
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
    spending(mission.spent),
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

export function taskItem(mission: Mission, task: Task): vscode.TreeItem {
  const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
  const details = task.reason !== "" || task.notes.length > 0 || task.receipt !== undefined || task.changes.size > 0;
  const item = new vscode.TreeItem(task.title, details ? (task.state === "failed" ? Expanded : Collapsed) : None);
  // The state is part of the id: VS Code keeps the fold of an id, and a task that fails is to unfold.
  item.id = `${mission.id}/${task.id}/${task.state === "failed" ? "failed" : ""}`;
  item.iconPath = icon(STATE_ICONS[task.state]);
  item.contextValue = ["task", task.state, ...taskActions(mission, task)].join(".");
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

export function checkItem(check: CheckResult): vscode.TreeItem {
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

export function fileItem(row: Extract<MissionRow, { kind: "file" }>): vscode.TreeItem {
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
