/** What a person is told when there is no server, with what can be done about it. */

import * as vscode from "vscode";
import type { Candidate } from "./discovery";

/** Tells where the program was looked for, as far as that helps. */
export function reportMissing(places: readonly Candidate[]): void {
  const [first] = places;
  if (first?.source === "setting") {
    void offer(
      `There is no program to run at “${first.file}”, which the setting orchestrator.server.path names.`,
      "Open Settings",
      "Select Server Program…",
    );
  } else if (vscode.workspace.isTrusted) {
    void offer(
      "The program opencode-orchestrator was found neither beside the selected Python interpreter, nor in .venv, nor on PATH. Install it with “pip install opencode-orchestrator”, or select where it is.",
      "Select Server Program…",
      "Look Again",
      "Show Output",
    );
  } else {
    void offer(
      "The program opencode-orchestrator was not found on PATH. The workspace's own environment is not looked at until you trust the workspace.",
      "Manage Workspace Trust",
      "Select Server Program…",
    );
  }
}

/** Shows an error with buttons, and does what the chosen one says. */
export async function offer(message: string, ...buttons: (keyof typeof BUTTON_COMMANDS)[]): Promise<void> {
  const choice = await vscode.window.showErrorMessage(message, ...buttons);
  if (choice !== undefined) {
    const [command, ...args] = BUTTON_COMMANDS[choice];
    await vscode.commands.executeCommand(command, ...args);
  }
}

const BUTTON_COMMANDS = {
  "Open Settings": ["workbench.action.openSettings", "orchestrator.server.path"],
  "Select Server Program…": ["orchestrator.selectServer"],
  "Look Again": ["orchestrator.restartServer"],
  "Restart Server": ["orchestrator.restartServer"],
  "Show Output": ["orchestrator.showOutput"],
  "Manage Workspace Trust": ["workbench.trust.manage"],
} as const satisfies Record<string, readonly [string, ...string[]]>;
