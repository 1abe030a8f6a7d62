/** What the rows of the tree offer. */

import { taskActions } from "./missions";
import type { MissionRow } from "./missionTree";
import type { Parts } from "./commands";

type Action = (...args: unknown[]) => Promise<void>;

/** The commands of missions, tasks and files, by their names below `orchestrator.` */
export function missionCommands({ server, book, changes }: Pick<Parts, "server" | "book" | "changes">): Record<string, Action> {
  const run = async (command: string, ...args: unknown[]): Promise<void> => {
    await server.execute(command, args);
  };

  /** Carries a task out again: by itself where its plan is a file, else with its mission. */
  const again = onTask(({ mission, task }) =>
    mission.planFile === "" ? run("/retry", mission.id) : run("/run", mission.planFile, { task: task.id }),
  );

  return {
    "mission.stop": onMission(({ mission }) => run("/stop", mission.id)),

    "mission.undo": onMission(({ mission }) => run("/undo", mission.id)),

    "mission.retry": onMission(({ mission }) => run("/retry", mission.id)),

    "mission.showChanges": onMission(({ mission }) => changes.show(book.get(mission.id) ?? mission)),

    "mission.openChange": onMission(async (row) => {
      if (row.kind === "file") {
        await changes.open(row.mission, row.change);
      }
    }),

    "task.run": again,

    "task.retry": again,

    "task.undo": onTask(async ({ mission, task }) => {
      if (taskActions(mission, task).includes("undo")) {
        await run("/undo", mission.id, task.id);
      }
    }),

    "task.stop": onTask(({ mission }) => run("/stop", mission.id)),

    showRecord: onMission((row) => run("/show", row.mission.id, ...(row.kind === "task" ? [row.task.id] : []))),
  };
}

/** VS Code hands a row over; anything else was called without one. */
function onMission(action: (row: MissionRow) => Promise<void>): Action {
  return async (row) => {
    if (typeof row === "object" && row !== null && "mission" in row) {
      await action(row as MissionRow);
    }
  };
}

function onTask(action: (row: Extract<MissionRow, { kind: "task" }>) => Promise<void>): Action {
  return onMission(async (row) => {
    if (row.kind === "task") {
      await action(row);
    }
  });
}
