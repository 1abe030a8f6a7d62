import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MissionBook } from "../src/missionBook";
import { filesChanged, isOver, label, pathNow, progress, taskActions } from "../src/missions";
import type { MissionEvent, MissionOverview } from "../src/protocol";

/** An event without its number, in each of its kinds. */
type Unnumbered = MissionEvent extends infer E ? (E extends MissionEvent ? Omit<E, "missionId" | "sequence"> : never) : never;

/** Feeds events of one mission to a book, numbering them from 1. */
function tell(book: MissionBook, missionId: string, ...events: Unnumbered[]): void {
  let sequence = book.get(missionId)?.lastSequence ?? 0;
  for (const event of events) {
    sequence += 1;
    book.apply({ ...event, missionId, sequence });
  }
}

const TWO_TASKS: Unnumbered = {
  kind: "planned",
  plan: { title: "Modernise", tasks: [{ id: "T1", title: "one" }, { id: "T2", title: "two", depends: ["T1"] }] },
};

function started(): MissionBook {
  const book = new MissionBook();
  tell(book, "m1", { kind: "accepted", text: "rename a -> b\nthen fix F" }, TWO_TASKS);
  return book;
}

describe("a mission", () => {
  it("is planning until its plan is there, then running with pending tasks", () => {
    const book = new MissionBook();
    tell(book, "m1", { kind: "accepted", text: "rename a -> b" });
    assert.equal(book.get("m1")?.status, "planning");
    tell(book, "m1", TWO_TASKS);
    const mission = book.get("m1");
    assert.ok(mission);
    assert.equal(mission.status, "running");
    assert.deepEqual([...mission.tasks.values()].map((task) => task.state), ["pending", "pending"]);
    assert.deepEqual(mission.tasks.get("T2")?.depends, ["T1"]);
  });

  it("is called by its text on one line", () => {
    const mission = started().get("m1");
    assert.ok(mission);
    assert.equal(label(mission), "rename a -> b then fix F");
  });

  it("counts what is done, keeps receipts and reasons, and ends", () => {
    const book = started();
    const receipt = { taskId: "T1", passed: true, checks: [{ name: "ruff", status: "passed", before: 3, after: 0 }] } as const;
    tell(
      book,
      "m1",
      { kind: "taskStarted", taskId: "T1" },
      { kind: "editApplied", taskId: "T1", changes: [{ path: "a.py", kind: "modify" }] },
      { kind: "review", taskId: "T1", receipt },
      { kind: "taskFinished", taskId: "T1", state: "done" },
      { kind: "taskFinished", taskId: "T2", state: "failed", reason: "an undefined name" },
      { kind: "done", status: "failed", durationS: 1.5 },
    );
    const mission = book.get("m1");
    assert.ok(mission);
    assert.deepEqual(progress(mission), { done: 1, total: 2 });
    assert.equal(mission.tasks.get("T1")?.receipt, receipt);
    assert.equal(mission.tasks.get("T2")?.reason, "an undefined name");
    assert.ok(isOver(mission));
    assert.deepEqual(book.running(), []);
  });

  it("ignores events that it has seen", () => {
    const book = started();
    const event: MissionEvent = { missionId: "m1", sequence: 3, kind: "taskStarted", taskId: "T1" };
    assert.ok(book.apply(event));
    assert.equal(book.apply(event), undefined);
    assert.equal(book.apply({ ...event, sequence: 1, kind: "accepted", text: "other" }), undefined);
    assert.equal(book.get("m1")?.text, "rename a -> b\nthen fix F");
  });

  it("lists each changed file once, and not those that were taken back", () => {
    const book = started();
    tell(
      book,
      "m1",
      { kind: "editApplied", taskId: "T1", changes: [{ path: "new.py", kind: "create" }, { path: "a.py", kind: "modify" }] },
      { kind: "editApplied", taskId: "T2", changes: [{ path: "new.py", kind: "modify" }, { path: "b.py", kind: "modify" }] },
      { kind: "editReverted", taskId: "T2", changes: [{ path: "b.py", kind: "modify" }] },
    );
    const mission = book.get("m1");
    assert.ok(mission);
    assert.deepEqual(
      filesChanged(mission).map(({ path, kind }) => [path, kind]),
      [["new.py", "create"], ["a.py", "modify"]],
    );
  });

  it("knows where a changed file is now", () => {
    assert.equal(pathNow({ path: "a.py", kind: "modify", newPath: "" }), "a.py");
    assert.equal(pathNow({ path: "a.py", kind: "modify" }), "a.py");
    assert.equal(pathNow({ path: "a.py", kind: "rename", newPath: "b.py" }), "b.py");
  });

  it("lists no file after all were taken back, also renamed ones", () => {
    const book = started();
    tell(
      book,
      "m1",
      { kind: "editApplied", taskId: "T1", changes: [{ path: "old.py", kind: "rename", newPath: "new.py" }] },
      { kind: "editApplied", taskId: "T2", changes: [{ path: "b.py", kind: "modify" }] },
      { kind: "editReverted", taskId: "", changes: [{ path: "new.py", kind: "rename", newPath: "old.py" }] },
    );
    const mission = book.get("m1");
    assert.ok(mission);
    assert.deepEqual(filesChanged(mission), []);
    assert.equal(mission.tasks.size, 2);
  });

  it("still lists a file that could not be restored", () => {
    const book = started();
    const changes = [{ path: "a.py", kind: "modify" }] as const;
    tell(
      book,
      "m1",
      { kind: "editApplied", taskId: "T1", changes },
      { kind: "editReverted", taskId: "T1", changes, unrestored: ["a.py"] },
    );
    const mission = book.get("m1");
    assert.ok(mission);
    assert.deepEqual(filesChanged(mission), changes);
  });

  it("keeps a task's standing when the plan is changed while it runs", () => {
    const book = started();
    tell(
      book,
      "m1",
      { kind: "taskFinished", taskId: "T1", state: "done" },
      { kind: "planned", plan: { title: "Modernise", tasks: [{ id: "T1", title: "uno" }, { id: "T3", title: "three" }] } },
    );
    const tasks = book.get("m1")?.tasks;
    assert.deepEqual([...(tasks ?? [])].map(([id, task]) => [id, task.title, task.state]), [
      ["T1", "uno", "done"],
      ["T3", "three", "pending"],
    ]);
  });

  it("that ends early leaves no task running", () => {
    const book = started();
    tell(book, "m1", { kind: "taskStarted", taskId: "T1" }, { kind: "done", status: "cancelled" });
    assert.deepEqual([...(book.get("m1")?.tasks.values() ?? [])].map((task) => task.state), ["cancelled", "cancelled"]);
  });

  it("goes on when it is accepted again", () => {
    const book = started();
    tell(book, "m1", { kind: "taskFinished", taskId: "T1", state: "done" }, { kind: "done", status: "cancelled", reason: "the budget" });
    tell(book, "m1", { kind: "accepted", text: "again" });
    assert.equal(book.get("m1")?.status, "running");
    assert.equal(book.get("m1")?.reason, "");
    assert.deepEqual([...(book.get("m1")?.tasks.values() ?? [])].map((task) => task.state), ["done", "pending"]);
  });

  it("can be undone", () => {
    const book = started();
    tell(book, "m1", { kind: "done", status: "done" }, { kind: "undone", unrestored: ["x"] });
    assert.equal(book.get("m1")?.status, "undone");
    assert.deepEqual(book.get("m1")?.unrestored, ["x"]);
  });
});

describe("a task", () => {
  const actions = (book: MissionBook): Record<string, string[]> => {
    const mission = book.get("m1");
    assert.ok(mission);
    return Object.fromEntries([...mission.tasks.values()].map((task) => [task.id, taskActions(mission, task)]));
  };

  it("can be stopped while it runs, undone where it changed something, and else be tried again", () => {
    const book = started();
    tell(book, "m1", { kind: "taskStarted", taskId: "T1" });
    assert.deepEqual(actions(book), { T1: ["stop"], T2: [] });
    tell(
      book,
      "m1",
      { kind: "editApplied", taskId: "T1", changes: [{ path: "a.py", kind: "modify" }] },
      { kind: "taskFinished", taskId: "T1", state: "done" },
      { kind: "taskStarted", taskId: "T2" },
      { kind: "taskFinished", taskId: "T2", state: "failed" },
      { kind: "done", status: "cancelled" },
    );
    assert.deepEqual(actions(book), { T1: ["undo"], T2: ["retry"] });
    tell(book, "m1", { kind: "undone" });
    assert.deepEqual(actions(book), { T1: [], T2: ["retry"] });
  });

  it("of a plan file that was never begun can be run by itself", () => {
    const book = new MissionBook();
    tell(book, "m1", { kind: "accepted", text: "", planFile: "p.plan.md" }, TWO_TASKS, { kind: "done", status: "cancelled" });
    assert.deepEqual(actions(book), { T1: ["run"], T2: ["run"] });
  });

  it("that is divided is followed by its parts", () => {
    const book = started();
    tell(book, "m1", { kind: "taskDivided", taskId: "T1", parts: [{ id: "T1.1", title: "half" }, { id: "T1.2", title: "rest" }] });
    assert.deepEqual([...(book.get("m1")?.tasks.keys() ?? [])], ["T1", "T1.1", "T1.2", "T2"]);
  });
});

describe("the book of missions", () => {
  it("takes in earlier missions as older ones, and keeps what it knows better", () => {
    const book = started();
    const overview = (mission: string, startedAt: number): MissionOverview => ({
      mission,
      text: `text of ${mission}`,
      status: "done",
      startedAt,
      durationS: 2,
      reason: "",
      tasks: [{ id: "T1", title: "one", status: "done", files: ["a.py"], receipt: null, reason: "", notes: [] }],
      filesChanged: ["a.py"],
    });
    book.restore([overview("m1", 3), overview("m0", 2), overview("old", 1)]);
    assert.deepEqual(book.all().map((mission) => mission.id), ["old", "m0", "m1"]);
    assert.equal(book.get("m1")?.status, "running");
    const mission = book.get("m0");
    assert.ok(mission);
    assert.deepEqual(filesChanged(mission), [{ path: "a.py", kind: "modify" }]);
    tell(book, "m0", { kind: "undone" });
    assert.equal(mission.status, "undone");
  });

  it("adds up what a mission spends", () => {
    const book = started();
    tell(book, "m1", { kind: "spent", spent: { tokens: 5, moneyUsd: 0, requests: 1 } });
    tell(book, "m1", { kind: "spent", spent: { tokens: 9, moneyUsd: 0, requests: 2 } });
    assert.equal(book.get("m1")?.spent?.tokens, 9);
  });

  it("forgets the oldest that are over, never one that runs", () => {
    const book = new MissionBook(2);
    tell(book, "runs", { kind: "accepted", text: "runs" });
    for (const id of ["a", "b", "c"]) {
      tell(book, id, { kind: "accepted", text: id }, { kind: "done", status: "done" });
    }
    tell(book, "d", { kind: "accepted", text: "d" });
    assert.deepEqual(book.all().map((mission) => mission.id), ["runs", "c", "d"]);
    assert.equal(book.latest()?.id, "d");
  });

  it("gives up what was running when the server is gone", () => {
    const book = started();
    tell(book, "m1", { kind: "taskFinished", taskId: "T1", state: "done" }, { kind: "taskStarted", taskId: "T2" });
    book.abandon("gone");
    const mission = book.get("m1");
    assert.equal(mission?.status, "cancelled");
    assert.deepEqual([...mission.tasks.values()].map((task) => task.state), ["done", "cancelled"]);
  });
});
