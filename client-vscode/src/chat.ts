/** `@orchestrator` in the chat: `/task`, `/plan`, `/status` and `/undo`. */

import * as vscode from "vscode";
import { chatProgress, chatSummary } from "./chatText";
import type { MissionBook } from "./missionBook";
import { filesChanged, isOver, pathNow, type Mission } from "./missions";
import { fileOf } from "./places";
import type { MissionEvent, MissionOverview } from "./protocol";
import type { Server } from "./server";
import { statusMarkdown } from "./statusMarkdown";

/** What the chat works with. */
export interface ChatParts {
  readonly server: Pick<Server, "execute" | "onMissionEvent" | "onState">;
  readonly book: MissionBook;
}

/** Registers the participant; nothing where the editor has no chat. */
export function registerChat(parts: ChatParts, icon: vscode.Uri): vscode.Disposable[] {
  const api = (vscode as Partial<typeof vscode>).chat;
  if (api === undefined) {
    return [];
  }
  const participant = api.createChatParticipant("orchestrator.chat", (request, _context, stream, token) =>
    answer(parts, request, stream, token),
  );
  participant.iconPath = icon;
  return [
    new vscode.Disposable(() => {
      participant.dispose();
    }),
  ];
}

/** Answers one message; an error of the server is the answer. */
export async function answer(
  parts: ChatParts,
  request: Pick<vscode.ChatRequest, "command" | "prompt">,
  stream: vscode.ChatResponseStream,
  token: vscode.CancellationToken,
): Promise<vscode.ChatResult> {
  const text = request.prompt.trim();
  const { server } = parts;
  try {
    switch (request.command) {
      case "status":
        stream.markdown(statusMarkdown(await server.execute<MissionOverview[]>("/status"), new Date()));
        return {};
      case "undo":
        await server.execute("/undo");
        stream.markdown("The last mission's changes were taken back.");
        return {};
      case "plan":
        await server.execute("/plan", [text]);
        stream.markdown("The plan is in the plan file: read it, change it, and run it.");
        stream.button({ command: "orchestrator.runPlan", title: "Run Plan File" });
        return {};
      default:
        if (text === "") {
          stream.markdown("Say what is to be changed, for example `rename load -> read_all` or `fix lint in tests`.");
          return {};
        }
        return await runTask(parts, text, stream, token);
    }
  } catch (error) {
    return { errorDetails: { message: error instanceof Error ? error.message : String(error) } };
  }
}

async function runTask(
  { server, book }: ChatParts,
  text: string,
  stream: vscode.ChatResponseStream,
  token: vscode.CancellationToken,
): Promise<vscode.ChatResult> {
  // Events may come before the answer that says whose they are.
  const early: MissionEvent[] = [];
  let id = "";
  let ended: (mission: Mission) => void = () => undefined;
  const end = new Promise<Mission>((resolve) => {
    ended = resolve;
  });
  const follow = (event: MissionEvent): void => {
    const mission = event.missionId === id ? book.get(id) : undefined;
    if (mission === undefined) {
      return;
    }
    const told = chatProgress(event, mission);
    if (told !== "") {
      stream.progress(told);
    }
    if (isOver(mission)) {
      ended(mission);
    }
  };
  const listening = server.onMissionEvent((event) => {
    if (id === "") {
      early.push(event);
    } else {
      follow(event);
    }
  });
  // A server that is gone tells nothing more: the book has given its missions up.
  const watching = server.onState(() => {
    const mission = book.get(id);
    if (mission !== undefined && isOver(mission)) {
      ended(mission);
    }
  });
  try {
    const { missionId } = await server.execute<{ missionId: string | null }>("/task", [text]);
    if (missionId === null) {
      return {};
    }
    id = missionId;
    const stop = token.onCancellationRequested(() => void server.execute("/stop", [id]));
    try {
      early.forEach(follow);
      tell(await end, stream);
    } finally {
      stop.dispose();
    }
    return {};
  } finally {
    listening.dispose();
    watching.dispose();
  }
}

function tell(mission: Mission, stream: vscode.ChatResponseStream): void {
  stream.markdown(chatSummary(mission));
  const changed = filesChanged(mission);
  for (const change of changed.filter(({ kind }) => kind !== "delete")) {
    const file = fileOf(pathNow(change));
    if (file !== undefined) {
      stream.reference(file);
    }
  }
  if (changed.length > 0) {
    const row = { kind: "mission", mission };
    stream.button({ command: "orchestrator.mission.showChanges", title: "Show Changes", arguments: [row] });
    stream.button({ command: "orchestrator.mission.undo", title: "Undo", arguments: [row] });
  }
}
