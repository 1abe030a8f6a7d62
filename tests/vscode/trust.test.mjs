// A workspace that nobody trusted.
import assert from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { project, remove, serversIn, until } from "./project.mjs";
import { tools, Workbench } from "./workbench.mjs";

describe("the extension in a workspace that is not trusted", { timeout: 240_000 }, () => {
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
