/** What the chat says of a mission: pure. */

import { counted, duration, spending } from "./figures";
import { filesChanged, label, type Mission, type Task } from "./missions";
import type { MissionEvent } from "./protocol";

/** What is at work, for an event that is worth a line while the mission runs; empty otherwise. */
export function chatProgress(event: MissionEvent, mission: Mission): string {
  switch (event.kind) {
    case "accepted":
      return "Planning";
    case "planned":
      return counted(event.plan.tasks.length, "task");
    case "taskStarted": {
      const title = mission.tasks.get(event.taskId)?.title ?? event.taskId;
      return (event.attempt ?? 1) > 1 ? `${title} (attempt ${event.attempt ?? 1})` : title;
    }
    default:
      return "";
  }
}

/** The mission at its end: every task with what became of it, in markdown. */
export function chatSummary(mission: Mission): string {
  const files = filesChanged(mission).length;
  const facts = [
    counted(mission.tasks.size, "task"),
    `${counted(files, "file")} changed`,
    mission.durationS > 0 ? duration(mission.durationS) : "",
    spending(mission.spent),
  ].filter(Boolean);
  const head = `**${STANDING[mission.status]}**: ${escaped(label(mission))} (${facts.join(", ")})`;
  const reason = mission.reason === "" ? [] : [`> ${escaped(mission.reason)}`];
  const tasks = [...mission.tasks.values()].map(taskLine).join("\n");
  return [head, ...reason, tasks].filter(Boolean).join("\n\n") + "\n";
}

const STANDING: Record<Mission["status"], string> = {
  planning: "Planning",
  running: "Running",
  done: "Done",
  failed: "Failed, and nothing was changed",
  cancelled: "Stopped",
  undone: "Undone",
};

const SIGNS: Record<Task["state"], string> = { pending: "○", running: "…", done: "✓", failed: "✗", cancelled: "–" };

function taskLine({ title, state, reason, receipt }: Task): string {
  const checks = (receipt?.checks ?? []).map(({ name, status }) => `${escaped(name)} ${status}`);
  const told = [...checks, reason === "" ? "" : escaped(reason)].filter(Boolean).join(", ");
  return `- ${SIGNS[state]} ${escaped(title)}${told === "" ? "" : `: ${told}`}`;
}

function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]<>#|~$&]/g, "\\$&").replace(/\s*\n\s*/g, " ");
}
