import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { processEnded, startProcess } from "../src/serverProcess";

async function script(test: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "orchestrator-"));
  test.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "server");
  await writeFile(file, `#!/bin/sh\n${text}\n`);
  await chmod(file, 0o755);
  return file;
}

describe("the server's process", { skip: process.platform === "win32" && "uses a shell script" }, () => {
  it("that cannot be started is an error", async () => {
    await assert.rejects(startProcess("/nowhere/opencode-orchestrator", undefined), /ENOENT/);
  });

  it("is given its arguments and time to end", async (test) => {
    const child = await startProcess(await script(test, 'echo "$@"; read -r line; exit 7'), undefined);
    const printed = await child.stdout?.take(1).toArray();
    assert.equal(String(printed), "serve --stdio\n");
    child.stdin?.end("end\n");
    await processEnded(child, 30_000);
    assert.equal(child.exitCode, 7);
    await processEnded(child, 0);
  });

  it("is killed when it does not end", async (test) => {
    const child = await startProcess(await script(test, "trap '' TERM; echo ready; while :; do read -r x || sleep 0.1; done"), undefined);
    test.after(() => child.kill("SIGKILL"));
    await child.stdout?.take(1).toArray();
    await processEnded(child, 10);
    assert.equal(child.signalCode, "SIGKILL");
  });
});
