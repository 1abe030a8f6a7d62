from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator_core.primitives.string_pool import COMMON, LONGEST, StringPool

ENTRIES = 3


class PoolMachine(RuleBasedStateMachine):
    """The pool beside a list, the most recently used last."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = StringPool(ENTRIES, 4, common=("done",))
        self.recent = ["done"]
        self.asked = self.evicted = 0

    @rule(text=st.text("ab", max_size=6) | st.just("done"))
    def intern(self, text: str) -> None:
        fresh = "".join(list(text))
        shared = self.subject.intern(fresh)
        assert shared == text
        self.asked += 1
        if text in self.recent:
            self.recent.remove(text)
        elif len(text) > 4:
            assert shared is fresh
            return
        elif len(self.recent) == ENTRIES:
            self.recent.pop(0)
            self.evicted += 1
        self.recent.append(text)
        assert self.subject.intern("".join(list(text))) is shared
        self.asked += 1

    @invariant()
    def counts_are_right(self) -> None:
        stats = self.subject.stats()
        assert (stats.entries, stats.asked) == (len(self.recent), self.asked)
        assert stats.evicted == self.evicted


TestStringPool = PoolMachine.TestCase


def test_equal_strings_become_one() -> None:
    pool = StringPool()
    first, second = (pool.intern("".join(list("mission-1"))) for _ in range(2))

    assert first is second
    assert pool.stats().hit_rate == 0.5


def test_common_words_are_known_from_the_start() -> None:
    pool = StringPool()
    for word in COMMON:
        pool.intern(word)

    assert {"worker", "running", "fractal"} <= set(COMMON)
    assert pool.stats().hit_rate == 1.0


def test_long_strings_pass_by() -> None:
    pool = StringPool(common=())
    pool.intern("x" * LONGEST)
    pool.intern("x" * (LONGEST + 1))

    assert pool.stats().entries == 1


def test_pool_without_room_keeps_nothing() -> None:
    pool = StringPool(0, common=())

    assert pool.intern("a") == "a"
    assert pool.stats().entries == 0


def test_more_common_strings_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        StringPool(1)


def test_threads_get_one_object_for_each_text() -> None:
    pool, threads, rounds, names = StringPool(), 4, 50, 100
    barrier = threading.Barrier(threads)
    seen: list[set[int]] = [set() for _ in range(names)]
    kept: list[str] = []

    def hammer() -> None:
        barrier.wait()
        for _ in range(rounds):
            for number in range(names):
                shared = pool.intern(f"task {number}")
                kept.append(shared)
                seen[number].add(id(shared))

    workers = [threading.Thread(target=hammer) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)

    assert [len(ids) for ids in seen] == [1] * names
    assert pool.stats().asked == threads * rounds * names
