/** What the server and this client say to each other beyond the standard protocol. */

import { NotificationType, RequestType } from "vscode-languageclient/node";

export type MissionStatus = "planning" | "running" | "done" | "failed" | "cancelled" | "undone";
export type TaskState = "pending" | "running" | "done" | "failed" | "cancelled";

/** One check that the server ran; `before` is -1 where there was no baseline. */
export interface CheckResult {
  readonly name: string;
  readonly status: "passed" | "failed" | "unverified";
  readonly command?: string;
  readonly exitCode?: number;
  readonly before?: number;
  readonly after?: number;
  readonly durationS?: number;
  readonly details?: readonly string[];
}

/** The proof that a task was reviewed. */
export interface Receipt {
  readonly taskId: string;
  readonly passed: boolean;
  readonly checks: readonly CheckResult[];
}

/** One changed file; its path is relative to the workspace, with forward slashes. */
export interface FileChange {
  readonly path: string;
  readonly kind: "modify" | "create" | "delete" | "rename";
  /** Of a rename; else absent or empty. */
  readonly newPath?: string;
}

export interface PlannedTask {
  readonly id: string;
  readonly title: string;
  readonly depends?: readonly string[];
  readonly steps?: readonly { readonly text: string }[];
  readonly files?: readonly string[];
  readonly milestone?: string;
  readonly state?: TaskState;
}

interface EventHead {
  readonly missionId: string;
  readonly sequence: number;
  /** Seconds since the epoch. */
  readonly at?: number;
}

/** `$/orchestrator/missionEvent`: what happened in a mission, numbered from 1. */
export type MissionEvent = EventHead &
  (
    | {
        readonly kind: "accepted";
        readonly text: string;
        readonly dryRun?: boolean;
        /** Where the plan came from; empty or absent where the Planner makes one. */
        readonly planFile?: string;
      }
    | { readonly kind: "planned"; readonly plan: { readonly title: string; readonly tasks: readonly PlannedTask[] } }
    | { readonly kind: "taskDivided"; readonly taskId: string; readonly parts: readonly PlannedTask[] }
    | { readonly kind: "taskStarted"; readonly taskId: string; readonly attempt?: number }
    | { readonly kind: "editsIntended"; readonly taskId: string; readonly changes: readonly FileChange[] }
    | { readonly kind: "editApplied"; readonly taskId: string; readonly changes: readonly FileChange[] }
    | {
        readonly kind: "editReverted";
        /** Empty where the edits of all tasks were taken back. */
        readonly taskId: string;
        readonly changes: readonly FileChange[];
        readonly unrestored?: readonly string[];
      }
    | { readonly kind: "review"; readonly taskId: string; readonly receipt: Receipt }
    | {
        readonly kind: "taskFinished";
        readonly taskId: string;
        readonly state: TaskState;
        readonly reason?: string;
        readonly notes?: readonly string[];
      }
    | {
        readonly kind: "done";
        readonly status: MissionStatus;
        readonly reason?: string;
        readonly durationS?: number;
      }
    | { readonly kind: "spent"; readonly spent: Spent }
    | { readonly kind: "undone"; readonly unrestored?: readonly string[] }
  );

/** What a mission spent on models so far. */
export interface Spent {
  readonly tokens: number;
  /** As far as prices are known. */
  readonly moneyUsd: number;
  readonly requests: number;
}

/** An entry of the answer of `/status`: the newest mission comes first. */
export interface MissionOverview {
  readonly mission: string;
  readonly text: string;
  readonly status: MissionStatus;
  /** Seconds since the epoch. */
  readonly startedAt: number;
  /** Seconds; 0 while it runs. */
  readonly durationS: number;
  readonly reason: string;
  readonly tasks: readonly {
    readonly id: string;
    readonly title: string;
    readonly status: TaskState;
    readonly files: readonly string[];
    readonly receipt: Receipt | null;
    readonly reason: string;
    readonly notes: readonly string[];
  }[];
  readonly filesChanged: readonly string[];
  readonly planFile?: string;
}

/** A pool that hands out reusable things; rates are shares between 0 and 1. */
export interface ReusePool {
  readonly hitRate?: number;
  readonly [figure: string]: unknown;
}

/** The agents of a role. */
export interface RoleUse {
  readonly active: number;
  readonly limit: number;
  readonly circuit: string;
}

/** `$/orchestrator/poolStats`; rates and utilization are shares between 0 and 1. */
export interface PoolStats {
  readonly workers: {
    readonly total: number;
    readonly busy: number;
    readonly queued: number;
    readonly executed: number;
    readonly stolen: number;
    readonly stealRate: number;
    readonly utilization: number;
  };
  readonly objects?: ReusePool;
  readonly buffers?: ReusePool;
  readonly strings?: ReusePool;
  readonly tools?: {
    readonly processes: number;
    readonly busy: number;
    readonly calls: number;
    readonly p50Ms: number;
    readonly p99Ms: number;
    readonly restarts: number;
  };
  readonly concurrency?: Readonly<Record<string, RoleUse>>;
  readonly process?: {
    readonly rssBytes: number;
    readonly cpuPercent: number;
    readonly threads: number;
    readonly children: number;
    readonly fds: number;
  };
}

export const missionEvent = new NotificationType<MissionEvent>("$/orchestrator/missionEvent");
export const poolStats = new NotificationType<PoolStats>("$/orchestrator/poolStats");
/** Asks the person for a text; null where they gave none. */
export const input = new RequestType<{ readonly prompt: string }, string | null, void>("orchestrator/input");
