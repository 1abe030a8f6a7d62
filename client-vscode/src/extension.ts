/** Entry point: constructs the parts, connects them, starts the server. */

import * as vscode from "vscode";
import { announce } from "./announce";
import { Changes } from "./changes";
import { registerChat } from "./chat";
import { registerCommands } from "./commands";
import { watchInterpreter } from "./interpreter";
import { LanguageModels } from "./languageModel";
import { modelOffer } from "./modelProtocol";
import { MissionBook } from "./missionBook";
import { isOver } from "./missions";
import { MissionTree } from "./missionTree";
import { CancellableProgress } from "./progress";
import type { MissionOverview } from "./protocol";
import { Reports } from "./reports";
import { Server } from "./server";
import { StatsPanel } from "./statsPanel";
import { StatusBar } from "./statusBar";
import { TaskPrompt } from "./taskPrompt";

let running: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("OpenCode Orchestrator", { log: true });
  const book = new MissionBook();
  const changes = new Changes();
  const reports = new Reports();
  const prompt = new TaskPrompt(context.workspaceState);
  const figures = new StatsPanel(context.extensionUri);
  const tree = new MissionTree(book);
  const statusBar = new StatusBar(book);
  const progress = new CancellableProgress((token) => {
    server.notify("window/workDoneProgress/cancel", { token });
  });
  const models = new LanguageModels(languageModels(), () => vscode.workspace.getConfiguration("orchestrator").get("languageModel", ""));
  const server = new Server(output, context.extension, models, (title) => prompt.ask(title), {
    handleWorkDoneProgress: progress.handle,
    workspace: { handleApplyEdit: (params, next) => changes.around(params, next as Apply) },
    // Without a text, the person is asked here, where there is a history and a selection.
    executeCommand: async (command, args: unknown[], next) => {
      if ((command === "/task" || command === "/plan") && args.length === 0) {
        return vscode.commands.executeCommand(command === "/task" ? "orchestrator.runTask" : "orchestrator.planTask");
      }
      return (await next(command, args)) as unknown;
    },
  });
  running = server;
  const view = vscode.window.createTreeView("orchestrator.missions", { treeDataProvider: tree, showCollapseAll: true });
  const redraw = (): void => {
    tree.refresh();
    statusBar.draw();
    const count = book.running().length;
    view.badge = count === 0 ? undefined : { value: count, tooltip: "Missions running" };
    void vscode.commands.executeCommand("setContext", "orchestrator.missionRunning", count > 0);
  };

  /** Shows the missions of earlier windows as well. */
  const remember = async (): Promise<void> => {
    try {
      book.restore(await server.execute<MissionOverview[]>("/status"));
      redraw();
    } catch (error) {
      output.warn(`Earlier missions are not known: ${String(error)}`);
    }
  };

  context.subscriptions.push(
    output,
    changes,
    reports,
    figures,
    tree,
    statusBar,
    progress,
    models,
    models.onOffer((offered) => {
      void vscode.commands.executeCommand("setContext", "orchestrator.modelOffered", offered);
      server.notify(modelOffer.method, { offered });
    }),
    server,
    view,
    registerCommands({ server, book, changes, reports, prompt, models, figures, output }),
    ...registerChat({ server, book }, vscode.Uri.joinPath(context.extensionUri, "media/icon.png")),
    server.onState((state) => {
      void vscode.commands.executeCommand("setContext", "orchestrator.serverState", state);
      statusBar.showState(state);
      if (state === "running") {
        server.notify(modelOffer.method, { offered: models.available }); // it may have changed since initialize
        void remember();
      }
      if (state === "stopped") {
        progress.clear();
        tree.showStats(undefined);
        book.abandon("The server stopped.");
        redraw();
      }
    }),
    server.onPoolStats((stats) => {
      statusBar.showStats(stats);
      tree.showStats(stats);
      figures.add(stats);
    }),
    server.onMissionEvent((event) => {
      const mission = book.apply(event);
      if (mission === undefined) {
        return;
      }
      changes.follow(event);
      redraw();
      if (isOver(mission)) {
        void announce(event, mission);
      }
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("orchestrator.server")) {
        void server.reconsider();
      }
      if (event.affectsConfiguration("orchestrator")) {
        server.configurationChanged();
      }
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void server.reconsider()),
  );
  await Promise.all([server.restart(), models.look()]);
  const watching = await watchInterpreter(() => void server.reconsider());
  if (watching !== undefined) {
    context.subscriptions.push(watching);
  }
}

/** Stops the server; VS Code waits for it. */
export async function deactivate(): Promise<void> {
  await running?.stop();
}

/** `vscode.lm`, which some editors that are built on VS Code lack. */
function languageModels(): typeof vscode.lm | undefined {
  return (vscode as Partial<typeof vscode>).lm;
}

type Apply = Parameters<Changes["around"]>[1];
