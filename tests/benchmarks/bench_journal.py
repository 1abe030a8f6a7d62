"""The journal beside bare SQLite, and replaying beside decoding.

``journal_vs_sqlite``: events appended in groups of 64, each group awaited until it is durable,
against bare inserts of the same bytes in the same groups, each one transaction, with the same
settings of SQLite. ``journal_burst_vs_sqlite``: all events appended at once and awaited together,
against one transaction. The journal's time includes making the bytes, SQLite's does not.

``replay_vs_decode``: reading and folding a journal of 100,000 events, against only reading and
decoding it.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.harness import Figures, answer, arguments, interleaved, medians
from orchestrator_core.events import (
    EditsApplied,
    EditsIntended,
    MissionAccepted,
    MissionPlanned,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_file import open_for_writing
from orchestrator_core.records import CheckResult, FileChange, Plan, Receipt, Task, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator_core.events import AnyEvent

QUICK = "--quick" in sys.argv
GROUP = 64
EVENTS = 2_000 if QUICK else 20_000
REPLAYED = 5_000 if QUICK else 100_000

_ROW = "INSERT INTO events (mission, sequence, kind, body) VALUES (?, ?, ?, ?)"


def mission(count: int) -> list[AnyEvent]:
    """The events of one mission, about ``count`` of them, five a task."""
    return list(_mission(count // 5))


def _mission(tasks: int) -> Iterator[AnyEvent]:
    plan = Plan("bench", tuple(Task(f"T{n}", f"task {n}") for n in range(tasks)))
    yield MissionAccepted(mission_id="m", text="bench")
    yield MissionPlanned(mission_id="m", plan=plan)
    for n in range(tasks):
        task = f"T{n}"
        changes = (FileChange(f"src/module_{n}.py", "modify", f"{n:064x}", f"{n + 1:064x}"),)
        checks = (CheckResult("syntax", "passed"), CheckResult("lint", "passed", "ruff"))
        yield TaskStarted(mission_id="m", task_id=task)
        yield TaskReviewed(mission_id="m", task_id=task, receipt=Receipt(task, True, checks))
        yield EditsIntended(mission_id="m", task_id=task, changes=changes)
        yield EditsApplied(mission_id="m", task_id=task, changes=changes)
        yield TaskFinished(mission_id="m", task_id=task, state=TaskState.DONE)


def journal(group: int) -> float:
    """Seconds an event, appended and awaited in groups."""
    events = mission(EVENTS)[2:]
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder, ".opencode")) as target:
        gc.collect()
        start_s = time.perf_counter()
        for place in range(0, len(events), group):
            saved = [target.append(event) for event in events[place : place + group]]
            saved[-1].result()
        return (time.perf_counter() - start_s) / len(events)


def sqlite(group: int) -> float:
    """Seconds a row, inserted in transactions of ``group`` rows."""
    events = mission(EVENTS)[2:]
    rows = [
        (event.mission_id, place, str(event.__struct_config__.tag), msgspec.json.encode(event))
        for place, event in enumerate(events, 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        target = open_for_writing(Path(folder, "target.db"))
        gc.collect()
        start_s = time.perf_counter()
        for place in range(0, len(rows), group):
            target.execute("BEGIN")
            for row in rows[place : place + group]:
                target.execute(_ROW, row)
            target.execute("COMMIT")
        took_s = time.perf_counter() - start_s
        assert target.execute("SELECT COUNT(*) FROM events").fetchone() == (len(events),)
        target.close()
        return took_s / len(events)


def reading(*, fold: bool) -> float:
    """Seconds an event, read, decoded and perhaps folded."""
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder, ".opencode")) as source:
        for event in mission(REPLAYED):
            source.append(event)
        source.flush()
        gc.collect()
        start_s = time.perf_counter()
        events = source.events()
        if fold:
            replay(events)
        return (time.perf_counter() - start_s) / len(events)


MEASUREMENTS: dict[str, Callable[[], float]] = {
    "journal": lambda: journal(GROUP),
    "sqlite": lambda: sqlite(GROUP),
    "journal_burst": lambda: journal(EVENTS),
    "sqlite_burst": lambda: sqlite(EVENTS),
    "decode": lambda: reading(fold=False),
    "replay": lambda: reading(fold=True),
}


def main() -> None:
    """Measure, or conduct the measuring."""
    options = arguments(__doc__, MEASUREMENTS)
    if options.measure:
        answer(MEASUREMENTS[options.measure]())
        return
    quick = ["--quick"] if options.quick else []
    rounds = options.rounds or (1 if options.quick else 5)
    m = medians(interleaved(__file__, MEASUREMENTS, rounds, *quick))
    figures = Figures()
    figures.add("journal_vs_sqlite", m["journal"] / m["sqlite"], "x", "<= 1.5")
    figures.add("journal_burst_vs_sqlite", m["journal_burst"] / m["sqlite_burst"], "x")
    figures.add("replay_vs_decode", m["replay"] / m["decode"], "x", "<= 2")
    for name, took_s in m.items():
        figures.add(f"{name}_us", took_s * 1e6, "us/event")
    figures.report(as_json=options.json)


if __name__ == "__main__":
    main()
