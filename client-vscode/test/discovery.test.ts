import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { candidates, firstRunnable, isRunnable, type Surroundings } from "../src/discovery";

const HERE: Surroundings = {
  setting: "",
  interpreter: "/envs/app/bin/python",
  folders: ["/code/one", "/code/two"],
  trusted: true,
  searchPath: "/usr/bin:relative::/home/me/.local/bin:/usr/bin",
  home: "/home/me",
  windows: false,
  extension: "/extension",
};

const files = (around: Partial<Surroundings>): string[] => candidates({ ...HERE, ...around }).map((place) => place.file);

describe("the search for the server", () => {
  it("goes from the interpreter over the workspace to PATH and to what came with it, each place once", () => {
    assert.deepEqual(
      candidates(HERE).map(({ file, source }) => `${source}: ${file}`),
      [
        "interpreter: /envs/app/bin/opencode-orchestrator",
        "workspace: /code/one/.venv/bin/opencode-orchestrator",
        "workspace: /code/two/.venv/bin/opencode-orchestrator",
        "PATH: /usr/bin/opencode-orchestrator",
        "PATH: /home/me/.local/bin/opencode-orchestrator",
        "bundled: /extension/bundled/bin/opencode-orchestrator",
      ],
    );
    assert.equal(files({ interpreter: "/code/one/.venv/bin/python" }).length, 5);
  });

  it("looks nowhere else when the setting names a program", () => {
    assert.deepEqual(files({ setting: "/opt/orc" }), ["/opt/orc"]);
    assert.deepEqual(files({ setting: "~/bin/orc" }), ["/home/me/bin/orc"]);
    assert.deepEqual(files({ setting: "${workspaceFolder}/env/bin/orc" }), ["/code/one/env/bin/orc"]);
    assert.deepEqual(files({ setting: " env/../bin/orc " }), ["/code/one/bin/orc"]);
  });

  it("looks at nothing of the workspace while that is not trusted", () => {
    assert.deepEqual(files({ trusted: false }), [
      "/usr/bin/opencode-orchestrator",
      "/home/me/.local/bin/opencode-orchestrator",
      "/extension/bundled/bin/opencode-orchestrator",
    ]);
  });

  it("knows Windows", () => {
    assert.deepEqual(
      files({
        interpreter: "C:\\env\\Scripts\\python.exe",
        folders: ["C:\\w"],
        searchPath: "C:\\bin;bin",
        windows: true,
        extension: "C:\\ext",
      }),
      [
        "C:\\env\\Scripts\\opencode-orchestrator.exe",
        "C:\\w\\.venv\\Scripts\\opencode-orchestrator.exe",
        "C:\\bin\\opencode-orchestrator.exe",
        "C:\\ext\\bundled\\bin\\opencode-orchestrator.exe",
      ],
    );
  });

  it("takes the first program that can be run: not a folder, not a plain file", async (test) => {
    const folder = await mkdtemp(join(tmpdir(), "orchestrator-"));
    test.after(() => rm(folder, { recursive: true }));
    const [directory, plain, program] = ["directory", "plain", "program"].map((name) => join(folder, name)) as [string, string, string];
    await mkdir(directory);
    await writeFile(plain, "");
    await writeFile(program, "");
    await chmod(program, 0o755);
    const places = [join(folder, "absent"), directory, plain, program].map((file) => ({ file, source: "PATH" }) as const);
    assert.equal((await firstRunnable(places))?.file, program);
    assert.equal(await firstRunnable(places.slice(0, 3)), undefined);
    assert.equal(await isRunnable(program), true);
  });
});
