from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator_core.errors import PooledObjectMisuse
from orchestrator_core.primitives.object_pool import ObjectPool

SIZE = 3


class Box:
    """Something that is used and reset; made anew it is empty."""

    def __init__(self) -> None:
        self.content: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and other.content == self.content

    __hash__ = None  # pyright: ignore[reportAssignmentType] - boxes change

    def __copy__(self) -> Box:
        copied = Box()
        copied.content = list(self.content)
        return copied

    def empty(self) -> None:
        self.content.clear()


def pool_of(size: int = SIZE, *, prewarm: int = 0, debug: bool = True) -> ObjectPool[Box]:
    return ObjectPool(Box, Box.empty, size=size, prewarm=prewarm, debug=debug)


class PoolMachine(RuleBasedStateMachine):
    """The pool beside a list of who is out, a count and the rule of what it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = pool_of(prewarm=1)
        self.out: list[Box] = []
        self.idle, self.acquired, self.released = 1, 0, 0

    @rule(mark=st.integers())
    def acquire(self, mark: int) -> None:
        box = self.subject.acquire()
        assert box.content == []
        assert all(box is not other for other in self.out)
        box.content.append(mark)
        self.out.append(box)
        self.idle = max(0, self.idle - 1)
        self.acquired += 1

    @rule(count=st.integers(0, SIZE + 1))
    def acquire_all(self, count: int) -> None:
        boxes = self.subject.acquire_all(count)
        assert len({id(box) for box in [*self.out, *boxes]}) == len(self.out) + count
        assert all(box.content == [] for box in boxes)
        for box in boxes:
            box.content.append(count)
        self.out += boxes
        self.idle = max(0, self.idle - count)
        self.acquired += count

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        box = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.subject.release(box)
        self.idle = min(SIZE, self.idle + 1)
        self.released += 1
        with pytest.raises(PooledObjectMisuse):
            self.subject.release(box)

    @rule()
    def release_all(self) -> None:
        self.subject.release_all(self.out)
        self.idle = min(SIZE, self.idle + len(self.out))
        self.released += len(self.out)
        self.out = []

    @invariant()
    def counts_are_right(self) -> None:
        stats = self.subject.stats()
        assert (stats.idle, stats.in_use) == (self.idle, len(self.out))
        assert (stats.acquired, stats.released) == (self.acquired, self.released)


TestObjectPool = PoolMachine.TestCase


def test_released_objects_are_used_again() -> None:
    pool = pool_of()
    first = pool.acquire()
    pool.release(first)

    assert pool.acquire() is first
    assert pool.stats().hit_rate == 0.5


def test_prewarmed_objects_are_hits() -> None:
    pool = pool_of(prewarm=2)
    _ = pool.acquire(), pool.acquire()

    assert pool.stats().hit_rate == 1.0


def test_lease_gives_back_even_after_an_error() -> None:
    pool = pool_of()
    with pytest.raises(KeyError), pool.lease():
        raise KeyError

    assert pool.stats().in_use == 0


def test_use_of_a_pooled_object_after_the_release_of_its_lease() -> None:
    lease = pool_of(debug=False).lease()
    lease.release()

    with pytest.raises(PooledObjectMisuse):
        _ = lease.item
    with pytest.raises(PooledObjectMisuse):
        lease.release()


def test_use_of_a_pooled_object_after_its_release_is_found() -> None:
    pool = pool_of()
    box = pool.acquire()
    pool.release(box)
    box.content.append(1)

    with pytest.raises(PooledObjectMisuse, match="changed after"):
        pool.acquire()


def test_what_was_taken_goes_back_when_no_more_can_be_made() -> None:
    made = iter([Box()])
    pool = ObjectPool(lambda: next(made), Box.empty, size=SIZE, prewarm=1, debug=True)

    with pytest.raises(StopIteration):
        pool.acquire_all(2)
    assert (pool.stats().idle, pool.stats().in_use) == (1, 0)


def test_foreign_object_is_refused() -> None:
    with pytest.raises(PooledObjectMisuse, match="never taken"):
        pool_of().release(Box())


def test_object_given_back_twice_at_once_is_refused() -> None:
    pool = pool_of()
    box = pool.acquire()

    with pytest.raises(PooledObjectMisuse):
        pool.release_all([box, box])
    assert pool.stats().in_use == 1


def test_more_prewarmed_than_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="prewarm"):
        pool_of(1, prewarm=2)


@pytest.mark.parametrize("debug", [False, True])
def test_threads_share_nothing_and_lose_nothing(debug: bool) -> None:
    pool, threads, rounds = pool_of(debug=debug), 4, 500
    barrier, wrong = threading.Barrier(threads), list[object]()

    def hammer(me: int) -> None:
        barrier.wait()
        for number in range(rounds):
            with pool.lease() as box:
                found = list(box.content)
                box.content += [me, number]
                if found or box.content != [me, number]:
                    wrong.append(box.content)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(hammer, range(threads)))

    stats = pool.stats()
    assert wrong == []
    assert (stats.in_use, stats.acquired, stats.released) == (0, threads * rounds, threads * rounds)
    assert stats.idle <= SIZE
