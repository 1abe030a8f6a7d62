from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator_core.errors import PooledObjectMisuse
from orchestrator_core.primitives.buffer_pool import KIB, SIZES_BYTES, BufferLease, BufferPool

KEPT = 2
around_a_size = st.sampled_from([n + d for n in (1, *SIZES_BYTES) for d in (-1, 0, 1) if n + d > 0])


class PoolMachine(RuleBasedStateMachine):
    """The pool beside a count of the buffers of each size that it must have."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = BufferPool(KEPT)
        self.out: list[tuple[BufferLease, bytes]] = []
        self.idle = Counter[int]()
        self.acquired = self.released = 0

    @rule(size_bytes=around_a_size, secret=st.booleans(), mark=st.integers(1, 255))
    def lease(self, size_bytes: int, secret: bool, mark: int) -> None:
        lease = self.subject.lease(size_bytes, secret=secret)
        assert len(lease.view) == size_bytes
        content = bytes([mark]) * size_bytes
        lease.view[:] = content
        self.out.append((lease, content))
        self.acquired += 1
        kind = self.kind(size_bytes)
        self.idle[kind] = max(0, self.idle[kind] - 1)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease, _ = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        kind = self.kind(len(lease.view))
        lease.release()
        self.released += 1
        if kind in SIZES_BYTES:
            self.idle[kind] = min(KEPT, self.idle[kind] + 1)
        with pytest.raises(PooledObjectMisuse):
            lease.release()
        with pytest.raises(ValueError, match="released"):
            lease.view[0] = 1

    @invariant()
    def nothing_is_shared(self) -> None:
        assert all(bytes(lease.view) == content for lease, content in self.out)

    @invariant()
    def counts_are_right(self) -> None:
        stats = self.subject.stats()
        assert (stats.idle, stats.in_use) == (self.idle.total(), len(self.out))
        assert (stats.acquired, stats.released) == (self.acquired, self.released)

    @staticmethod
    def kind(size_bytes: int) -> int:
        return next((size for size in SIZES_BYTES if size >= size_bytes), size_bytes)


TestBufferPool = PoolMachine.TestCase


def test_memory_is_used_again() -> None:
    pool = BufferPool()
    with pool.lease(64 * KIB) as view:
        first = view.obj
    with pool.lease(16 * KIB + 1) as view:
        assert view.obj is first
    assert pool.stats().hit_rate == 0.5


def test_secrets_are_wiped() -> None:
    pool = BufferPool()
    with pool.lease(4 * KIB, secret=True) as view:
        view[:6] = b"secret"
    with pool.lease(4 * KIB) as view:
        assert not any(view)


def test_buffer_that_somebody_still_looks_at_is_not_used_again() -> None:
    pool = BufferPool()
    with pool.lease(KIB) as view:
        cut = view[:4]
    with pool.lease(KIB) as view:
        view[:4] = b"next"
        assert bytes(cut) == bytes(4)
    assert pool.stats().hit_rate == 0


def test_pool_that_keeps_nothing_serves_all_the_same() -> None:
    pool = BufferPool(0)
    for _ in range(2):
        with pool.lease(KIB) as view:
            assert len(view) == KIB
    assert (pool.stats().idle, pool.stats().hit_rate) == (0, 0)


def test_empty_buffer_is_refused() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        BufferPool().lease(0)


def test_threads_share_nothing_and_lose_nothing() -> None:
    pool, threads, rounds = BufferPool(KEPT), 4, 300
    barrier, wrong = threading.Barrier(threads), list[int]()

    def hammer(me: int) -> None:
        barrier.wait()
        mine = bytes([me]) * KIB
        for _ in range(rounds):
            with pool.lease(KIB) as view:
                view[:] = mine
                if bytes(view) != mine:
                    wrong.append(me)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(hammer, range(threads)))

    stats = pool.stats()
    assert wrong == []
    assert (stats.in_use, stats.acquired, stats.released) == (0, threads * rounds, threads * rounds)
    assert stats.idle <= KEPT
