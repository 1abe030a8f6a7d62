import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bytes, counted, duration, percent, statsTable, statusBarText, total } from "../src/figures";
import { MissionBook } from "../src/missionBook";
import type { PoolStats } from "../src/protocol";

/** Text with ordinary spaces, which read better in a test. */
const plain = (text: string): string => text.replaceAll("\u00a0", " ");

const STATS: PoolStats = {
  workers: { total: 4, busy: 3, queued: 12, executed: 300, stolen: 30, stealRate: 0.1, utilization: 0.923 },
  objects: { hitRate: 0.75 },
  buffers: {},
  tools: { processes: 2, busy: 1, calls: 41, p50Ms: 1.26, p99Ms: 14.7, restarts: 1 },
  concurrency: { worker: { active: 3, limit: 10, circuit: "closed" }, planner: { active: 0, limit: 10, circuit: "open" } },
  process: { rssBytes: 61_865_984, cpuPercent: 87.6, threads: 9, children: 1, fds: 31 },
};

describe("figures", () => {
  it("have their units", () => {
    assert.equal(plain(percent(0.923)), "92 %");
    assert.deepEqual([0, 1023, 1536, 61_865_984, 3 * 1024 ** 3].map((count) => plain(bytes(count))), [
      "0 B",
      "1023 B",
      "1.5 KiB",
      "59.0 MiB",
      "3.0 GiB",
    ]);
    assert.deepEqual([0.0014, 0.04, 3.21, 12.4, 59.4, 60, 75.2].map((seconds) => plain(duration(seconds))), [
      "1.4 ms",
      "40 ms",
      "3.2 s",
      "12 s",
      "59 s",
      "1 min 0 s",
      "1 min 15 s",
    ]);
    assert.deepEqual([counted(1, "file"), counted(0, "file"), counted(2, "child", "children")], ["1 file", "0 files", "2 children"]);
  });
});

describe("the status bar", () => {
  it("shows tasks and utilization while a mission runs, and rests otherwise", () => {
    const book = new MissionBook();
    const text = (stats?: PoolStats): string => plain(statusBarText(book.latest(), stats));
    assert.equal(text(STATS), "$(rocket) Orchestrator");
    book.apply({ missionId: "m", sequence: 1, kind: "accepted", text: "fix" });
    assert.equal(text(), "$(rocket) planning");
    const tasks = [{ id: "T1", title: "one" }, { id: "T2", title: "two" }];
    book.apply({ missionId: "m", sequence: 2, kind: "planned", plan: { title: "", tasks } });
    book.apply({ missionId: "m", sequence: 3, kind: "taskFinished", taskId: "T1", state: "done" });
    assert.equal(text(STATS), "$(rocket) 1/2 · 92 %");
    assert.equal(text(), "$(rocket) 1/2");
    book.apply({ missionId: "m", sequence: 4, kind: "taskStarted", taskId: "T2" });
    assert.equal(text(STATS), "$(rocket) 1/2 · 1 worker · 92 %");
    book.apply({ missionId: "m", sequence: 5, kind: "done", status: "done" });
    assert.equal(text(STATS), "$(rocket) Orchestrator");
  });

  it("shows what was spent on models", () => {
    const spent = (tokens: number, moneyUsd = 0): string => plain(statusBarText(undefined, STATS, { tokens, moneyUsd, requests: 1 }));
    assert.equal(spent(0), "$(rocket) Orchestrator");
    assert.deepEqual([spent(1), spent(820), spent(8_240), spent(123_400)], [
      "$(rocket) Orchestrator · 1 token",
      "$(rocket) Orchestrator · 820 tokens",
      "$(rocket) Orchestrator · 8.2k tokens",
      "$(rocket) Orchestrator · 123k tokens",
    ]);
    assert.deepEqual([spent(9, 0.0123), spent(9, 1.5)], ["$(rocket) Orchestrator · $0.012", "$(rocket) Orchestrator · $1.50"]);
    assert.deepEqual(total([undefined, { tokens: 1, moneyUsd: 0.5, requests: 2 }, { tokens: 3, moneyUsd: 0.25, requests: 1 }]), {
      tokens: 4,
      moneyUsd: 0.75,
      requests: 3,
    });
  });
});

describe("the table of pools", () => {
  it("shows each pool that the server told of", () => {
    assert.equal(
      plain(statsTable(STATS)),
      [
        "| | |",
        "|:--|:--|",
        "| Workers | 3 of 4 busy, 92 %, 12 queued |",
        "| Jobs | 300 run, 30 stolen (10 %) |",
        "| Tool processes | 1 of 2 busy, 41 calls, p50 1.3 ms, p99 15 ms, 1 restart |",
        "| Reused | objects 75 % |",
        "| Worker | 3 of 10 places taken |",
        "| Planner | 0 of 10 places taken, circuit open |",
        "| Server | 59.0 MiB, 88 % CPU, 9 threads, 1 child |",
      ].join("\n"),
    );
  });

  it("leaves out what is missing", () => {
    assert.deepEqual(statsTable({ workers: STATS.workers }).split("\n").length, 4);
  });
});
