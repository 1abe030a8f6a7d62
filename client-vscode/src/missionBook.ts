/** The missions that this window knows of. */

import { cancelUnfinished, fill, fold } from "./missionFold";
import { isOver, type Mission } from "./missions";
import type { MissionEvent, MissionOverview } from "./protocol";

/** Missions, oldest first. Keeps the last `limit`; a running one is kept in any case. */
export class MissionBook {
  private readonly missions = new Map<string, Mission>();

  constructor(private readonly limit = 20) {}

  /** Takes an event in. Returns its mission, or undefined where the event was seen before. */
  apply(event: MissionEvent): Mission | undefined {
    const mission = this.missions.get(event.missionId) ?? this.open(event.missionId);
    if (event.sequence <= mission.lastSequence) {
      return undefined;
    }
    mission.lastSequence = event.sequence;
    fold(mission, event);
    return mission;
  }

  /** Takes in what the server knows of earlier missions, the newest first; those that are known stay as they are. */
  restore(overviews: readonly MissionOverview[]): void {
    const known = this.all();
    this.missions.clear();
    for (const overview of overviews.slice(0, this.limit).reverse()) {
      if (!known.some((mission) => mission.id === overview.mission)) {
        fill(this.open(overview.mission), overview);
      }
    }
    for (const mission of known) {
      this.missions.set(mission.id, mission);
    }
  }

  get(id: string): Mission | undefined {
    return this.missions.get(id);
  }

  /** Oldest first. */
  all(): Mission[] {
    return [...this.missions.values()];
  }

  latest(): Mission | undefined {
    return this.all().at(-1);
  }

  /** The missions at work, oldest first. */
  running(): Mission[] {
    return this.all().filter((mission) => !isOver(mission));
  }

  /** Marks what was at work as cancelled: the server is gone, and nothing more will be heard of it. */
  abandon(reason: string): void {
    for (const mission of this.running()) {
      mission.status = "cancelled";
      mission.reason = reason;
      cancelUnfinished(mission);
    }
  }

  private open(id: string): Mission {
    const mission: Mission = {
      id,
      text: "",
      title: "",
      status: "planning",
      reason: "",
      dryRun: false,
      planFile: "",
      spent: undefined,
      durationS: 0,
      unrestored: [],
      tasks: new Map(),
      lastSequence: 0,
    };
    this.missions.set(id, mission);
    for (const old of this.all().slice(0, -this.limit)) {
      if (isOver(old)) {
        this.missions.delete(old.id);
      }
    }
    return mission;
  }
}
