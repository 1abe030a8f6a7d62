// The bridge to VS Code's language models, with a model from a second extension, and the chat.
import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { assertFiles, FILES, project, remove, RENAME, RENAMED } from "./project.mjs";
import { pack, tools, Workbench } from "./workbench.mjs";

describe("VS Code's language model, with the real server", { timeout: 240_000 }, () => {
  let folder;
  let scratch;
  let workbench;

  before(async () => {
    folder = await project();
    scratch = await mkdtemp(join(tmpdir(), "model-"));
    const settings = { "orchestrator.server.path": tools.server, "chat.disableAIFeatures": false };
    workbench = await Workbench.open(folder, settings, { extensions: [pack("model-extension", scratch)] });
    await workbench.statusItem().locator(".codicon-rocket").waitFor({ timeout: 60_000 });
    await workbench.command("Orchestrator: Focus on Missions View");
  });

  afterEach((context) => workbench.pictureOfFailure(context));

  after(async () => {
    await workbench?.close();
    await remove(folder);
    await remove(scratch);
  });

  const model = (state) => workbench.page.locator(".statusbar-item", { hasText: `Scripted model: ${state}` });

  it("can be chosen", async () => {
    await workbench.command("Orchestrator: Select Language Model…");
    const input = await workbench.quickInput("Language model");
    await input.fill("scripted/actor");
    await workbench.page.locator(".quick-input-list .monaco-list-row", { hasText: "Actor" }).waitFor();
    await workbench.picture("model-1-choice");
    await input.press("Enter");
  });

  it("plans a task in plain words, does it with tools, and reviews it; the status bar says what that took", async () => {
    await workbench.runTask("leave a note for the next person");
    await workbench.notification(/Done:/).waitFor({ timeout: 60_000 });
    await assertFiles(folder, { ...FILES, "NOTES.md": "A note.\n" });
    await workbench.statusItem().filter({ hasText: /Orchestrator · [\d.]+k.tokens/ }).waitFor();
    await workbench.picture("model-2-done");
  });

  it("is told when its mission is stopped", async () => {
    await workbench.command("Scripted Model: Hang From Now On");
    await workbench.runTask("leave another note");
    await model("thinking").waitFor();
    await workbench.command("Orchestrator: Stop");
    await model("cancelled").waitFor();
    await workbench.row("cancelled").first().waitFor();
    await assertFiles(folder, { ...FILES, "NOTES.md": "A note.\n" });
  });

  it("is not needed for a verb, which the chat runs and undoes", async () => {
    await workbench.command("Notifications: Clear All Notifications");
    await workbench.page.keyboard.press("Control+Alt+I");
    await workbench.page.locator(".interactive-input-part .monaco-editor.focused").waitFor();
    await workbench.page.keyboard.type(`@orchestrator /task ${RENAME}`);
    await workbench.page.keyboard.press("Enter");
    const reply = workbench.page.locator(".interactive-response").last();
    await reply.getByText("3 files changed").or(reply.getByText("2 files changed")).waitFor();
    await workbench.picture("model-3-chat");
    await assertFiles(folder, RENAMED);
    await reply.getByRole("button", { name: "Undo" }).click();
    await workbench.notification("Undone:").waitFor();
    await assertFiles(folder, FILES);
  });

  it("answers in the chat what the server refuses", async () => {
    await workbench.page.locator(".interactive-input-part .monaco-editor").click();
    await workbench.page.keyboard.type("@orchestrator /task rename nothing_like_this -> other");
    await workbench.page.keyboard.press("Enter");
    await workbench.page.locator(".interactive-response").last().getByText("nothing_like_this").first().waitFor();
    await workbench.picture("model-4-refused");
    assert.equal(await workbench.page.locator(".interactive-response").count(), 2);
  });
});
