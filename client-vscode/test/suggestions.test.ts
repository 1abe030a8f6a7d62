import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { remembered, suggestions } from "../src/suggestions";

const texts = (history: string[], selected = ""): string[] => suggestions(history, selected).map((suggestion) => suggestion.text);

describe("the prompt", () => {
  it("offers the history to run, and the verbs to be finished", () => {
    const [first, second, ...verbs] = suggestions(["check", "fix F"], "");
    assert.deepEqual([first?.text, second?.text], ["check", "fix F"]);
    assert.ok(first?.complete && second?.complete);
    assert.ok(verbs.length > 3);
    assert.ok(verbs.every((verb) => verb.group === "verb" && !verb.complete));
  });

  it("offers to rename a selected name, and takes other selections as a text", () => {
    assert.equal(texts([], "load_all")[0], "rename load_all -> ");
    assert.equal(texts([], " rename a -> b\nfix F ")[0], "rename a -> b\nfix F");
    const long = "x y ".repeat(1000);
    assert.ok(!texts([], long).includes(long.trim()));
  });

  it("remembers each text once, the newest first", () => {
    assert.deepEqual(remembered(["a", "b"], "b"), ["b", "a"]);
    assert.equal(remembered(Array.from({ length: 80 }, (_, index) => String(index)), "new").length, 50);
  });
});
