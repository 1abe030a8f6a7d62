"""A pool of objects that are used, reset and used again.

A pool pays for objects that are dear to make, and not for small records: a Struct of twelve fields
is made in 0.1 microseconds, and taken from a pool, reset and given back in 0.4, most of it the
resetting. Beside the 30 microseconds of processor time that the rest of a task's records take,
neither is felt (``tests/benchmarks/bench_memory.py``, ``pieces_record_*_us`` and
``pooled_vs_unpooled_time``).
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from orchestrator_core.errors import PooledObjectMisuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class PoolCounts(Struct, frozen=True, rename="camel"):
    """What a pool did so far.

    Attributes:
        size: the most objects that wait for use at once.
        idle: objects that wait for use.
        in_use: objects taken and not yet given back.
        acquired: objects ever taken.
        released: objects ever given back.
        hit_rate: the share of ``acquired`` that needed nothing made, 0 to 1.
    """

    size: int = 0
    idle: int = 0
    in_use: int = 0
    acquired: int = 0
    released: int = 0
    hit_rate: float = 0.0


class Lease(Generic[T]):
    """A pooled object for the length of a ``with`` block; one thread's at a time."""

    __slots__ = ("_item", "_pool")

    def __init__(self, pool: ObjectPool[T], item: T) -> None:
        self._pool = pool
        self._item: tuple[T] | None = (item,)

    @property
    def item(self) -> T:
        """The object.

        Raises:
            PooledObjectMisuse: it was given back already.
        """
        if self._item is None:
            raise PooledObjectMisuse("a pooled object was used after its lease had ended")
        return self._item[0]

    def release(self) -> None:
        """Give the object back.

        Raises:
            PooledObjectMisuse: it was given back already.
        """
        item, self._item = self.item, None
        self._pool.release(item)

    def __enter__(self) -> T:
        return self.item

    def __exit__(self, *_: object) -> None:
        if self._item is not None:
            self.release()


class ObjectPool(Generic[T]):
    """Objects of one kind. Thread-safe, with or without a GIL.

    More objects can be in use than ``size``: what is given back beyond it is dropped.

    Args:
        make: makes an object, in the state that ``reset`` brings it back to.
        reset: makes a used object as new; it must let go of everything that the user put in.
        size: the most objects that wait for use.
        prewarm: how many are made in advance.
        debug: find misuse at a cost in time: an object that is given back twice, or was never
            taken, or is changed after it was given back. The last needs objects that can be
            copied and compared.

    Raises:
        ValueError: a number is negative, or more are made in advance than may wait.
    """

    def __init__(
        self,
        make: Callable[[], T],
        reset: Callable[[T], object],
        *,
        size: int,
        prewarm: int = 0,
        debug: bool = False,
    ) -> None:
        if not 0 <= prewarm <= size:
            raise ValueError(f"prewarm is {prewarm}: it must be from 0 to the size, {size}")
        self._make = make
        self._reset = reset
        self._size = size
        self._lock = threading.Lock()
        self._idle = [make() for _ in range(prewarm)]
        self._acquired = 0
        self._missed = 0
        self._released = 0
        self._watch: _Watch[T] | None = _Watch(self._idle) if debug else None

    def acquire(self) -> T:
        """Take an object; whoever takes it gives it back with :meth:`release`.

        Raises:
            PooledObjectMisuse: in debug mode, somebody changed it while it was in the pool.
        """
        return self.acquire_all(1)[0]

    def acquire_all(self, count: int) -> list[T]:
        """Take several objects at once.

        Raises:
            PooledObjectMisuse: in debug mode, somebody changed one while it was in the pool.
        """
        with self._lock:
            rest = max(0, len(self._idle) - count)
            items = self._idle[rest:]
            if self._watch is not None:
                self._watch.taken(items)
            del self._idle[rest:]
            self._acquired += len(items)
        missing = count - len(items)
        if missing:
            try:
                made = [self._make() for _ in range(missing)]
            except BaseException:
                self.release_all(items)
                raise
            with self._lock:
                self._acquired += missing
                self._missed += missing
                if self._watch is not None:
                    self._watch.made(made)
            items += made
        return items

    def release(self, item: T) -> None:
        """Give an object back; it must not be used any more.

        Raises:
            PooledObjectMisuse: in debug mode, it is not in use.
        """
        self.release_all((item,))

    def release_all(self, items: Sequence[T]) -> None:
        """Give objects back, all of which count as released even if ``reset`` fails for one.

        Raises:
            PooledObjectMisuse: in debug mode, one is not in use; none was given back.
        """
        if self._watch is not None:
            with self._lock:
                self._watch.giving_back(items)
        clean: list[T] = []
        try:
            # Beyond what fits, resetting would be for nothing; the lock is not held meanwhile.
            for item in items[: self._size]:
                self._reset(item)
                clean.append(item)
        finally:
            with self._lock:
                self._released += len(items)
                kept = clean[: self._size - len(self._idle)]
                self._idle += kept
                if self._watch is not None:
                    self._watch.kept(kept)

    def lease(self) -> Lease[T]:
        """An object for the length of a ``with`` block."""
        return Lease(self, self.acquire())

    def stats(self) -> PoolCounts:
        """The figures, all of one moment."""
        with self._lock:
            return PoolCounts(
                size=self._size,
                idle=len(self._idle),
                in_use=self._acquired - self._released,
                acquired=self._acquired,
                released=self._released,
                hit_rate=hit_rate(self._acquired, self._missed),
            )


class _Watch(Generic[T]):
    """Who is where, and how those that wait looked when they came. Guarded by the pool's lock."""

    def __init__(self, idle: Sequence[T]) -> None:
        self._in_use: dict[int, T] = {}
        self._looked: dict[int, T] = {}
        self.kept(idle)

    def made(self, items: Sequence[T]) -> None:
        self._in_use |= {id(item): item for item in items}

    def taken(self, items: Sequence[T]) -> None:
        for item in items:
            if self._looked[id(item)] != item:
                raise PooledObjectMisuse(
                    f"a pooled {type(item).__name__} was changed after its release: {item!r}"
                )
        for item in items:
            del self._looked[id(item)]
        self.made(items)

    def giving_back(self, items: Sequence[T]) -> None:
        ids = {id(item) for item in items}
        if len(ids) < len(items) or not ids <= self._in_use.keys():
            raise PooledObjectMisuse(f"released twice, or never taken: one of {items!r}")
        for known in ids:
            del self._in_use[known]

    def kept(self, items: Sequence[T]) -> None:
        for item in items:
            self._looked[id(item)] = copy.copy(item)


def hit_rate(asked: int, missed: int) -> float:
    """The share of hits, 0 when nobody asked."""
    return round(1 - missed / asked, 4) if asked else 0.0
