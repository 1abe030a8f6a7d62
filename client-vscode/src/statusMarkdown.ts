/** The missions of a workspace as a page of markdown: pure. */

import { counted, duration } from "./figures";
import type { CheckResult, MissionOverview, MissionStatus, TaskState } from "./protocol";

const SIGNS: Record<MissionStatus | TaskState, string> = {
  planning: "…",
  pending: "○",
  running: "…",
  done: "✓",
  failed: "✗",
  cancelled: "–",
  undone: "↶",
};

/** The page, the newest mission first; `now` decides whether a date is shown beside the time. */
export function statusMarkdown(missions: readonly MissionOverview[], now: Date): string {
  if (missions.length === 0) {
    return "# Missions\n\nNo mission has run in this workspace yet.\n";
  }
  return ["# Missions", ...missions.map((mission) => missionSection(mission, now))].join("\n\n") + "\n";
}

function missionSection(mission: MissionOverview, now: Date): string {
  const facts = [
    `**${mission.status}**`,
    when(new Date(mission.startedAt * 1000), now),
    mission.durationS > 0 ? duration(mission.durationS) : "",
    counted(mission.filesChanged.length, "file"),
    `\`${mission.mission}\``,
  ].filter(Boolean);
  const parts = [`## ${SIGNS[mission.status]} ${escaped(mission.text)}`, facts.join(" · ")];
  if (mission.reason !== "") {
    parts.push(`> ${escaped(mission.reason)}`);
  }
  if (mission.tasks.length > 0) {
    const rows = mission.tasks.map(
      ({ id, title, status, files, receipt, reason, notes }) =>
        `| ${SIGNS[status]} ${status} | ${escaped(id)} | ${escaped(title)} | ${counted(files.length, "file")} | ` +
        `${[...(receipt?.checks ?? []).map(check), ...[reason, ...notes].filter(Boolean).map(escaped)].join("<br>")} |`,
    );
    parts.push(["| | task | | changed | checked |", "|:--|:--|:--|:--|:--|", ...rows].join("\n"));
  }
  return parts.join("\n\n");
}

function check({ name, status, before = -1, after = 0 }: CheckResult): string {
  const findings = before < 0 ? "" : `, ${before === after ? "" : `${before} → `}${counted(after, "finding")}`;
  return `${escaped(name)} ${status}${findings}`;
}

function when(date: Date, now: Date): string {
  const time = date.toTimeString().slice(0, 8);
  return date.toDateString() === now.toDateString() ? time : `${date.toDateString()} ${time}`;
}

function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]<>#|~$&]/g, "\\$&").replace(/\s*\n\s*/g, " ⏎ ");
}
