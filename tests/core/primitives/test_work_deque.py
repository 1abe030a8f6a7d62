from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator_core.primitives.work_deque import WorkStealingDeque

if TYPE_CHECKING:
    from collections.abc import Callable


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


class Interrupted(deque[int]):
    """A deque beside which something happens once, right after somebody has looked at it."""

    meanwhile: Callable[[], object] | None = None

    def __len__(self) -> int:
        length = super().__len__()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return length


@pytest.mark.parametrize("owner_first", [True, False])
def test_last_element_popped_and_stolen_at_once(owner_first: bool) -> None:
    """Both have looked and seen it: one of the two gets it, the other nothing."""
    subject: WorkStealingDeque[int] = WorkStealingDeque()
    subject.entries = entries = Interrupted([7])
    slow, quick = (subject.steal, subject.pop) if owner_first else (subject.pop, subject.steal)
    got: list[int | None] = []
    entries.meanwhile = lambda: got.append(quick())
    got.append(slow())
    assert got == [7, None]
    assert len(subject) == 0
