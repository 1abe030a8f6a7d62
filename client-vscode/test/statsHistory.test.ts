import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PoolStats } from "../src/protocol";
import { StatsHistory } from "../src/statsHistory";

function stats(stolen: number): PoolStats {
  return {
    workers: { total: 4, busy: 2, queued: 0, executed: 9, stolen, stealRate: 0, utilization: 0.5 },
    tools: { processes: 1, busy: 0, calls: 3, p50Ms: 1.5, p99Ms: 9, restarts: 0 },
    process: { rssBytes: 1024, cpuPercent: 1, threads: 2, children: 1, fds: 9 },
  };
}

describe("the history of figures", () => {
  it("keeps what was told, and of counters what was added since the time before", () => {
    const history = new StatsHistory();
    for (const [at, stolen] of [7, 10, 10].entries()) {
      history.add(stats(stolen), at);
    }
    assert.deepEqual(history.samples[1], { at: 1, utilization: 0.5, stolen: 3, p50Ms: 1.5, p99Ms: 9, rssBytes: 1024 });
    assert.deepEqual(history.samples.map((sample) => sample.stolen), [0, 3, 0]);
  });

  it("takes a counter that went back for that of another server", () => {
    const history = new StatsHistory();
    for (const stolen of [7, 2, 5]) {
      history.add(stats(stolen), 0);
    }
    assert.deepEqual(history.samples.map((sample) => sample.stolen), [0, 0, 3]);
  });

  it("drops what is too old or too much", () => {
    const history = new StatsHistory(100, 3);
    const times = (): number[] => history.samples.map((sample) => sample.at);
    for (const at of [0, 60, 120]) {
      history.add(stats(0), at);
    }
    assert.deepEqual(times(), [60, 120]);
    for (const at of [121, 122, 123]) {
      history.add(stats(0), at);
    }
    assert.deepEqual(times(), [121, 122, 123]);
  });

  it("does without what the server leaves out", () => {
    const history = new StatsHistory();
    history.add({ workers: stats(0).workers }, 0);
    assert.equal(history.samples[0]?.rssBytes, 0);
  });
});
