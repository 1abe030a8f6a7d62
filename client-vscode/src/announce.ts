/** What a mission's end has to say, and the buttons that go with it. */

import * as vscode from "vscode";
import { counted, duration } from "./figures";
import { filesChanged, label, progress, type Mission } from "./missions";
import type { MissionEvent } from "./protocol";

/** Tells the end of a mission. A failure is not told here: the server shows it in every editor. */
export async function announce(event: MissionEvent, mission: Mission): Promise<void> {
  if (event.kind === "undone") {
    const left = mission.unrestored;
    if (left.length > 0) {
      void vscode.window.showWarningMessage(`Undone, but for ${left.join(", ")}: “${short(mission)}”`);
    } else {
      void vscode.window.showInformationMessage(`Undone: “${short(mission)}”`);
    }
    return;
  }
  if (event.kind !== "done" || mission.dryRun) {
    return;
  }
  const files = filesChanged(mission).length;
  if (mission.status === "done") {
    const { total } = progress(mission);
    const message = `Done: “${short(mission)}”. ${[
      counted(total, "task"),
      `${counted(files, "file")} changed`,
      duration(mission.durationS),
    ].join(", ")}.`;
    const choice = await vscode.window.showInformationMessage(message, ...(files > 0 ? BUTTONS : []));
    if (choice !== undefined) {
      await vscode.commands.executeCommand(COMMANDS[choice], { kind: "mission", mission });
    }
  } else if (mission.status === "cancelled") {
    const choice = await vscode.window.showInformationMessage(`Stopped: “${short(mission)}”.`, "Retry");
    if (choice === "Retry") {
      await vscode.commands.executeCommand("orchestrator.retry", mission.id);
    }
  }
}

const BUTTONS = ["Show Changes", "Undo"] as const;

const COMMANDS: Record<(typeof BUTTONS)[number], string> = {
  "Show Changes": "orchestrator.mission.showChanges",
  Undo: "orchestrator.mission.undo",
};

function short(mission: Mission): string {
  const text = label(mission);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
