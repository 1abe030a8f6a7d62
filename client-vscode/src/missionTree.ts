/** Agents and missions as a tree: who is at work, tasks, what was checked, files changed. */

import * as vscode from "vscode";
import type { MissionBook } from "./missionBook";
import { agentItem, agentsItem, checkItem, fileItem, filesItem, missionItem, noteItem, taskItem } from "./missionItems";
import { filesChanged, type Mission, type Task } from "./missions";
import type { CheckResult, FileChange, PoolStats, RoleUse } from "./protocol";

/** A row of the tree. */
export type Row =
  | { readonly kind: "agents" }
  | { readonly kind: "agent"; readonly role: string; readonly use: RoleUse }
  | MissionRow;

/** A row that is about a mission. */
export type MissionRow =
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
  private agents: Readonly<Record<string, RoleUse>> = {};

  constructor(private readonly book: MissionBook) {}

  /** Shows how many agents of each role are at work; undefined: there is no server. */
  showStats(stats: PoolStats | undefined): void {
    const agents = stats?.concurrency ?? {};
    const changed = JSON.stringify(agents) !== JSON.stringify(this.agents);
    this.agents = agents;
    if (changed) {
      this.refresh();
    }
  }

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
      const missions = this.book.all().reverse();
      const rows = missions.map((mission): Row => ({ kind: "mission", mission }));
      return rows.length > 0 && Object.keys(this.agents).length > 0 ? [{ kind: "agents" }, ...rows] : rows;
    }
    switch (row.kind) {
      case "agents":
        return Object.entries(this.agents).map(([role, use]) => ({ kind: "agent", role, use }));
      case "mission": {
        const { mission } = row;
        const rows: Row[] = [...mission.tasks.values()].map((task) => ({ kind: "task", mission, task }));
        return filesChanged(mission).length > 0 ? [...rows, { kind: "files", mission }] : rows;
      }
      case "task": {
        const { mission, task } = row;
        return [
          ...[task.reason, ...task.notes].filter(Boolean).map((text): Row => ({ kind: "note", mission, task, text })),
          ...(task.receipt?.checks ?? []).map((check): Row => ({ kind: "check", mission, task, check })),
          ...[...task.changes.values()].map((change): Row => ({ kind: "file", mission, change })),
        ];
      }
      case "files":
        return filesChanged(row.mission).map((change) => ({ kind: "file", mission: row.mission, change }));
      default:
        return [];
    }
  }

  getTreeItem(row: Row): vscode.TreeItem {
    switch (row.kind) {
      case "agents":
        return agentsItem(this.agents);
      case "agent":
        return agentItem(row.role, row.use);
      case "mission":
        return missionItem(row.mission, row.mission === this.book.latest());
      case "task":
        return taskItem(row.mission, row.task);
      case "note":
        return noteItem(row.text);
      case "check":
        return checkItem(row.check);
      case "files":
        return filesItem(row.mission);
      case "file":
        return fileItem(row);
    }
  }
}
