/** The server's process and the connection to it: one a window, started, stopped and found here. */

import * as os from "node:os";
import * as readline from "node:readline";
import * as vscode from "vscode";
import {
  ExecuteCommandRequest,
  LanguageClient,
  RevealOutputChannelOn,
  State,
  TransportKind,
  type Middleware,
} from "vscode-languageclient/node";
import { candidates, firstRunnable, type Candidate } from "./discovery";
import { missionEvent, poolStats, type MissionEvent, type PoolStats } from "./protocol";
import { Serial } from "./serial";
import { explicitSettings, serverSettings } from "./settings";

export type ServerState = "starting" | "running" | "missing" | "stopped";

/** A command was given while no server is there to take it. */
export class NoServer extends Error {}

/**
 * The language server of this window.
 *
 * Starts, stops and restarts run one after the other. All events fire on the extension's thread.
 */
export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private program: Candidate | undefined;
  private current: ServerState = "stopped";
  private readonly serial = new Serial();
  private readonly stateChanged = new vscode.EventEmitter<ServerState>();
  private readonly missionHappened = new vscode.EventEmitter<MissionEvent>();
  private readonly statsArrived = new vscode.EventEmitter<PoolStats>();
  readonly onState = this.stateChanged.event;
  readonly onMissionEvent = this.missionHappened.event;
  readonly onPoolStats = this.statsArrived.event;

  /**
   * @param manifest the extension's package.json, which lists the settings.
   * @param middleware what the features of this extension want to see of the traffic.
   */
  constructor(
    private readonly output: vscode.LogOutputChannel,
    private readonly manifest: unknown,
    private readonly middleware: Middleware,
  ) {}

  get state(): ServerState {
    return this.current;
  }

  /** Starts the server, or starts it again; resolves when it answers or has failed and said so. */
  restart(): Promise<void> {
    return this.serial.run(async () => {
      await this.halt();
      await this.launch();
    });
  }

  /** Starts again only where another program would be used, or none is running. */
  reconsider(): Promise<void> {
    return this.serial.run(async () => {
      const found = await firstRunnable(await this.look());
      if (this.current !== "running" || found?.file !== this.program?.file) {
        await this.halt();
        await this.launch();
      }
    });
  }

  stop(): Promise<void> {
    return this.serial.run(() => this.halt());
  }

  /**
   * Runs a command of the server.
   *
   * @throws NoServer where none is running; what the server answers as an error otherwise.
   */
  async execute<T>(command: string, args: unknown[] = []): Promise<T> {
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
    this.become("starting");
    const places = await this.look();
    this.program = await firstRunnable(places);
    if (this.program === undefined) {
      this.output.warn(`The server was looked for, without success, at:\n${places.map((place) => `  ${place.file}`).join("\n")}`);
      this.become("missing");
      this.reportMissing(places);
      return;
    }
    this.output.info(`Starting ${this.program.file} (found by: ${this.program.source})`);
    const client = this.connect(this.program);
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      this.output.error(error instanceof Error ? error : String(error));
      this.become("stopped");
      void this.offer(`The Orchestrator server (${this.program.file}) did not start.`, "Show Output", "Select Server Program…");
    }
  }

  private connect(program: Candidate): LanguageClient {
    const cwd = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    const client: LanguageClient = new LanguageClient(
      "orchestrator",
      "OpenCode Orchestrator",
      {
        command: program.file,
        args: ["serve"],
        transport: TransportKind.stdio,
        options: cwd === undefined ? {} : { cwd },
      },
      {
        documentSelector: [{ scheme: "file" }],
        outputChannel: this.output,
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationOptions: () => this.settings(),
        stdioOptions: { stdout: logLines, stderr: logLines },
        middleware: {
          ...this.middleware,
          workspace: {
            ...this.middleware.workspace,
            // The library would send defaults as well: `configurationChanged` sends what was set.
            didChangeConfiguration: () => Promise.resolve(),
            configuration: (params, token, next) =>
              params.items.every((item) => item.section === "orchestrator")
                ? params.items.map(() => this.settings())
                : next(params, token),
          },
        },
      },
    );
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
    if (client?.state === State.Running || client?.state === State.Starting) {
      try {
        await client.stop();
      } catch (error) {
        // The server was gone already, or did not answer in time and was ended.
        this.output.warn(`Stopping the server: ${String(error)}`);
      }
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
      serverSettings(this.manifest),
      (name) => section.inspect(name),
      (name) => section.get(name),
    );
  }

  private async look(): Promise<Candidate[]> {
    const folders = (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === "file");
    return candidates({
      setting: vscode.workspace.getConfiguration("orchestrator").get("server.path", ""),
      interpreter: await chosenInterpreter(folders[0]?.uri),
      folders: folders.map((folder) => folder.uri.fsPath),
      trusted: vscode.workspace.isTrusted,
      searchPath: process.env.PATH ?? "",
      home: os.homedir(),
      windows: process.platform === "win32",
    });
  }

  private reportMissing(places: readonly Candidate[]): void {
    const [first] = places;
    if (first?.source === "setting") {
      void this.offer(
        `There is no program to run at “${first.file}”, which the setting orchestrator.server.path names.`,
        "Open Settings",
        "Select Server Program…",
      );
    } else if (vscode.workspace.isTrusted) {
      void this.offer(
        "The program opencode-orchestrator was found neither beside the selected Python interpreter, nor in .venv, nor on PATH. Install it with “pip install opencode-orchestrator”, or select where it is.",
        "Select Server Program…",
        "Look Again",
        "Show Output",
      );
    } else {
      void this.offer(
        "The program opencode-orchestrator was not found on PATH. The workspace's own environment is not looked at until you trust the workspace.",
        "Manage Workspace Trust",
        "Select Server Program…",
      );
    }
  }

  private async offer(message: string, ...buttons: (keyof typeof BUTTON_COMMANDS)[]): Promise<void> {
    const choice = await vscode.window.showErrorMessage(message, ...buttons);
    if (choice !== undefined) {
      const [command, ...args] = BUTTON_COMMANDS[choice];
      await vscode.commands.executeCommand(command, ...args);
    }
  }
}

const BUTTON_COMMANDS = {
  "Open Settings": ["workbench.action.openSettings", "orchestrator.server.path"],
  "Select Server Program…": ["orchestrator.selectServer"],
  "Look Again": ["orchestrator.restartServer"],
  "Show Output": ["orchestrator.showOutput"],
  "Manage Workspace Trust": ["workbench.trust.manage"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

/** The interpreter that the Python extension would use, where that extension is there. */
async function chosenInterpreter(resource: vscode.Uri | undefined): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension<PythonExtension>("ms-python.python");
  if (extension === undefined) {
    return undefined;
  }
  try {
    const { environments } = await extension.activate();
    const chosen = environments.getActiveEnvironmentPath(resource);
    return (await environments.resolveEnvironment(chosen))?.executable.uri?.fsPath;
  } catch {
    return undefined; // An interpreter that cannot be asked for is the same as none chosen.
  }
}

/** Calls `changed` when another interpreter is chosen; does nothing without the Python extension. */
export async function watchInterpreter(changed: () => void): Promise<vscode.Disposable | undefined> {
  const extension = vscode.extensions.getExtension<PythonExtension>("ms-python.python");
  return (await extension?.activate())?.environments.onDidChangeActiveEnvironmentPath(changed);
}

/** The part of the Python extension's public interface that is used here. */
interface PythonExtension {
  readonly environments: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string };
    resolveEnvironment(
      environment: object,
    ): Promise<{ readonly executable: { readonly uri: vscode.Uri | undefined } } | undefined>;
    readonly onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}

/** Writes what the server prints to the output, each line at the level that it names. */
function logLines(stream: NodeJS.ReadableStream, output: vscode.LogOutputChannel): void {
  readline.createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
    const level = /\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b/.exec(line)?.[1];
    if (level === "DEBUG") {
      output.debug(line);
    } else if (level === "INFO") {
      output.info(line);
    } else if (level === "ERROR" || level === "CRITICAL") {
      output.error(line);
    } else {
      output.warn(line);
    }
  });
}
