import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Serial } from "../src/serial";

describe("operations in series", () => {
  it("never overlap, and one that fails does not stop the next", async () => {
    const serial = new Serial();
    const log: string[] = [];
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const first = serial.run(async () => {
      log.push("first begins");
      await gate;
      log.push("first fails");
      throw new Error("no");
    });
    const second = serial.run(() => {
      log.push("second");
      return Promise.resolve(2);
    });
    release();
    await assert.rejects(first, /no/);
    assert.equal(await second, 2);
    assert.deepEqual(log, ["first begins", "first fails", "second"]);
  });

  it("are waited for, also those that are added meanwhile", async () => {
    const serial = new Serial();
    const log: string[] = [];
    await serial.idle();
    const first = serial.run(() => {
      void serial.run(() => Promise.resolve(log.push("second")));
      return Promise.reject(new Error("no"));
    });
    first.catch(() => log.push("first failed"));
    await serial.idle();
    assert.deepEqual(log, ["first failed", "second"]);
  });
});
