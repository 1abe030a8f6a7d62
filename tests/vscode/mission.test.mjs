// A mission from the palette to its undo, with the real server.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { assertFiles, FILES, project, remove, RENAME, RENAMED, serversIn, until } from "./project.mjs";
import { tools, Workbench } from "./workbench.mjs";

describe("the extension with the real server", { timeout: 240_000 }, () => {
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
    await workbench.notification(/Done:/).waitFor({ timeout: 60_000 });
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
    await workbench.notification(/Done:/).getByRole("button", { name: "Show Changes" }).click();
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
    await workbench.pageWith("Worker utilization");
    await workbench.pageWith("Server memory");
    await workbench.pageWith("Tool processes");
    await workbench.picture("real-10-pools");
    await workbench.command("Orchestrator: Show Status");
    await workbench.pageWith("undefined_name");
    await workbench.picture("real-11-status");
    await workbench.statusItem().hover();
    await workbench.page.locator(".monaco-hover", { hasText: "Workers" }).waitFor();
    await workbench.picture("real-12-tooltip");
  });

  it("says that there is nothing to clean up, and leads in", async () => {
    await workbench.command("Orchestrator: Clean Up…");
    await workbench.notification("nothing to clean up").waitFor();
    await workbench.command("Welcome: Open Walkthrough...");
    const input = workbench.page.locator(".quick-input-widget input.input");
    await workbench.page.locator(".quick-input-list .monaco-list-row", { hasText: "OpenCode Orchestrator" }).waitFor();
    await input.fill("Get Started with OpenCode Orchestrator");
    await input.press("Enter");
    await workbench.page.locator(".getting-started-step", { hasText: "Run a first task" }).waitFor();
    await workbench.picture("real-13-walkthrough");
  });

  it("leaves no server behind when it is restarted, and works again", async () => {
    const old = await serversIn(folder, "opencode-orchestrator");
    assert.ok(old.length > 0);
    await workbench.command("Orchestrator: Restart Server");
    await until(async () => (await serversIn(folder, "opencode-orchestrator")).every((id) => !old.includes(id)));
    await workbench.statusItem().locator(".codicon-rocket").waitFor();
    await workbench.command("Orchestrator: Run Task…");
    const input = await workbench.quickInput("Run Task");
    await workbench.picture("real-14-history");
    await input.fill("undefined");
    await workbench.page.locator(".quick-input-list .monaco-list-row", { hasText: "app/second.py" }).waitFor();
    await workbench.picture("real-15-filtered");
    await input.fill(RENAME);
    await input.press("Enter");
    await assertFiles(folder, RENAMED);
  });
});
