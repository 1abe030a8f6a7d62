// Tasks from a source file, what a check found there, and the record of a mission, with the real server.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { FILES, project, remove, until } from "./project.mjs";
import { tools, Workbench } from "./workbench.mjs";

describe("a source file with the real server", { timeout: 240_000 }, () => {
  let folder;
  let workbench;

  before(async () => {
    folder = await project();
    workbench = await Workbench.open(folder, { "orchestrator.server.path": tools.server });
    await workbench.statusItem().filter({ hasText: "Orchestrator" }).waitFor({ timeout: 60_000 });
  });

  afterEach((context) => workbench.pictureOfFailure(context));

  after(async () => {
    await workbench?.close();
    await remove(folder);
  });

  const read = (name) => readFile(join(folder, name), "utf8");

  /** Opens the list of code actions at a place, as often as it takes: the server may just have started. */
  async function codeActions(title, goThere) {
    const action = workbench.page.locator(".action-widget .monaco-list-row", { hasText: title });
    for (let left = 5; ; left -= 1) {
      await goThere();
      await workbench.page.keyboard.press("Control+.");
      try {
        await action.first().waitFor({ timeout: 12_000 });
        return action.first();
      } catch (error) {
        if (left === 0) {
          throw error;
        }
        await workbench.page.keyboard.press("Escape");
      }
    }
  }

  it("asks for the task of a selection, and does it in that file", async () => {
    await workbench.openFile("app/first.py");
    const here = await codeActions("Run a task here…", async () => {
      await workbench.page.keyboard.press("Control+Home");
      await workbench.page.keyboard.press("Shift+ArrowDown");
    });
    await workbench.picture("source-1-actions");
    await here.click();
    const input = workbench.page.locator(".quick-input-widget input.input");
    await input.waitFor();
    await workbench.page.locator(".quick-input-widget", { hasText: "app/first.py, line 1" }).waitFor();
    await input.fill(String.raw`replace /\bfoo\b/ -> bar`);
    await input.press("Enter");
    await workbench.page.locator(".view-lines", { hasText: "def bar" }).waitFor({ timeout: 60_000 });
    await until(async () => (await read("app/first.py")).includes("def bar("));
    assert.equal(await read("app/second.py"), FILES["app/second.py"]);
  });

  it("opens the record of the mission from the tree", async () => {
    await workbench.command("Orchestrator: Focus on Missions View");
    await workbench.row("Files changed").waitFor(); // from now on the rows stay where they are
    await workbench.row("replace").first().click({ button: "right" });
    const item = workbench.page.locator(".monaco-menu .action-item", { hasText: "Show Record" });
    await item.waitFor();
    await until(async () => {
      if (await item.isVisible()) {
        await item.click(); // a menu that has just opened may take a click for the one that opened it
      }
      return (await workbench.tab(".md").count()) > 0;
    });
    await workbench.page.locator(".view-lines", { hasText: "the checks passed" }).waitFor();
    await workbench.picture("source-2-record");
  });

  it("marks what a check found where the edit would have been", async () => {
    await workbench.command("Orchestrator: Run Task…");
    const input = await workbench.quickInput("Run Task");
    await input.fill("replace /return value/ -> return nothing in app/first.py");
    await input.press("Enter");
    await workbench.tab("first.py").click();
    await workbench.page.locator(".squiggly-warning").first().waitFor({ timeout: 60_000 });
    await codeActions("Try the mission again", async () => {
      await workbench.command("Go to Next Problem in Files (Error, Warning, Info)");
      await workbench.page.getByText("Not applied").first().waitFor();
      await workbench.picture("source-3-finding");
    });
    await workbench.picture("source-4-try-again");
  });
});
