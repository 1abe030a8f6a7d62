/** The commands of this extension. Those of the server (`/task` and so on) are registered by the client library. */

import * as vscode from "vscode";
import { ResponseError } from "vscode-languageclient/node";
import type { Changes } from "./changes";
import { cleanUp } from "./cleanUp";
import type { LanguageModels } from "./languageModel";
import type { MissionBook } from "./missionBook";
import { missionCommands } from "./missionCommands";
import { selectModel } from "./modelChoice";
import type { MissionOverview, PoolStats } from "./protocol";
import type { Reports } from "./reports";
import { NoServer, type Server } from "./server";
import type { StatsPanel } from "./statsPanel";
import { statusMarkdown } from "./statusMarkdown";
import type { TaskPrompt } from "./taskPrompt";

/** What the commands work with. */
export interface Parts {
  readonly server: Server;
  readonly book: MissionBook;
  readonly changes: Changes;
  readonly reports: Reports;
  readonly prompt: TaskPrompt;
  readonly models: LanguageModels;
  readonly figures: StatsPanel;
  readonly output: vscode.LogOutputChannel;
}

/** Registers every command; the returned object takes them back. */
export function registerCommands(parts: Parts): vscode.Disposable {
  const { server, reports, prompt, models, figures, output } = parts;

  /** Asks for a text and gives it to `use`; where the server refuses it, the text can be mended. */
  const withTask = async (title: string, use: (text: string) => Promise<void>, given?: unknown): Promise<void> => {
    let text = typeof given === "string" ? given : await prompt.ask(title);
    while (text !== undefined) {
      try {
        await use(text);
        await prompt.remember(text);
        return;
      } catch (error) {
        if (!(error instanceof ResponseError)) {
          throw error;
        }
        text = (await wantsToEdit(error.message)) ? await prompt.ask(title, text) : undefined;
      }
    }
  };

  /** Runs a command whose answer tells nothing that the events do not tell. */
  const run = async (command: string, ...args: unknown[]): Promise<void> => {
    await server.execute(command, args);
  };

  const actions: Record<string, (...args: unknown[]) => Promise<void>> = {
    runTask: (text) => withTask("Run Task", (task) => run("/task", task), text),

    previewTask: (text) =>
      withTask(
        "Preview Task",
        async (task) => {
          const options = { dryRun: true, wait: true };
          const { diff = "", reason = "" } = await server.execute<{ diff?: string; reason?: string }>("/task", [task, options]);
          if (diff !== "") {
            await reports.showDiff("Preview", diff);
          } else {
            void vscode.window.showInformationMessage(reason === "" ? "The task would change nothing." : reason);
          }
        },
        text,
      ),

    planTask: (text) => withTask("Plan Task", (task) => run("/plan", task), text),

    runPlan: () => run("/run"),

    stop: () => run("/stop"),

    retry: (id) => run("/retry", ...(typeof id === "string" ? [id] : [])),

    undo: () => run("/undo"),

    showStatus: async () => {
      const missions = await server.execute<MissionOverview[]>("/status");
      await reports.show("Orchestrator Status", statusMarkdown(missions, new Date()));
    },

    clean: () => cleanUp(server),

    showStats: async () => {
      figures.show(await server.execute<PoolStats>("/stats"));
    },

    selectModel: () => selectModel(models),

    showOutput: () => {
      output.show();
      return Promise.resolve();
    },

    restartServer: () => server.restart(),

    selectServer: async () => {
      const [file] =
        (await vscode.window.showOpenDialog({
          title: "Select the program opencode-orchestrator",
          openLabel: "Select",
          canSelectMany: false,
        })) ?? [];
      if (file !== undefined) {
        const section = vscode.workspace.getConfiguration("orchestrator");
        await section.update("server.path", file.fsPath, vscode.ConfigurationTarget.Global);
      }
    },

    menu: () => showMenu(parts),

    ...missionCommands(parts),
  };

  return vscode.Disposable.from(
    ...Object.entries(actions).map(([name, action]) =>
      vscode.commands.registerCommand(`orchestrator.${name}`, async (...args: unknown[]) => {
        try {
          await action(...args);
        } catch (error) {
          await tell(error, output);
        }
      }),
    ),
  );
}

/** Tells why a text was refused: its first line at once, all of it on request. */
async function wantsToEdit(message: string): Promise<boolean> {
  const [first = message, ...more] = message.split("\n");
  const details = more.join("\n").trim() === "" ? [] : ["Details"];
  let choice = await vscode.window.showErrorMessage(first, "Edit Task", ...details);
  if (choice === "Details") {
    choice = await vscode.window.showErrorMessage(first, { modal: true, detail: more.join("\n") }, "Edit Task");
  }
  return choice === "Edit Task";
}

async function tell(error: unknown, output: vscode.LogOutputChannel): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof NoServer) {
    const choice = await vscode.window.showErrorMessage(message, "Restart Server", "Show Output");
    if (choice !== undefined) {
      await vscode.commands.executeCommand(`orchestrator.${choice === "Restart Server" ? "restartServer" : "showOutput"}`);
    }
    return;
  }
  if (!(error instanceof ResponseError)) {
    output.error(error instanceof Error ? error : message);
  }
  void vscode.window.showErrorMessage(message);
}

async function showMenu({ server, book }: Parts): Promise<void> {
  const separator = { label: "", kind: vscode.QuickPickItemKind.Separator, command: "" };
  const running = book.running().length > 0;
  const items =
    server.state === "running"
      ? [
          { label: "$(rocket) Run Task…", command: "orchestrator.runTask" },
          ...(running ? [{ label: "$(debug-stop) Stop", command: "orchestrator.stop" }] : []),
          { label: "$(discard) Undo Last Mission", command: "orchestrator.undo" },
          separator,
          { label: "$(list-tree) Show Missions", command: "orchestrator.missions.focus" },
          { label: "$(info) Show Status", command: "orchestrator.showStatus" },
          { label: "$(graph) Show Pool Statistics", command: "orchestrator.showStats" },
          { label: "$(trash) Clean Up…", command: "orchestrator.clean" },
        ]
      : [{ label: "$(folder-opened) Select Server Program…", command: "orchestrator.selectServer" }];
  const choice = await vscode.window.showQuickPick(
    [
      ...items,
      separator,
      { label: "$(output) Show Output", command: "orchestrator.showOutput" },
      { label: "$(refresh) Restart Server", command: "orchestrator.restartServer" },
    ],
    { title: "Orchestrator" },
  );
  if (choice !== undefined) {
    await vscode.commands.executeCommand(choice.command);
  }
}
