import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RestartBudget } from "../src/restartBudget";

describe("the budget of restarts", () => {
  it("is spent after its limit, and comes back with time", () => {
    const budget = new RestartBudget(2, 1000);
    assert.deepEqual([0, 10, 20, 999, 1000, 1009, 1010].map((now) => budget.spend(now)), [
      true,
      true,
      false,
      false,
      true,
      false,
      true,
    ]);
  });
});
