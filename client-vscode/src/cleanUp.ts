/** Cleaning `.opencode` up: what would go is shown first, and what went can be brought back. */

import * as vscode from "vscode";
import { bytes, counted } from "./figures";
import type { Server } from "./server";

/** The answer of `/clean`. */
interface CleanReport {
  readonly steps: readonly { readonly path: string; readonly action: string; readonly reason: string }[];
  readonly freedBytes: number;
  readonly filesRemoved: number;
  /** Empty where nothing went to the quarantine. */
  readonly restoreId: string;
  readonly note: string;
}

const SHOWN = 15;

/** Shows what a clean-up would do, and does it when the person agrees. */
export async function cleanUp(server: Server): Promise<void> {
  const plan = await server.execute<CleanReport>("/clean", [{ dryRun: true }]);
  if (plan.steps.length === 0) {
    void vscode.window.showInformationMessage(plan.note === "" ? "There is nothing to clean up in .opencode." : plan.note);
    return;
  }
  const lines = plan.steps.slice(0, SHOWN).map(({ path, action, reason }) => `${action} ${path}: ${reason}`);
  const more = plan.steps.length - lines.length;
  const detail = [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
  const question = `Clean up ${counted(plan.filesRemoved, "file")} in .opencode, ${bytes(plan.freedBytes)}?`;
  if ((await vscode.window.showWarningMessage(question, { modal: true, detail }, "Clean Up")) === undefined) {
    return;
  }
  const done = await server.execute<CleanReport>("/clean");
  const message = `Cleaned up: ${counted(done.filesRemoved, "file")}, ${bytes(done.freedBytes)}.`;
  const choice = await vscode.window.showInformationMessage(message, ...(done.restoreId === "" ? [] : ["Bring Back"]));
  if (choice !== undefined) {
    await server.execute("/clean", [{ restore: done.restoreId }]);
    void vscode.window.showInformationMessage("Brought back what was cleaned up.");
  }
}
