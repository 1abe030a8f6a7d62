"""Write a golden journal: ``python make_golden_journal.py FOLDER [SCENARIO…]``.

To be run once for each new schema version, and with new scenarios alone for what events came to
hold since: ``version-1-modes.db`` has the scenario ``modes``. What exists is never written over.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from orchestrator_core.events import (
    AnyEvent,
    BudgetSpent,
    EditsApplied,
    EditsIntended,
    EditsReverted,
    HunksSettled,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    MissionUndone,
    TaskDivided,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_file import MIGRATIONS
from orchestrator_core.records import (
    CheckResult,
    FileChange,
    MissionStatus,
    Mode,
    Plan,
    Receipt,
    SettledFile,
    Shortage,
    Spent,
    Step,
    Task,
    TaskState,
)


def change(path: str, kind: str = "modify", new_path: str = "") -> FileChange:
    before = "" if kind == "create" else f"{len(path):064x}"
    after = "" if kind == "delete" else f"{len(path) + 1:064x}"
    return msgspec.convert(
        {"path": path, "kind": kind, "before": before, "after": after, "new_path": new_path},
        FileChange,
    )


def plan(*ids: str) -> Plan:
    tasks = tuple(
        Task(
            id=name,
            title=f"Rename load → läsa in {name}",
            steps=(Step("rename load -> read_all"), Step("fix E,F,I")),
            depends=ids[:place],
            files=("src/**/*.py",),
            milestone="M1: Modernise",
        )
        for place, name in enumerate(ids)
    )
    return Plan("Modernise the parser", tasks)


def receipt(task: str, *, passed: bool = True) -> Receipt:
    checks = (
        CheckResult("syntax", "passed", "tree-sitter", before=0, duration_s=0.01, tree="t" * 64),
        CheckResult(
            "lint",
            "passed" if passed else "failed",
            "ruff",
            before=3,
            after=3 if passed else 4,
            details=() if passed else ("a.py:1:1: F821 Undefined name `log`",),
        ),
        CheckResult("tests", "unverified", details=("pytest is not installed",)),
    )
    return Receipt(task, passed, checks, tree="t" * 64)


def task_done(
    mission: str, task: str, *changes: FileChange, attempt: int = 1
) -> Iterator[AnyEvent]:
    yield TaskStarted(mission_id=mission, task_id=task, attempt=attempt)
    yield TaskReviewed(mission_id=mission, task_id=task, receipt=receipt(task))
    yield EditsIntended(mission_id=mission, task_id=task, changes=changes)
    yield EditsApplied(mission_id=mission, task_id=task, changes=changes)
    yield TaskFinished(
        mission_id=mission, task_id=task, state=TaskState.DONE, notes=("b.bin is binary",)
    )


def done(mission: str) -> Iterator[AnyEvent]:
    yield MissionAccepted(mission_id=mission, text="rename load -> read_all then fix")
    yield MissionPlanned(mission_id=mission, plan=plan("T1.1", "T1.2"))
    yield from task_done(mission, "T1.1", change("src/a.py"), change("src/neu.py", "create"))
    yield TaskStarted(mission_id=mission, task_id="T1.2")
    yield EditsIntended(mission_id=mission, task_id="T1.2", changes=(change("src/b.py"),))
    moved = change("src/b.py", "rename", "src/c.py")
    yield from task_done(mission, "T1.2", moved, change("src/old.py", "delete"), attempt=2)
    yield MissionFinished(mission_id=mission, status=MissionStatus.DONE, duration_s=1.5)


def failed(mission: str) -> Iterator[AnyEvent]:
    yield MissionAccepted(mission_id=mission, text="replace", mode=Mode.RACE, backend="llm")
    yield MissionPlanned(mission_id=mission, plan=plan("T1", "T2", "T3"))
    yield from task_done(mission, "T1", change("a.py"))
    yield TaskStarted(mission_id=mission, task_id="T2")
    worse = receipt("T2", passed=False)
    yield TaskReviewed(mission_id=mission, task_id="T2", receipt=worse)
    yield TaskFinished(
        mission_id=mission, task_id="T2", state=TaskState.FAILED, reason="lint: F821"
    )
    yield TaskFinished(
        mission_id=mission, task_id="T3", state=TaskState.CANCELLED, reason="not started"
    )
    yield EditsReverted(mission_id=mission, task_id="", changes=(change("a.py"),))
    yield MissionFinished(mission_id=mission, status=MissionStatus.FAILED, reason="T2: lint: F821")


def undone(mission: str) -> Iterator[AnyEvent]:
    yield from done(mission)
    note = ("src/a.py: line 2 changed since",)
    yield EditsReverted(mission_id=mission, task_id="", changes=(), unrestored=note)
    yield MissionUndone(mission_id=mission, unrestored=note)


def crashed(mission: str) -> Iterator[AnyEvent]:
    yield MissionAccepted(mission_id=mission, text="format", dry_run=False)
    yield MissionPlanned(mission_id=mission, plan=plan(*(f"T{n}" for n in range(1, 40))))
    yield TaskStarted(mission_id=mission, task_id="T1")
    yield EditsIntended(mission_id=mission, task_id="T1", changes=(change("a.py"), change("b.py")))


def resumed(mission: str) -> Iterator[AnyEvent]:
    yield from crashed(mission)
    yield EditsReverted(mission_id=mission, task_id="T1", changes=())
    yield from task_done(mission, "T1", change("a.py"), attempt=2)
    yield MissionFinished(mission_id=mission, status=MissionStatus.CANCELLED, reason="stopped")
    yield MissionPlanned(mission_id=mission, plan=plan("T1"))
    yield MissionFinished(mission_id=mission, status=MissionStatus.DONE, duration_s=0.5)


def refused(mission: str) -> Iterator[AnyEvent]:
    yield MissionAccepted(mission_id=mission, text="do something clever", dry_run=True)
    yield MissionFinished(mission_id=mission, status=MissionStatus.FAILED, reason="no verb")


def modes(mission: str) -> Iterator[AnyEvent]:
    yield MissionAccepted(mission_id=mission, text="run rm tool.sh")
    yield MissionPlanned(mission_id=mission, plan=plan("T1"))
    gone = msgspec.structs.replace(change("tool.sh", "delete"), mode=0o755)
    yield from task_done(mission, "T1", gone)
    yield MissionFinished(mission_id=mission, status=MissionStatus.DONE, duration_s=0.5)
    back = msgspec.structs.replace(change("tool.sh", "create"), new_mode=0o755)
    yield EditsReverted(mission_id=mission, task_id="", changes=(back,))
    yield MissionUndone(mission_id=mission)


def divided(mission: str) -> Iterator[AnyEvent]:
    yield MissionAccepted(mission_id=mission, text="modernise", mode=Mode.FRACTAL, backend="llm")
    yield MissionPlanned(mission_id=mission, plan=plan("T1", "T2"))
    parts = tuple(Task(f"T1.{n}", f"part {n} of T1", depth=1) for n in (1, 2))
    yield TaskDivided(mission_id=mission, task_id="T1", parts=parts)
    for number, part in enumerate(parts):
        yield from task_done(mission, part.id, change(f"src/{number}.py"))
    yield from task_done(mission, "T1")
    yield from task_done(mission, "T2", change("src/a.py"))
    yield MissionFinished(mission_id=mission, status=MissionStatus.DONE, duration_s=1.0)


def out_of_budget(mission: str) -> Iterator[AnyEvent]:
    accepted = MissionAccepted(mission_id=mission, text="modernise", backend="llm")
    yield accepted
    yield MissionPlanned(mission_id=mission, plan=plan("T1", "T2", "T3"))
    yield from task_done(mission, "T1", change("a.py"))
    spent = Spent(tokens=900, money_usd=0.25, requests=7, seconds=12.5, peak_agents=2)
    yield BudgetSpent(mission_id=mission, spent=spent)
    yield TaskStarted(mission_id=mission, task_id="T2")
    for task in ("T2", "T3"):
        yield TaskFinished(
            mission_id=mission, task_id=task, state=TaskState.CANCELLED, reason="the budget"
        )
    yield BudgetSpent(mission_id=mission, spent=spent, shortage=Shortage("tokens", 300))
    yield MissionFinished(mission_id=mission, status=MissionStatus.CANCELLED, reason="the budget")
    yield accepted
    yield MissionPlanned(mission_id=mission, plan=plan("T1", "T2", "T3"))
    yield from task_done(mission, "T2", change("b.py"), attempt=2)


def reviewed(mission: str) -> Iterator[AnyEvent]:
    yield MissionAccepted(mission_id=mission, text="replace")
    yield MissionPlanned(mission_id=mission, plan=plan("T1"))
    yield from task_done(mission, "T1", change("a.py"), change("b.py", "create"))
    yield MissionFinished(mission_id=mission, status=MissionStatus.DONE, duration_s=0.5)
    seen = SettledFile("a.py", "1" * 64, "1" * 64, spans=((2, 5), (7, 7)))
    yield HunksSettled(mission_id=mission, accepted=True, files=(seen,))
    gone = SettledFile("b.py", "2" * 64, whole="create")
    unmade = msgspec.structs.replace(change("b.py", "delete"), before="2" * 64)
    yield HunksSettled(mission_id=mission, accepted=False, files=(gone,), changes=(unmade,))


SCENARIOS = (
    done,
    failed,
    undone,
    crashed,
    resumed,
    refused,
    modes,
    divided,
    out_of_budget,
    reviewed,
)
NAMES = [scenario.__name__ for scenario in SCENARIOS]


def main(folder: Path, *chosen: str) -> None:
    name = "-".join([f"version-{len(MIGRATIONS)}", *chosen])
    if (folder / f"{name}.db").exists():
        sys.exit(f"{name}.db is there already and stays as it is")
    ticks = iter(range(1_700_000_000, 2_000_000_000))
    scenarios = [scenario for scenario in SCENARIOS if scenario.__name__ in (chosen or NAMES)]
    with Journal(folder / name, clock=lambda: float(next(ticks))) as journal:
        for scenario in scenarios:
            for event in scenario(f"20231114-221320-{scenario.__name__}"):
                journal.append(event)
        states = replay(journal.events())
    (folder / name / "state.db").rename(folder / f"{name}.db")
    for left in (folder / name).iterdir():
        left.unlink()
    (folder / name).rmdir()
    encoded = msgspec.json.format(msgspec.json.encode(states), indent=1)
    (folder / f"{name}.json").write_bytes(encoded + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
