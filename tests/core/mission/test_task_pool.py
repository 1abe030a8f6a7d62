from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator_core.events import MissionAccepted, MissionPlanned, TaskFinished, TaskStarted
from orchestrator_core.mission.agent import MissionRequest
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.mission import Mission, build_report
from orchestrator_core.mission.pools import Pools
from orchestrator_core.mission.task_pool import PREWARM, SIZE, TaskPool
from orchestrator_core.mission.task_store import TaskStatus
from orchestrator_core.primitives.string_pool import StringPool
from orchestrator_core.records import Plan, Receipt, Task, TaskState

if TYPE_CHECKING:
    from pathlib import Path


class PoolMachine(RuleBasedStateMachine):
    """The pool beside the records that are out and what is in them."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = TaskPool(debug=True)
        self.out: list[tuple[TaskStatus, str]] = []
        self.taken = 0

    @rule(names=st.lists(st.text("ab", min_size=1), max_size=30))
    def plan(self, names: list[str]) -> None:
        tasks = [Task(name, name * 2, state=TaskState.DONE) for name in names]
        for name, record in zip(names, self.subject.new(tasks), strict=True):
            assert record == TaskStatus(name, name * 2, TaskState.DONE)
            record.receipt, record.notes, record.attempt = Receipt(name, True, ()), (name,), 3
            record.reason, record.reverted, record.finished_at = name, True, 1.0
            self.out.append((record, name))
            self.taken += 1

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        keep = data.draw(st.integers(0, len(self.out) - 1))
        over, self.out = self.out[keep:], self.out[:keep]
        self.subject.take_back([record for record, _ in over])

    @invariant()
    def nothing_is_shared_or_lost(self) -> None:
        assert all(record.id == name for record, name in self.out)
        stats = self.subject.stats()
        assert (stats.in_use, stats.acquired) == (len(self.out), self.taken)
        assert stats.released == self.taken - len(self.out)
        assert stats.idle <= SIZE


TestTaskPool = PoolMachine.TestCase


def test_records_wait_from_the_start() -> None:
    assert TaskPool().stats().idle == PREWARM


def test_nothing_is_pooled_when_switched_off() -> None:
    pools = Pools.of(pooling=False)
    pools.tasks.take_back(pools.tasks.new([Task("T1", "")]))
    pools.strings.intern("T1")
    with pools.buffers.lease(1024):
        pass

    stats = [pools.tasks.stats(), pools.buffers.stats()]
    assert [one.idle for one in stats] == [0, 0]
    assert pools.strings.stats().entries == 0


@pytest.mark.parametrize("pooling", [True, False])
def test_missions_give_all_records_back_and_tell_the_same(pooling: bool) -> None:
    pool = TaskPool(pooling=pooling, debug=True)

    async def missions() -> None:
        for number in range(25):
            mission = Mission(f"m{number}", MissionRequest(text="x"), pool)
            tasks = tuple(Task(f"T{n}", f"task {n}") for n in range(200))
            mission.add(MissionAccepted(mission_id=mission.id, text="x"))
            mission.add(MissionPlanned(mission_id=mission.id, plan=Plan("x", tasks)))
            for task in tasks:
                mission.add(TaskStarted(mission_id=mission.id, task_id=task.id))
                done = TaskFinished(
                    mission_id=mission.id, task_id=task.id, state=TaskState.DONE, notes=(task.id,)
                )
                mission.add(done)
            mission.finish(build_report(mission, duration_s=0, stats={}))
            reported = [(one.id, one.status, one.notes) for one in mission.report.tasks]
            assert reported == [(task.id, TaskState.DONE, (task.id,)) for task in tasks]
            assert mission.state.tasks == {}

    asyncio.run(missions())
    stats = pool.stats()
    assert stats.in_use == 0
    assert (stats.acquired, stats.released) == ((5000, 5000) if pooling else (0, 0))


async def test_crashed_mission_gives_its_records_back() -> None:
    pool = TaskPool(debug=True)
    mission = Mission("m", MissionRequest(text="x"), pool)
    mission.add(MissionAccepted(mission_id="m", text="x"))
    mission.add(MissionPlanned(mission_id="m", plan=Plan("x", (Task("T1", "one"),))))
    assert pool.stats().in_use == 1

    mission.crash(RuntimeError("bug"))

    assert pool.stats().in_use == 0
    assert mission.outcome == "failed: bug"  # its progress bar is closed with it
    with pytest.raises(RuntimeError):
        await mission.wait()


def test_decoded_events_share_their_ids(tmp_path: Path) -> None:
    strings = StringPool()
    with Journal(tmp_path / ".opencode", strings=strings) as journal:
        for task in ("T1", "T2", "T1"):
            journal.append(TaskStarted(mission_id="m1", task_id=task))
        events = journal.events()

    assert [getattr(event, "task_id", None) for event in events] == ["T1", "T2", "T1"]
    assert len({id(event.mission_id) for event in events}) == 1
    assert len({id(getattr(event, "task_id", None)) for event in events}) == 2
    assert strings.stats().asked == 6


def test_threads_hammering_the_pool_lose_nothing() -> None:
    pool, threads, rounds = TaskPool(), 4, 100
    barrier, wrong = threading.Barrier(threads), list[str]()

    def hammer(me: int) -> None:
        barrier.wait()
        for number in range(rounds):
            names = [f"{me}-{number}-{n}" for n in range(20)]
            records = pool.new([Task(name, name) for name in names])
            wrong.extend(r.title for r, n in zip(records, names, strict=True) if r.id != n)
            pool.take_back(records)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(hammer, range(threads)))

    stats = pool.stats()
    assert wrong == []
    assert (stats.in_use, stats.released) == (0, threads * rounds * 20)
