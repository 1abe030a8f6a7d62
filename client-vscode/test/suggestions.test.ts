import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { remembered, suggestions } from "../src/suggestions";

const texts = (typed: string, history: string[], selected = ""): string[] =>
  suggestions(typed, history, selected).map((suggestion) => suggestion.text);

describe("the prompt", () => {
  it("offers the typed text first, then the history without it", () => {
    assert.deepEqual(texts(" fix F ", ["fix F", "check"]), ["fix F", "check"]);
  });

  it("offers the verbs while nothing is typed, to be finished", () => {
    const offered = suggestions("", ["check"], "");
    assert.deepEqual(offered[0]?.text, "check");
    const verbs = offered.filter((suggestion) => suggestion.group === "verb");
    assert.ok(verbs.length > 3);
    assert.ok(verbs.every((verb) => !verb.complete));
  });

  it("offers to rename a selected name, and takes other selections as a text", () => {
    assert.equal(texts("", [], "load_all")[0], "rename load_all -> ");
    assert.equal(texts("", [], " rename a -> b\nfix F ")[0], "rename a -> b\nfix F");
    const long = "x y ".repeat(1000);
    assert.ok(!texts("", [], long).includes(long.trim()));
  });

  it("remembers each text once, the newest first", () => {
    assert.deepEqual(remembered(["a", "b"], "b"), ["b", "a"]);
    assert.equal(remembered(Array.from({ length: 80 }, (_, index) => String(index)), "new").length, 50);
  });
});
