import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BeforeImages } from "../src/beforeImages";

describe("texts from before a mission", () => {
  it("belong to the mission whose edit was applied, and stay the first ones", () => {
    const images = new BeforeImages();
    images.taken("a", "one");
    images.assign("m1", "a");
    images.taken("a", "two");
    images.assign("m1", "a");
    images.taken("a", "three");
    images.assign("m2", "a");
    assert.equal(images.get("m1", "a"), "one");
    assert.equal(images.get("m2", "a"), "three");
    assert.equal(images.get("m1", "b"), undefined);
  });

  it("are those right before the edit: a refused edit leaves none behind", () => {
    const images = new BeforeImages();
    images.taken("a", "refused");
    images.taken("a", "applied");
    images.assign("m1", "a");
    assert.equal(images.get("m1", "a"), "applied");
  });

  it("of the oldest missions are dropped beyond the limit", () => {
    const images = new BeforeImages(10);
    for (const mission of ["m1", "m2", "m3"]) {
      images.taken("a", "12345");
      images.assign(mission, "a");
    }
    assert.deepEqual(["m1", "m2", "m3"].map((mission) => images.get(mission, "a")), [undefined, "12345", "12345"]);
  });
});
