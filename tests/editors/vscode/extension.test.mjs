// The packed extension in a real VS Code: see README.md beside this file.
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { missingTools, tools, Workbench } from "./workbench.mjs";

const FILES = {
  "app/__init__.py": "",
  "app/first.py": '"""First."""\n\n\ndef foo(value: int) -> int:\n    """Add one."""\n    return value + 1\n',
  "app/second.py": '"""Second."""\n\nfrom app.first import foo\n\n\ndef twice(value: int) -> int:\n    """Add two."""\n    return foo(foo(value))\n',
  "app/third.py": '"""Third."""\n\n\ndef alone() -> int:\n    """Give one."""\n    return 1\n',
  "notes.md": "Call foo twice.\n",
};
const RENAME = String.raw`replace /\bfoo\b/ -> bar in **/*.py`;
const RENAMED = { ...FILES };
for (const name of Object.keys(FILES).filter((name) => name.endsWith(".py"))) {
  RENAMED[name] = FILES[name].replaceAll("foo", "bar");
}

/** A folder with FILES, removed after the tests of the suite. */
async function project() {
  const folder = await mkdtemp(join(tmpdir(), "project-"));
  for (const [name, content] of Object.entries(FILES)) {
    await mkdir(join(folder, name, ".."), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

const remove = (folder) => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

/** Waits until `check` answers true. */
async function until(check) {
  const deadline = Date.now() + 20_000;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, "it did not happen within 20 s");
    await sleep(100);
  }
}

/** Waits until the files on disk have these texts. */
async function assertFiles(folder, expected) {
  const read = async () => {
    const names = Object.keys(expected);
    const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
    return Object.fromEntries(names.map((name, index) => [name, texts[index]]));
  };
  await until(async () => isDeepStrictEqual(await read(), expected)).catch(() => undefined);
  assert.deepEqual(await read(), expected);
}

/** Ids of the server's processes that work in the folder. */
async function serversIn(folder, program) {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      try {
        const command = await readFile(`/proc/${id}/cmdline`, "utf8");
        return command.includes(program) && (await readlink(`/proc/${id}/cwd`)) === folder;
      } catch {
        return false; // it ended meanwhile, or is not ours to look at
      }
    }),
  );
  return ids.filter((_, index) => found[index]);
}

describe("the extension with the real server", { skip: missingTools(tools.server), timeout: 240_000 }, () => {
  let folder;
  let workbench;

  before(async () => {
    folder = await project();
    workbench = await Workbench.open(folder, { "orchestrator.server.path": tools.server });
  });

  afterEach((context) => workbench.pictureOfFailure(context));

  after(async () => {
    await workbench?.close();
    await remove(folder);
  });

  it("starts the server and shows its item", async () => {
    await workbench.statusItem().filter({ hasText: "Orchestrator" }).waitFor({ timeout: 60_000 });
    await workbench.command("Orchestrator: Focus on Missions View");
    await workbench.page.getByText("No mission yet").waitFor();
    await workbench.picture("real-1-welcome");
  });

  it("runs a task on saved and on unsaved text, and saves what was saved before", async () => {
    await workbench.openFile("app/third.py");
    await workbench.page.keyboard.press("Control+End");
    await workbench.page.keyboard.type("# foo, not saved");
    await workbench.command("Orchestrator: Run Task…");
    const input = await workbench.quickInput("Run Task");
    await workbench.picture("real-2-prompt");
    await input.fill(RENAME);
    await input.press("Enter");
    await workbench.notification("Done:").waitFor({ timeout: 60_000 });
    await workbench.picture("real-3-done");
    await assertFiles(folder, RENAMED);
    await workbench.page.locator(".view-lines").getByText("# bar, not saved").waitFor();
    await workbench.tab("third.py").and(workbench.page.locator(".dirty")).waitFor();
  });

  it("shows the mission, its receipt and its changes", async () => {
    await workbench.row(RENAME.slice(0, 20)).first().waitFor();
    await workbench.row("Files changed").click();
    await workbench.row("first.py").waitFor();
    await workbench.picture("real-4-tree");
    await workbench.notification("Done:").getByRole("button", { name: "Show Changes" }).click();
    await workbench.page.locator(".multiDiffEntry").nth(1).waitFor();
    await workbench.picture("real-5-changes");
  });

  it("undoes the mission, byte for byte", async () => {
    await workbench.command("Orchestrator: Undo Last Mission");
    await workbench.notification("Undone:").waitFor();
    await assertFiles(folder, FILES);
    await workbench.picture("real-6-undone");
  });

  it("says what is wrong with a text, and lets it be mended", async () => {
    await workbench.command("Orchestrator: Run Task…");
    const input = await workbench.quickInput("Run Task");
    await input.fill("frobnicate everything");
    await input.press("Enter");
    const refused = workbench.page.locator(".notifications-toasts .notification-toast", { hasText: "Edit Task" });
    await refused.waitFor();
    await workbench.picture("real-7-refused");
    await refused.getByRole("button", { name: "Details" }).click();
    const details = workbench.page.locator(".monaco-dialog-box");
    await details.getByText("rename load -> read_all").waitFor();
    await workbench.picture("real-7-refused-details");
    await details.getByRole("button", { name: "Edit Task" }).click();
    assert.equal(await (await workbench.quickInput("Run Task")).inputValue(), "frobnicate everything");
    await workbench.page.keyboard.press("Escape");
  });

  it("shows a mission that the reviewer refused as failed, with nothing changed", async () => {
    await workbench.command("Orchestrator: Run Task…");
    const input = await workbench.quickInput("Run Task");
    await input.fill(String.raw`replace /\bfoo\(/ -> undefined_name( in app/second.py`);
    await input.press("Enter");
    await workbench.notification("Orchestrator:").waitFor({ timeout: 60_000 });
    await workbench.row("failed").first().waitFor();
    await workbench.picture("real-8-failed");
    await assertFiles(folder, FILES);
  });

  it("previews a task without changing anything", async () => {
    await workbench.command("Orchestrator: Preview Task…");
    const input = await workbench.quickInput("Preview Task");
    await input.fill(RENAME);
    await input.press("Enter");
    await workbench.tab("Preview.diff").waitFor();
    await workbench.picture("real-9-preview");
    await assertFiles(folder, FILES);
  });

  it("shows status and pools as pages, and the pools in the tooltip", async () => {
    await workbench.command("Orchestrator: Show Pool Statistics");
    await workbench.pageWith("Tool processes");
    await workbench.picture("real-10-pools");
    await workbench.command("Orchestrator: Show Status");
    await workbench.pageWith("undefined_name");
    await workbench.picture("real-11-status");
    await workbench.statusItem().hover();
    await workbench.page.locator(".monaco-hover", { hasText: "Workers" }).waitFor();
    await workbench.picture("real-12-tooltip");
  });

  it("leaves no server behind when it is restarted, and works again", async () => {
    const old = await serversIn(folder, "opencode-orchestrator");
    assert.ok(old.length > 0);
    await workbench.command("Orchestrator: Restart Server");
    await until(async () => (await serversIn(folder, "opencode-orchestrator")).every((id) => !old.includes(id)));
    await workbench.statusItem().locator(".codicon-rocket").waitFor();
    await workbench.command("Orchestrator: Run Task…");
    const input = await workbench.quickInput("Run Task");
    await workbench.picture("real-13-history");
    await input.fill("undefined");
    await workbench.page.locator(".quick-input-list .monaco-list-row", { hasText: "app/second.py" }).waitFor();
    await workbench.picture("real-14-filtered");
    await input.fill(RENAME);
    await input.press("Enter");
    await assertFiles(folder, RENAMED);
  });
});

describe("the extension with a slow server", { skip: missingTools(tools.python), timeout: 240_000 }, () => {
  let folder;
  let scratch;
  let workbench;

  before(async () => {
    folder = await project();
    scratch = await mkdtemp(join(tmpdir(), "scripted-"));
    const server = join(scratch, "scripted-server");
    await writeFile(server, `#!/bin/sh\nSCRIPTED_PACE_S=1.5 exec "${tools.python}" "${tools.scriptedServer}"\n`);
    const deaf = join(scratch, "deaf");
    await writeFile(deaf, "#!/bin/sh\nexec sleep 1000\n");
    await Promise.all([chmod(server, 0o755), chmod(deaf, 0o755)]);
    workbench = await Workbench.open(folder, { "orchestrator.server.path": server });
    await workbench.statusItem().filter({ hasText: "Orchestrator" }).waitFor({ timeout: 60_000 });
    await workbench.command("Orchestrator: Focus on Missions View");
  });

  afterEach((context) => workbench.pictureOfFailure(context));

  after(async () => {
    await workbench?.close();
    await remove(folder);
    await remove(scratch);
  });

  async function run(text) {
    await workbench.command("Orchestrator: Run Task…");
    const input = await workbench.quickInput("Run Task");
    await input.fill(text);
    await input.press("Enter");
  }

  it("shows live progress in notification, status bar and tree", async () => {
    await run(String.raw`replace /\bfoo\b/ -> bar`);
    await workbench.statusItem().filter({ hasText: /2\/4 · 75.%/ }).waitFor();
    await workbench.notification("75 % busy").waitFor();
    await workbench.row(/replace.*2\/4/).waitFor();
    await workbench.picture("slow-1-progress");
    await workbench.notification("Done:").waitFor();
    await assertFiles(folder, RENAMED);
    await workbench.row("Replace in app/first.py").click();
    await workbench.row("pytest").waitFor();
    await workbench.picture("slow-2-receipt");
    await workbench.row("first.py").last().click();
    await workbench.tab("before mission").waitFor();
    await workbench.page.locator(".modified .view-line", { hasText: "bar" }).waitFor();
    await workbench.picture("slow-3-change");
  });

  it("stops a mission from the notification", async () => {
    await run(String.raw`replace /\bbar\b/ -> baz`);
    await workbench.statusItem().filter({ hasText: "1/4" }).waitFor();
    await workbench.notification("busy").getByRole("button", { name: "Cancel" }).click();
    await workbench.notification("Stopped:").waitFor();
    await workbench.row("cancelled").waitFor();
    await workbench.picture("slow-4-stopped");
  });

  it("offers its menu from the status bar", async () => {
    await workbench.statusItem().click();
    await workbench.quickInput("Orchestrator");
    await workbench.picture("slow-5-menu");
    await workbench.page.keyboard.press("Escape");
  });

  it("starts a server again that was killed, and gives its missions up", async () => {
    await run(String.raw`replace /\bbar\b/ -> baz`);
    await workbench.statusItem().filter({ hasText: "0/4" }).waitFor();
    const [server] = await serversIn(folder, "scripted_server");
    process.kill(Number(server), "SIGKILL");
    await until(async () => (await serversIn(folder, "scripted_server")).some((id) => id !== server));
    await workbench.statusItem().filter({ hasText: "Orchestrator" }).waitFor();
    await workbench.row("cancelled").nth(1).waitFor();
    await workbench.picture("slow-6-crashed");
  });

  it("says so when there is no server, or none that answers, and starts one that is named", async () => {
    const setPath = async (file) => {
      await mkdir(join(folder, ".vscode"), { recursive: true });
      await writeFile(join(folder, ".vscode/settings.json"), JSON.stringify({ "orchestrator.server.path": file }));
    };
    await workbench.command("Notifications: Clear All Notifications");
    await setPath("/nowhere/opencode-orchestrator");
    await workbench.notification("There is no program to run at “/nowhere/opencode-orchestrator”").waitFor();
    await workbench.picture("slow-7-missing");
    await setPath("/bin/true");
    await workbench.notification("(/bin/true) did not start").waitFor();
    await workbench.picture("slow-8-not-started");
    await setPath(join(scratch, "deaf"));
    await workbench.statusItem().locator(".codicon-loading").waitFor();
    await setPath(join(scratch, "scripted-server"));
    await workbench.statusItem().locator(".codicon-rocket").waitFor();
  });
});

describe("the extension in a workspace that is not trusted", { skip: missingTools(tools.python), timeout: 240_000 }, () => {
  let folder;
  let workbench;

  before(async () => {
    folder = await project();
    const server = join(folder, ".venv/bin/opencode-orchestrator");
    await mkdir(join(server, ".."), { recursive: true });
    await writeFile(server, `#!/bin/sh\nexec "${tools.python}" "${tools.scriptedServer}"\n`);
    await chmod(server, 0o755);
    workbench = await Workbench.open(folder, {}, { trusted: false });
  });

  afterEach((context) => workbench.pictureOfFailure(context));

  after(async () => {
    await workbench?.close();
    await remove(folder);
  });

  it("leaves the workspace's own server alone until the workspace is trusted", async () => {
    const missing = workbench.notification("not looked at until you trust the workspace");
    await missing.waitFor({ timeout: 60_000 });
    assert.deepEqual(await serversIn(folder, "scripted_server"), []);
    await workbench.command("Orchestrator: Focus on Missions View");
    await workbench.page.getByText("is not started until you trust it").waitFor();
    await workbench.picture("trust-1-missing");
    await missing.getByRole("button", { name: "Manage Workspace Trust" }).click();
    await workbench.page.getByRole("button", { name: "Trust", exact: true }).click();
    await workbench.statusItem().locator(".codicon-rocket").waitFor();
    await until(async () => (await serversIn(folder, "scripted_server")).length > 0);
    await workbench.picture("trust-2-trusted");
  });
});
