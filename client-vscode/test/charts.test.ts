import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ceiling, chart, type Chart } from "../src/charts";

const PLAIN: Chart = {
  title: "Load",
  curves: [{ name: "load", style: "one", values: [0, 50, 100] }],
  least: 1,
  format: (value) => `${value} u`,
};

describe("a chart", () => {
  it("spreads the values over its width by their times, the largest at the top", () => {
    const drawn = chart(PLAIN, [0, 1000, 4000]);
    assert.match(drawn, /polyline class="line one" points="58,130 162.5,69 476,8"/);
    assert.match(drawn, /<h2>Load<span><span class="value one"><i><\/i><b>100 u<\/b>/);
    assert.match(drawn, />4 s before</);
    assert.match(drawn, /<text [^>]*>50 u<\/text>/);
  });

  it("names its curves where there are several, and fills none of them", () => {
    const two = chart({ ...PLAIN, curves: [...PLAIN.curves, { name: "rest", style: "two", values: [1, 1, 1] }] }, [0, 1, 2]);
    assert.match(two, /load <b>100 u<\/b>.*rest <b>1 u<\/b>/);
    assert.doesNotMatch(two, /class="area/);
    assert.match(chart(PLAIN, [0, 1, 2]), /class="area one"/);
  });

  it("draws columns for what happened, and none for nothing", () => {
    const drawn = chart({ ...PLAIN, bars: true }, [0, 1, 2]);
    assert.equal(drawn.match(/class="bar one"/g)?.length, 2);
  });

  it("draws one sample, and none", () => {
    assert.match(chart({ ...PLAIN, curves: [{ name: "load", style: "one", values: [1] }] }, [7]), /circle[^>]* cx="58"/);
    assert.doesNotMatch(chart({ ...PLAIN, curves: [{ name: "load", style: "one", values: [] }] }, []), /NaN|polyline/);
  });

  it("needs no style attribute, which the page's policy forbids", () => {
    assert.doesNotMatch(chart(PLAIN, [0, 1, 2]), /style=/);
  });

  it("ends at a round number", () => {
    assert.deepEqual([0.3, 1, 1.2, 4, 7, 51, 100, 130].map(ceiling), [0.4, 1, 2, 4, 10, 100, 100, 200]);
  });
});
