// What takes its time, crashes or never answers, with a server that does so.
import { chmod, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { assertFiles, project, remove, RENAMED, serversIn, until } from "./project.mjs";
import { tools, Workbench } from "./workbench.mjs";

describe("the extension with a slow server", { timeout: 240_000 }, () => {
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

  it("shows live progress in notification, status bar and tree", async () => {
    await workbench.runTask(String.raw`replace /\bfoo\b/ -> bar`);
    await workbench.statusItem().filter({ hasText: /2\/4 · 1 worker · 75.%/ }).waitFor();
    await workbench.notification("75 % busy").waitFor();
    await workbench.row(/replace.*2\/4/).waitFor();
    await workbench.picture("slow-1-progress");
    await workbench.notification(/Done:/).waitFor();
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
    await workbench.runTask(String.raw`replace /\bbar\b/ -> baz`);
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
    await workbench.runTask(String.raw`replace /\bbar\b/ -> baz`);
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
