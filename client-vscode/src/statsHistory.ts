/** The pools' figures over time: pure. */

import type { PoolStats } from "./protocol";

/** The figures at one moment. */
export interface Sample {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** A share between 0 and 1. */
  readonly utilization: number;
  /** Jobs that idle workers took from busy ones since the sample before. */
  readonly stolen: number;
  /** Milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssBytes: number;
}

/** The last samples; what is older than `spanMs` before the newest, and more than `limit`, is dropped. */
export class StatsHistory {
  private readonly kept: Sample[] = [];
  private stolen: number | undefined;

  constructor(
    private readonly spanMs = 10 * 60_000,
    private readonly limit = 1000,
  ) {}

  get samples(): readonly Sample[] {
    return this.kept;
  }

  /** Takes figures in that were told at a moment, in milliseconds since the epoch. */
  add({ workers, tools, process }: PoolStats, at: number): void {
    // A counter that went back is that of another server.
    const stolen = this.stolen === undefined || workers.stolen < this.stolen ? 0 : workers.stolen - this.stolen;
    this.stolen = workers.stolen;
    this.kept.push({
      at,
      utilization: workers.utilization,
      stolen,
      p50Ms: tools?.p50Ms ?? 0,
      p99Ms: tools?.p99Ms ?? 0,
      rssBytes: process?.rssBytes ?? 0,
    });
    const first = this.kept.findIndex((sample) => sample.at >= at - this.spanMs);
    this.kept.splice(0, Math.max(first, this.kept.length - this.limit));
  }
}
