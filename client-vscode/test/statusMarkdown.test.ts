import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MissionOverview } from "../src/protocol";
import { statusMarkdown } from "../src/statusMarkdown";

const NOW = new Date(2026, 0, 2, 12, 0, 0);
const MISSION: MissionOverview = {
  mission: "20260102-100000-ab12",
  text: "replace /a|b/ -> *c*\nthen fix F",
  status: "failed",
  startedAt: new Date(2026, 0, 2, 10, 0, 0).getTime() / 1000,
  durationS: 1.5,
  reason: "T2 failed",
  tasks: [
    {
      id: "T1",
      title: "Replace",
      status: "done",
      files: ["a.py"],
      receipt: {
        taskId: "T1",
        passed: true,
        checks: [
          { name: "ruff", status: "passed", before: 3, after: 1 },
          { name: "pytest", status: "unverified" },
        ],
      },
      reason: "",
      notes: ["read-only: b.py"],
    },
    { id: "T2", title: "Fix F", status: "failed", files: [], receipt: null, reason: "an undefined name", notes: [] },
  ],
  filesChanged: ["a.py"],
};

describe("the page of missions", () => {
  it("shows status, tasks, checks and reasons, and takes texts literally", () => {
    assert.equal(
      statusMarkdown([MISSION], NOW).replaceAll("\u00a0", " "),
      [
        "# Missions",
        "",
        "## ✗ replace /a\\|b/ -\\> \\*c\\* ⏎ then fix F",
        "",
        "**failed** · 10:00:00 · 1.5 s · 1 file · `20260102-100000-ab12`",
        "",
        "> T2 failed",
        "",
        "| | task | | changed | checked |",
        "|:--|:--|:--|:--|:--|",
        "| ✓ done | T1 | Replace | 1 file | ruff passed, 3 → 1 finding<br>pytest unverified<br>read-only: b.py |",
        "| ✗ failed | T2 | Fix F | 0 files | an undefined name |",
        "",
      ].join("\n"),
    );
  });

  it("shows the date of a mission of another day", () => {
    assert.match(statusMarkdown([MISSION], new Date(2026, 0, 3)), / · Fri Jan 02 2026 10:00:00 · /);
  });

  it("says so when there is none", () => {
    assert.match(statusMarkdown([], NOW), /No mission has run/);
  });
});
