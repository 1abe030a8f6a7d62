// What a person decides while and after a mission: keep a change, take one back, stop, close the window.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { assertFiles, family, isAlive, project, remove, serversIn, until } from "./project.mjs";
import { tools, Workbench } from "./workbench.mjs";

const ORDERS = `"""Orders of the shop."""

import logging

log = logging.getLogger(__name__)


def place(order: str) -> None:
    """Take an order in."""
    print("placed " + order)


def cancel(order: str) -> None:
    """Give an order up."""
    print("cancelled " + order)


def ship(order: str) -> None:
    """Send an order out."""
    print("shipped " + order)
`;
const FILES = {
  "shop/__init__.py": "",
  "shop/orders.py": ORDERS,
  "shop/stock.py": '"""What is left."""\n\n\ndef left(item: str) -> int:\n    """Count an item."""\n    print(item)\n    return 0\n',
};
const TASK = "rewrite python: print($$$A) -> log.info($$$A) in shop/orders.py";
const logged = (text, ...words) => words.reduce((all, word) => all.replace(`print("${word} "`, `log.info("${word} "`), text);

describe("the changes of a mission, with the real server", { timeout: 240_000 }, () => {
  let folder;
  let workbench;

  before(async () => {
    folder = await project(FILES);
    workbench = await Workbench.open(folder, { "orchestrator.server.path": tools.server, "editor.minimap.enabled": false });
    await workbench.statusItem().locator(".codicon-rocket").waitFor({ timeout: 60_000 });
    await workbench.command("Orchestrator: Focus on Missions View");
  });

  afterEach((context) => workbench.pictureOfFailure(context));

  after(async () => {
    await workbench?.close();
    await remove(folder);
  });

  const lens = (title) => workbench.page.locator(".codelens-decoration a").getByText(title, { exact: true });

  /** Waits until so many lenses of this title are shown. */
  const seen = (count, title) => until(async () => (await lens(title).count()) === count);

  it("offers each change for itself", async () => {
    await workbench.openFile("shop/orders.py");
    await workbench.runTask(TASK);
    await workbench.notification(/Done:/).waitFor({ timeout: 60_000 });
    await assertFiles(folder, { "shop/orders.py": logged(ORDERS, "placed", "cancelled", "shipped") });
    await seen(3, "Accept");
    await workbench.command("Notifications: Clear All Notifications");
    await workbench.picture("changes-1-lenses");
  });

  it("keeps the change that is accepted, and takes back the one that is rejected", async () => {
    await lens("Accept").first().click();
    await seen(2, "Accept");
    await lens("Reject").first().click();
    await seen(1, "Accept");
    await assertFiles(folder, { "shop/orders.py": logged(ORDERS, "placed", "shipped") });
    await workbench.tab("orders.py").and(workbench.page.locator(":not(.dirty)")).waitFor();
    await workbench.picture("changes-2-decided");
  });

  it("undoes the rest, and leaves what was taken back alone", async () => {
    await workbench.row(TASK.slice(0, 20)).first().hover();
    await workbench.row(TASK.slice(0, 20)).first().getByRole("button", { name: "Undo Mission" }).click();
    await workbench.notification("Undone:").waitFor();
    await assertFiles(folder, FILES);
  });

  it("stops a mission with the command that it runs", async () => {
    const trusted = spawnSync(tools.server, ["trust", "--workspace", folder], { env: workbench.environment, encoding: "utf8" });
    assert.equal(trusted.status, 0, trusted.stderr);
    await workbench.runTask("run sleep 600");
    const [server] = await serversIn(folder, "opencode-orchestrator");
    const sleeping = async () => {
      const commands = await Promise.all((await family(server)).map((id) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")));
      return commands.filter((command) => command.split("\0").join(" ").trim() === "sleep 600").length;
    };
    await until(async () => (await sleeping()) > 0);
    await workbench.statusItem().filter({ hasText: "0/1 · 1 worker" }).waitFor();
    await workbench.picture("changes-3-running");
    await workbench.command("Orchestrator: Stop");
    await workbench.notification("Stopped:").waitFor();
    await workbench.row("cancelled").first().waitFor();
    await until(async () => (await sleeping()) === 0);
    await assertFiles(folder, FILES);
  });

  it("leaves nothing behind when the window is closed", async () => {
    const [server] = await serversIn(folder, "opencode-orchestrator");
    const all = await family(server);
    assert.ok(all.length > 1, "the server has processes of its own");
    await workbench.closeWindow();
    await until(async () => (await Promise.all(all.map(isAlive))).every((alive) => !alive));
    assert.deepEqual(await serversIn(folder, "opencode"), []);
    await assertFiles(folder, FILES);
  });
});
