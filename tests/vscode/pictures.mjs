// Takes the pictures of README.md: `node tests/vscode/pictures.mjs docs/images`, after `make test-vscode`.
import { cp, mkdir, mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { withPalette } from "./palette.mjs";
import { remove } from "./project.mjs";
import { REPOSITORY, tools, Workbench } from "./workbench.mjs";

const PLAN = `# Mission: Tidy the language server
## M1: Names and texts
### T1.1: Call the codec a converter | depends: -
- [ ] rename PositionCodec -> PositionConverter
### T1.2: Log requests at level info | depends: -
- [ ] rewrite python: logger.debug($$$ARGS) -> logger.info($$$ARGS) in pygls/protocol
### T1.3: Say what could not be done | depends: -
- [ ] replace /Unable to (\\w+)/ -> "Could not $1" in pygls
## M2: Layout
### T2.1: Sort imports, drop unused ones | depends: T1.1, T1.2, T1.3
- [ ] fix I,F401 in pygls
### T2.2: Format what was touched | depends: T2.1
- [ ] format pygls/client.py pygls/workspace
`;
const SETTINGS = {
  "orchestrator.server.path": tools.server,
  "workbench.colorTheme": "Dark Modern",
  "editor.minimap.enabled": false,
  "window.commandCenter": false,
  "explorer.confirmDelete": false,
};

/** A folder with a real package and a plan for it. */
async function workspace() {
  const folder = join(await mkdtemp(join(tmpdir(), "pictures-")), "pygls");
  const [python] = (await readdir(join(REPOSITORY, ".venv/lib"))).filter((name) => name.startsWith("python"));
  const from = join(REPOSITORY, ".venv/lib", python, "site-packages/pygls");
  await cp(from, join(folder, "pygls"), { recursive: true, filter: (name) => !name.includes("__pycache__") });
  await mkdir(join(folder, ".opencode"));
  await writeFile(join(folder, ".opencode/todo.md"), PLAN);
  return folder;
}

const [target = "docs/images"] = process.argv.slice(2);
await mkdir(target, { recursive: true });
const folder = await workspace();
const workbench = await Workbench.open(folder, SETTINGS);
const { page } = workbench;
const take = async (name) => writeFile(join(target, name), withPalette(await page.screenshot()));
const clear = async () => {
  await workbench.command("Notifications: Clear All Notifications");
  await workbench.notification(":").first().waitFor({ state: "detached" });
  await sleep(500); // the palette is gone
};
try {
  await page.setViewportSize({ width: 1120, height: 640 });
  await workbench.statusItem().locator(".codicon-rocket").waitFor({ timeout: 90_000 });
  await workbench.command("Orchestrator: Focus on Missions View");
  const run = async () => {
    await writeFile(join(folder, ".opencode/todo.md"), PLAN);
    await workbench.command("Orchestrator: Run Plan File");
    await workbench.notification(/Done:/).waitFor({ timeout: 90_000 });
  };
  await run();
  await clear();
  await workbench.openFile("pygls/protocol/json_rpc.py");
  await workbench.command("Go to Line/Column...");
  await page.keyboard.type("506");
  await page.keyboard.press("Enter");
  await page.locator(".codelens-decoration a:visible").getByText("Accept", { exact: true }).first().waitFor();
  await workbench.row("Sort imports").click();
  await sleep(1500); // for the picture alone: what fades in is there
  await take("vscode-mission.png");
  for (let round = 0; round < 3; round += 1) {
    await workbench.command("Orchestrator: Undo Last Mission");
    await workbench.notification("Undone:").waitFor();
    await run();
    await clear();
  }
  await workbench.command("Orchestrator: Show Pool Statistics");
  await workbench.pageWith("Tool processes");
  await sleep(1500);
  await take("vscode-pools.png");
} catch (error) {
  await workbench.picture("failed-pictures");
  throw error;
} finally {
  await workbench.close();
  await remove(join(folder, ".."));
}
