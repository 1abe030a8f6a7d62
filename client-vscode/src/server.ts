/** The server's process and the connection to it: one a window, started, stopped and found here. */

import type { ChildProcess } from "node:child_process";
import * as os from "node:os";
import * as vscode from "vscode";
import { ExecuteCommandRequest, State, type LanguageClient, type Middleware } from "vscode-languageclient/node";
import { newClient } from "./connection";
import { candidates, firstRunnable, type Candidate } from "./discovery";
import { chosenInterpreter } from "./interpreter";
import type { LanguageModels } from "./languageModel";
import { missionEvent, poolStats, type MissionEvent, type PoolStats } from "./protocol";
import { RestartBudget } from "./restartBudget";
import { Serial } from "./serial";
import { processEnded, startProcess } from "./serverProcess";
import { offer, reportMissing } from "./serverProblems";
import { explicitSettings, serverSettings } from "./settings";

/** `noFolder`: nothing is open that the server could work on. */
export type ServerState = "starting" | "running" | "missing" | "stopped" | "noFolder";

const START_LIMIT_MS = 60_000;
/** The server promises to be gone within 10 s of `shutdown`, whatever was running. */
const SHUTDOWN_LIMIT_MS = 10_000;
const EXIT_GRACE_MS = 2000;

/** A command was given while no server is there to take it. */
export class NoServer extends Error {}

/**
 * The language server of this window.
 *
 * Starts, stops and restarts run one after the other. All events fire on the extension's thread.
 */
export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private child: ChildProcess | undefined;
  private program: Candidate | undefined;
  private current: ServerState = "stopped";
  private readonly serial = new Serial();
  private readonly budget = new RestartBudget();
  private readonly stateChanged = new vscode.EventEmitter<ServerState>();
  private readonly missionHappened = new vscode.EventEmitter<MissionEvent>();
  private readonly statsArrived = new vscode.EventEmitter<PoolStats>();
  readonly onState = this.stateChanged.event;
  readonly onMissionEvent = this.missionHappened.event;
  readonly onPoolStats = this.statsArrived.event;

  /**
   * @param extension this extension: its manifest lists the settings, its folder may hold a server.
   * @param models what the server may ask.
   * @param ask asks a person for a text, on behalf of the server.
   * @param middleware what the features of this extension want to see of the traffic.
   */
  constructor(
    private readonly output: vscode.LogOutputChannel,
    private readonly extension: vscode.Extension<unknown>,
    private readonly models: LanguageModels,
    private readonly ask: (prompt: string) => Promise<string | undefined>,
    private readonly middleware: Middleware,
  ) {}

  get state(): ServerState {
    return this.current;
  }

  /** Starts the server, or starts it again; resolves when it answers or has failed and said so. */
  restart(): Promise<void> {
    if (this.current === "starting") {
      this.child?.kill("SIGKILL"); // It may never answer; nothing has been asked of it yet.
    }
    return this.serial.run(async () => {
      await this.halt();
      await this.launch();
    });
  }

  /** Starts again only where another program would be used, or none is at work. */
  async reconsider(): Promise<void> {
    const found = await firstRunnable(await this.look());
    const atWork = this.current === "running" || this.current === "starting";
    if (!atWork || found?.file !== this.program?.file) {
      await this.restart();
    }
  }

  stop(): Promise<void> {
    return this.serial.run(() => this.halt());
  }

  /**
   * Runs a command of the server; waits for a start that is under way.
   *
   * @throws NoServer where none is running; what the server answers as an error otherwise.
   */
  async execute<T>(command: string, args: unknown[] = []): Promise<T> {
    await this.serial.idle();
    if (this.client === undefined || this.current !== "running") {
      throw new NoServer("The Orchestrator server is not running.");
    }
    const params = { command, arguments: args };
    return (await this.client.sendRequest(ExecuteCommandRequest.type, params)) as T;
  }

  /** Tells the server its settings anew. */
  configurationChanged(): void {
    this.notify("workspace/didChangeConfiguration", { settings: { orchestrator: this.settings() } });
  }

  /** Sends a notification where a server is there to take it. */
  notify(method: string, params: unknown): void {
    if (this.client?.state === State.Running) {
      void this.client.sendNotification(method, params);
    }
  }

  dispose(): void {
    this.stateChanged.dispose();
    this.missionHappened.dispose();
    this.statsArrived.dispose();
  }

  private async launch(): Promise<void> {
    if (workspaceFolders().length === 0) {
      this.become("noFolder");
      return;
    }
    this.become("starting");
    const places = await this.look();
    this.program = await firstRunnable(places);
    if (this.program === undefined) {
      this.output.warn(`The server was looked for, without success, at:\n${places.map((place) => `  ${place.file}`).join("\n")}`);
      this.become("missing");
      reportMissing(places);
      return;
    }
    this.output.info(`Starting ${this.program.file} (found by: ${this.program.source})`);
    const limit = setTimeout(() => this.child?.kill("SIGKILL"), START_LIMIT_MS);
    try {
      await this.connect(this.program.file);
    } catch (error) {
      this.output.error(error instanceof Error ? error : String(error));
      await this.halt();
      void offer(`The Orchestrator server (${this.program.file}) did not start.`, "Show Output", "Select Server Program…");
    } finally {
      clearTimeout(limit);
    }
  }

  /** Starts the program and resolves when it has answered `initialize`. */
  private async connect(file: string): Promise<void> {
    const child = await startProcess(file, workspaceFolders()[0]?.uri.fsPath);
    this.child = child;
    const client = this.clientOf(child);
    this.client = client;
    // The library's promise stays open where the process ends at once.
    const ended = new Promise<never>((_, reject) => {
      child.once("exit", (code, signal) => {
        reject(new Error(`The server ended with ${signal ?? `code ${code ?? "?"}`}.`));
      });
    });
    ended.catch(() => undefined);
    const started = client.start();
    started.catch(() => undefined);
    await Promise.race([started, ended]);
    child.once("exit", () => {
      if (client === this.client) {
        this.crashed();
      }
    });
  }

  /** The process ended though nobody stopped it. */
  private crashed(): void {
    this.output.error("The server ended unexpectedly.");
    if (this.budget.spend(Date.now())) {
      void this.restart();
    } else {
      this.become("stopped");
      void offer("The Orchestrator server ended several times in a row.", "Restart Server", "Show Output");
    }
  }

  private clientOf(child: ChildProcess): LanguageClient {
    const client = newClient(child, {
      output: this.output,
      settings: () => this.settings(),
      models: this.models,
      ask: this.ask,
      middleware: this.middleware,
    });
    client.onNotification(missionEvent, (event) => {
      this.missionHappened.fire(event);
    });
    client.onNotification(poolStats, (stats) => {
      this.statsArrived.fire(stats);
    });
    client.onDidChangeState(({ newState }) => {
      if (client === this.client) {
        this.become(newState === State.Running ? "running" : newState === State.Starting ? "starting" : "stopped");
      }
    });
    return client;
  }

  private async halt(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client?.state === State.Running) {
      try {
        await client.stop(SHUTDOWN_LIMIT_MS);
      } catch (error) {
        this.output.warn(`The server did not stop in order: ${String(error)}`);
      }
    }
    if (this.child !== undefined) {
      this.child.stdin?.destroy();
      await processEnded(this.child, EXIT_GRACE_MS);
      this.child = undefined;
    }
    this.become("stopped");
  }

  private become(state: ServerState): void {
    if (state !== this.current) {
      this.current = state;
      this.stateChanged.fire(state);
    }
  }

  private settings(): Record<string, unknown> {
    const section = vscode.workspace.getConfiguration("orchestrator", vscode.workspace.workspaceFolders?.[0]?.uri ?? null);
    return explicitSettings(
      serverSettings(this.extension.packageJSON),
      (name) => section.inspect(name),
      (name) => section.get(name),
    );
  }

  private async look(): Promise<Candidate[]> {
    const folders = workspaceFolders();
    return candidates({
      setting: vscode.workspace.getConfiguration("orchestrator").get("server.path", ""),
      interpreter: await chosenInterpreter(folders[0]?.uri),
      folders: folders.map((folder) => folder.uri.fsPath),
      trusted: vscode.workspace.isTrusted,
      searchPath: process.env.PATH ?? "",
      home: os.homedir(),
      windows: process.platform === "win32",
      extension: this.extension.extensionPath,
    });
  }
}

/** The folders on disk. */
function workspaceFolders(): vscode.WorkspaceFolder[] {
  return (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === "file");
}
