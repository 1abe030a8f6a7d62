import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { reportMarkdown } from "../src/reportMarkdown";

describe("a report", () => {
  it("shows plain fields as a table, lists of records as tables, nested ones as sections", () => {
    const value = {
      planFile: "a|b.md",
      missions: [{ id: "m1", filesChanged: 2, ok: true }, { id: "m2", filesChanged: 0.123456, ok: null }],
      tools: { hitRate: 0.5, names: ["grep", "glob"] },
      empty: [],
    };
    assert.equal(
      reportMarkdown("Status", value),
      [
        "# Status",
        "",
        "|  |  |",
        "| :-- | :-- |",
        "| plan file | a\\|b.md |",
        "| empty | – |",
        "",
        "## missions",
        "",
        "| id | files changed | ok |",
        "| :-- | :-- | :-- |",
        "| m1 | 2 | true |",
        "| m2 | 0.1235 | – |",
        "",
        "## tools",
        "",
        "|  |  |",
        "| :-- | :-- |",
        "| hit rate | 0.5 |",
        "| names | grep, glob |",
      ].join("\n"),
    );
  });

  it("names the sections of a list by title, text or id", () => {
    const text = reportMarkdown("Plan", [{ title: "One", tasks: [{ id: "T1" }] }]);
    assert.ok(text.startsWith("# Plan\n\n## One\n"));
  });
});
