/** One item in the status bar: how far the mission is and how busy the pools are. */

import * as vscode from "vscode";
import { counted, spending, statsTable, statusBarText, total } from "./figures";
import type { MissionBook } from "./missionBook";
import { label } from "./missions";
import type { PoolStats, Spent } from "./protocol";
import type { ServerState } from "./server";

export class StatusBar implements vscode.Disposable {
  private readonly item: vscode.StatusBarItem;
  private stats: PoolStats | undefined;
  private state: ServerState = "stopped";

  constructor(private readonly book: MissionBook) {
    this.item = vscode.window.createStatusBarItem("orchestrator.status", vscode.StatusBarAlignment.Left, 10);
    this.item.name = "Orchestrator";
    this.item.command = "orchestrator.menu";
    this.draw();
  }

  showState(state: ServerState): void {
    this.state = state;
    if (state !== "running") {
      this.stats = undefined;
    }
    this.draw();
  }

  showStats(stats: PoolStats): void {
    this.stats = stats;
    this.draw();
  }

  draw(): void {
    const { item } = this;
    if (this.state === "noFolder") {
      item.hide();
      return;
    }
    item.show();
    const mission = this.book.running().at(-1);
    item.backgroundColor = undefined;
    switch (this.state) {
      case "running":
        item.text = statusBarText(mission, this.stats, this.spent());
        break;
      case "starting":
        item.text = "$(loading~spin) Orchestrator";
        break;
      default:
        item.text = "$(warning) Orchestrator";
        item.backgroundColor = new vscode.ThemeColor("statusBarItem.warningBackground");
    }
    item.tooltip = this.tooltip();
    item.accessibilityInformation = { label: `Orchestrator: ${mission === undefined ? this.state : label(mission)}` };
  }

  dispose(): void {
    this.item.dispose();
  }

  /** By the missions of this window. */
  private spent(): Spent {
    return total(this.book.all().map((mission) => mission.spent));
  }

  private tooltip(): vscode.MarkdownString {
    const tooltip = new vscode.MarkdownString("", true);
    if (this.state !== "running") {
      return tooltip.appendMarkdown(STATE_TEXTS[this.state]);
    }
    const missions = this.book.running();
    const [only] = missions;
    if (missions.length === 1 && only !== undefined) {
      tooltip.appendMarkdown("**Orchestrator** · ").appendText(label(only));
    } else {
      tooltip.appendMarkdown(`**Orchestrator** · ${missions.length === 0 ? "idle" : counted(missions.length, "mission")}`);
    }
    const { tokens, requests } = this.spent();
    if (requests > 0) {
      tooltip.appendMarkdown(`\n\n${[spending(this.spent()), counted(tokens, "token"), counted(requests, "request")].join(" · ")}`);
    }
    if (this.stats !== undefined) {
      tooltip.appendMarkdown(`\n\n${statsTable(this.stats)}`);
    }
    return tooltip;
  }
}

const STATE_TEXTS: Record<Exclude<ServerState, "running">, string> = {
  starting: "**Orchestrator** · the server is starting",
  missing: "**Orchestrator** · the program `opencode-orchestrator` was not found",
  noFolder: "",
  stopped: "**Orchestrator** · the server is not running",
};
