/** Numbers and reports as text: pure. */

import { isOver, progress, type Mission } from "./missions";
import type { PoolStats, Spent } from "./protocol";

const NO_BREAK_SPACE = "\u00a0";

/** `0.923` → `92 %`. */
export function percent(share: number): string {
  return `${Math.round(share * 100)}${NO_BREAK_SPACE}%`;
}

/** `1536` → `1.5 KiB`. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || count >= 100 ? 0 : 1;
  return `${count.toFixed(digits)}${NO_BREAK_SPACE}${units[unit] ?? ""}`;
}

/** `0.014` → `14 ms`, `3.21` → `3.2 s`, `75` → `1 min 15 s`. */
export function duration(seconds: number): string {
  if (seconds < 1) {
    return millis(seconds * 1000);
  }
  if (seconds < 60) {
    return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)}${NO_BREAK_SPACE}s`;
  }
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}${NO_BREAK_SPACE}min ${whole % 60}${NO_BREAK_SPACE}s`;
}

/** `1, "file"` → `1 file`; `2, "file"` → `2 files`. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}

/** The status bar: tasks done of all, agents at work and how busy the pool is while a mission runs; what was spent. */
export function statusBarText(mission: Mission | undefined, stats: PoolStats | undefined, spent?: Spent): string {
  const cost = spending(spent);
  if (mission === undefined || isOver(mission)) {
    return ["$(rocket) Orchestrator", cost].filter(Boolean).join(" · ");
  }
  const { done, total } = progress(mission);
  const tasks = mission.status === "planning" || total === 0 ? "planning" : `${done}/${total}`;
  const workers = [...mission.tasks.values()].filter((task) => task.state === "running").length;
  const busy = stats === undefined ? "" : percent(stats.workers.utilization);
  return [`$(rocket) ${tasks}`, workers === 0 ? "" : counted(workers, "worker"), busy, cost].filter(Boolean).join(" · ");
}

/** `$0.42`, or where no price is known `12k tokens`; empty where nothing was spent. */
export function spending(spent: Spent | undefined): string {
  if (spent === undefined || (spent.tokens === 0 && spent.moneyUsd === 0)) {
    return "";
  }
  if (spent.moneyUsd > 0) {
    return `$${spent.moneyUsd.toFixed(spent.moneyUsd < 0.1 ? 3 : 2)}`;
  }
  const thousands = spent.tokens / 1000;
  return thousands < 1 ? counted(spent.tokens, "token") : `${thousands.toFixed(thousands < 10 ? 1 : 0)}k${NO_BREAK_SPACE}tokens`;
}

/** What was spent in all. */
export function total(parts: readonly (Spent | undefined)[]): Spent {
  const sum = (figure: keyof Spent): number => parts.reduce((all, part) => all + (part?.[figure] ?? 0), 0);
  return { tokens: sum("tokens"), moneyUsd: sum("moneyUsd"), requests: sum("requests") };
}

/** The pools as a table in markdown, for the status bar's tooltip. */
export function statsTable(stats: PoolStats): string {
  return ["| | |", "|:--|:--|", ...statsRows(stats).map(([name, text]) => `| ${name} | ${text} |`)].join("\n");
}

/** The pools' figures in words: what they are about, and how they are. */
export function statsRows(stats: PoolStats): (readonly [name: string, text: string])[] {
  const rows: [string, string][] = [];
  const { workers, tools, process } = stats;
  rows.push([
    "Workers",
    `${workers.busy} of ${workers.total} busy, ${percent(workers.utilization)}, ${workers.queued} queued`,
  ]);
  rows.push(["Jobs", `${workers.executed} run, ${workers.stolen} stolen (${percent(workers.stealRate)})`]);
  if (tools !== undefined) {
    rows.push([
      "Tool processes",
      `${tools.busy} of ${tools.processes} busy, ${counted(tools.calls, "call")}` +
        (tools.calls > 0 ? `, p50 ${millis(tools.p50Ms)}, p99 ${millis(tools.p99Ms)}` : "") +
        (tools.restarts > 0 ? `, ${counted(tools.restarts, "restart")}` : ""),
    ]);
  }
  const reuse = (["objects", "buffers", "strings"] as const)
    .map((name) => [name, stats[name]?.hitRate] as const)
    .filter((pair): pair is readonly [typeof pair[0], number] => typeof pair[1] === "number");
  if (reuse.length > 0) {
    rows.push(["Reused", reuse.map(([name, rate]) => `${name} ${percent(rate)}`).join(", ")]);
  }
  for (const [role, use] of Object.entries(stats.concurrency ?? {})) {
    const circuit = use.circuit === "closed" ? "" : `, circuit ${use.circuit}`;
    rows.push([capitalised(role), `${use.active} of ${use.limit} places taken${circuit}`]);
  }
  if (process !== undefined) {
    rows.push([
      "Server",
      `${bytes(process.rssBytes)}, ${Math.round(process.cpuPercent)}${NO_BREAK_SPACE}% CPU, ` +
        `${counted(process.threads, "thread")}, ${counted(process.children, "child", "children")}`,
    ]);
  }
  return rows;
}

/** `14.2` → `14 ms`. */
export function millis(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)}${NO_BREAK_SPACE}ms`;
}

/** `worker` → `Worker`. */
export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
