import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type * as vscode from "vscode";
import { answer, type ChatParts } from "../src/chat";
import { MissionBook } from "../src/missionBook";
import type { MissionEvent } from "../src/protocol";
import type { ServerState } from "../src/server";
import * as fake from "./fakeVscode";

/** A server that takes commands, and whose mission takes the steps that a test says. */
class Scene {
  readonly commands: [string, ...unknown[]][] = [];
  readonly said: string[] = [];
  readonly buttons: string[] = [];
  readonly book = new MissionBook();
  readonly cancel = new fake.CancellationTokenSource();
  private readonly events = new fake.EventEmitter<MissionEvent>();
  private readonly states = new fake.EventEmitter<ServerState>();
  private sequence = 0;

  constructor(private readonly react: (command: string) => unknown) {}

  tell(event: object): void {
    this.sequence += 1;
    const told = { missionId: "m1", sequence: this.sequence, ...event } as MissionEvent;
    this.book.apply(told); // The extension's own listener comes first.
    this.events.fire(told);
  }

  lose(): void {
    this.book.abandon("The server stopped.");
    this.states.fire("stopped");
  }

  ask(command: string | undefined, prompt: string): Promise<vscode.ChatResult> {
    const server = {
      execute: (name: string, args: unknown[] = []) => {
        this.commands.push([name, ...args]);
        return Promise.resolve().then(() => this.react(name));
      },
      onMissionEvent: this.events.event,
      onState: this.states.event,
    };
    const stream = {
      markdown: (text: string) => this.said.push(text),
      progress: (text: string) => this.said.push(`… ${text}`),
      button: ({ title }: { title: string }) => this.buttons.push(title),
      reference: () => undefined,
    };
    return answer(
      { server, book: this.book } as unknown as ChatParts,
      { prompt, ...(command === undefined ? {} : { command }) } as vscode.ChatRequest,
      stream as unknown as vscode.ChatResponseStream,
      this.cancel.token as unknown as vscode.CancellationToken,
    );
  }
}

const PLAN = { kind: "planned", plan: { title: "Rename", tasks: [{ id: "T1", title: "rename a -> b" }] } };

describe("the chat", () => {
  it("follows a mission to its end, also what comes before its name is known", async () => {
    const scene = new Scene(() => {
      scene.tell({ kind: "accepted", text: "rename a -> b" });
      setImmediate(() => {
        scene.tell(PLAN);
        scene.tell({ kind: "taskStarted", taskId: "T1" });
        scene.tell({ kind: "editApplied", taskId: "T1", changes: [{ path: "a.py", kind: "modify" }] });
        scene.tell({ kind: "taskFinished", taskId: "T1", state: "done" });
        scene.tell({ kind: "done", status: "done", durationS: 2 });
      });
      return { missionId: "m1", status: "accepted" };
    });
    assert.deepEqual(await scene.ask("task", " rename a -> b "), {});
    assert.deepEqual(scene.commands, [["/task", "rename a -> b"]]);
    const [summary = "", ...before] = scene.said.reverse();
    assert.deepEqual(before.reverse(), ["… Planning", "… 1 task", "… rename a -> b"]);
    assert.match(summary, /\*\*Done\*\*: rename a -\\> b \(1 task, 1 file changed, 2.0\u00a0s\)/);
    assert.match(summary, /- ✓ rename a -\\> b/);
    assert.deepEqual(scene.buttons, ["Show Changes", "Undo"]);
  });

  it("stops the mission that a person no longer wants", async () => {
    const scene = new Scene((command) => {
      if (command === "/stop") {
        scene.tell({ kind: "done", status: "cancelled" });
        return { stopped: ["m1"] };
      }
      scene.tell({ kind: "accepted", text: "fix" });
      setImmediate(() => {
        scene.cancel.cancel();
      });
      return { missionId: "m1" };
    });
    await scene.ask(undefined, "fix");
    assert.deepEqual(scene.commands, [["/task", "fix"], ["/stop", "m1"]]);
    assert.match(scene.said.at(-1) ?? "", /Stopped/);
    assert.deepEqual(scene.buttons, []);
  });

  it("ends with the server", async () => {
    const scene = new Scene(() => {
      scene.tell({ kind: "accepted", text: "fix" });
      setImmediate(() => {
        scene.lose();
      });
      return { missionId: "m1" };
    });
    await scene.ask("task", "fix");
    assert.match(scene.said.at(-1) ?? "", /The server stopped/);
  });

  it("answers with what the server refuses", async () => {
    const scene = new Scene(() => {
      throw new Error("no verb matches");
    });
    assert.deepEqual(await scene.ask("task", "frobnicate"), { errorDetails: { message: "no verb matches" } });
  });

  it("plans, undoes, shows the missions, and says what it needs", async () => {
    const scene = new Scene((command) => (command === "/status" ? [] : {}));
    await scene.ask("plan", "fix");
    await scene.ask("undo", "");
    await scene.ask("status", "");
    await scene.ask("task", "  ");
    assert.deepEqual(scene.commands, [["/plan", "fix"], ["/undo"], ["/status"]]);
    assert.deepEqual(scene.buttons, ["Run Plan File"]);
    assert.match(scene.said[2] ?? "", /No mission has run/);
    assert.match(scene.said[3] ?? "", /rename load/);
  });
});
