from __future__ import annotations

import threading
from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator_core.primitives.work_deque import WorkStealingDeque


class DequeMachine(RuleBasedStateMachine):
    """The deque beside a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.subject: WorkStealingDeque[int] = WorkStealingDeque()
        self.model: deque[int] = deque()

    @rule(value=st.integers())
    def push(self, value: int) -> None:
        self.subject.push(value)
        self.model.append(value)

    @rule()
    def pop(self) -> None:
        assert self.subject.pop() == (self.model.pop() if self.model else None)

    @rule()
    def steal(self) -> None:
        assert self.subject.steal() == (self.model.popleft() if self.model else None)

    @rule(limit=st.integers())
    def trim(self, limit: int) -> None:
        self.subject.trim(lambda x: x > limit)
        while self.model and self.model[-1] > limit:
            self.model.pop()

    @invariant()
    def same_length(self) -> None:
        assert len(self.subject) == len(self.model)


TestDeque = DequeMachine.TestCase


def test_stampede_of_thieves_gets_each_entry_once() -> None:
    subject: WorkStealingDeque[int] = WorkStealingDeque()
    count, thieves = 20_000, 4
    taken: list[list[int]] = [[] for _ in range(thieves + 1)]
    start, pushed = threading.Barrier(thieves + 1), threading.Event()

    def steal(mine: list[int]) -> None:
        start.wait()
        while True:
            last_look = pushed.is_set()
            entry = subject.steal()
            if entry is not None:
                mine.append(entry)
            elif last_look:
                return

    threads = [threading.Thread(target=steal, args=(taken[i],)) for i in range(thieves)]
    for thread in threads:
        thread.start()
    start.wait()
    for number in range(1, count + 1):
        subject.push(number)
        if number % 3 == 0 and (entry := subject.pop()) is not None:
            taken[-1].append(entry)
    pushed.set()
    for thread in threads:
        thread.join()
    assert sorted(x for mine in taken for x in mine) == list(range(1, count + 1))


def test_last_element_popped_and_stolen_at_once() -> None:
    """Exactly one of the two gets it, whoever is first."""
    subject: WorkStealingDeque[int] = WorkStealingDeque()
    rounds = 2_000
    both = threading.Barrier(2)
    stolen: list[int | None] = []

    def steal() -> None:
        for _ in range(rounds):
            both.wait()
            stolen.append(subject.steal())
            both.wait()

    thief = threading.Thread(target=steal)
    thief.start()
    popped: list[int | None] = []
    for number in range(rounds):
        subject.push(number)
        both.wait()
        popped.append(subject.pop())
        both.wait()
    thief.join()
    assert [{p, s} for p, s in zip(popped, stolen, strict=True)] == [
        {n, None} for n in range(rounds)
    ]
