import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { explicitSettings, serverSettings, type Inspected } from "../src/settings";

// npm runs the tests in the extension's folder.
const MANIFEST: unknown = JSON.parse(readFileSync("package.json", "utf8"));
const PYTHON = "../.venv/bin/python";

/** Prints each setting of the engine and its default, by dotted name; what files hold apart is none. */
const SCHEMA = `
import json, msgspec
from orchestrator_core.config import Settings
def flat(prefix, values):
    for key, value in values.items():
        yield from flat(prefix + key + ".", value) if isinstance(value, dict) else [(prefix + key, value)]
settings = dict(flat("", msgspec.to_builtins(Settings())))
del settings["workspacePermissions"]
print(json.dumps(settings))
`;

describe("the settings", () => {
  it("sent to the server are those that a person has set, nested by their names", () => {
    const told: Record<string, Inspected> = {
      "mode": { globalValue: "race" },
      "limits.worker": { workspaceValue: 4 },
      "limits.total": {},
      "checks": { workspaceFolderValue: [] },
    };
    const values: Record<string, unknown> = { "mode": "race", "limits.worker": 4, "limits.total": 50, "checks": [] };
    const names = [...Object.keys(told), "backend"];
    assert.deepEqual(explicitSettings(names, (name) => told[name], (name) => values[name]), {
      mode: "race",
      limits: { worker: 4 },
      checks: [],
    });
  });

  it("of the client stay here", () => {
    const names = serverSettings(MANIFEST);
    assert.ok(names.includes("backend"));
    assert.deepEqual(names.filter((name) => /^(server|trace|saveEditedFiles)/.test(name)), []);
  });

  it("in the manifest are the engine's, with its defaults", { skip: !existsSync(PYTHON) && "no engine installed beside" }, () => {
    const engine = JSON.parse(execFileSync(PYTHON, ["-c", SCHEMA], { encoding: "utf8", env: { PYTHONPATH: "../core" } })) as Record<string, unknown>;
    const sections = (MANIFEST as { contributes: { configuration: { properties: Record<string, { default: unknown }> }[] } })
      .contributes.configuration;
    const properties = Object.assign({}, ...sections.map((section) => section.properties)) as Record<string, { default: unknown }>;
    const manifest = Object.fromEntries(serverSettings(MANIFEST).map((name) => [name, properties[`orchestrator.${name}`]?.default]));
    assert.deepEqual(manifest, engine);
  });
});
