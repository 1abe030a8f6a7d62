"""Buffers for streams: what one stream has done with goes to the next.

To take a buffer of 64 KiB again is a little cheaper than to make one: 2.8 microseconds for a lease
against 3.3 (``tests/benchmarks/bench_memory.py``). What really saves memory is that a stream of
any length passes through one of them.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from orchestrator_core.errors import PooledObjectMisuse
from orchestrator_core.primitives.object_pool import PoolCounts, hit_rate

if TYPE_CHECKING:
    from collections.abc import Callable

KIB = 1024
SIZES_BYTES = (KIB, 4 * KIB, 16 * KIB, 64 * KIB)
KEPT = 50
_ZEROS = bytes(4 * KIB)


class BufferLease:
    """A buffer for the length of a ``with`` block, which gets a memoryview of it.

    When it ends the memoryview is released: a later use of it raises ``ValueError``, and so
    nobody can see or change what is another's by then. Parts of it that were cut off and stored
    keep their memory: it is not used again. One thread's at a time.
    """

    __slots__ = ("_buffer", "_give_back", "_secret", "view")

    def __init__(
        self,
        buffer: bytearray,
        size_bytes: int,
        give_back: Callable[[bytearray], None],
        *,
        secret: bool,
    ) -> None:
        self._give_back = give_back
        self._buffer: bytearray | None = buffer
        self._secret = secret
        whole = memoryview(buffer)
        self.view = whole if len(buffer) == size_bytes else whole[:size_bytes]
        if self.view is not whole:
            whole.release()

    def release(self) -> None:
        """Give the buffer back.

        Raises:
            PooledObjectMisuse: it was given back already.
        """
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            raise PooledObjectMisuse("a buffer was released twice")
        if self._secret:
            for start in range(0, len(self.view), len(_ZEROS)):
                with self.view[start : start + len(_ZEROS)] as part:  # a view would keep it taken
                    part[:] = _ZEROS[: len(part)]
        with contextlib.suppress(BufferError):  # somebody decodes from it: it stays theirs
            self.view.release()
        self._give_back(buffer)

    def __enter__(self) -> memoryview:
        return self.view

    def __exit__(self, *_: object) -> None:
        if self._buffer is not None:
            self.release()


class BufferPool:
    """Buffers of 1, 4, 16 and 64 KiB. Thread-safe, with or without a GIL.

    A request gets exactly as many bytes as it asks for, cut from the smallest size that holds
    them; a larger one than 64 KiB gets memory of its own, which is not kept.

    Args:
        kept: how many unused buffers of each size are kept; 0 makes each request a plain one.

    Raises:
        ValueError: ``kept`` is negative.
    """

    def __init__(self, kept: int = KEPT) -> None:
        if kept < 0:
            raise ValueError(f"kept is {kept}: a pool cannot keep fewer than 0 buffers")
        self._kept = kept
        self._lock = threading.Lock()
        self._idle: dict[int, list[bytearray]] = {size_bytes: [] for size_bytes in SIZES_BYTES}
        self._acquired = 0
        self._missed = 0
        self._released = 0

    def lease(self, size_bytes: int, *, secret: bool = False) -> BufferLease:
        """A buffer of ``size_bytes``, with whatever bytes its last user left.

        Args:
            size_bytes: how much is needed.
            secret: it may hold what the next user must not see: overwrite it in the end.

        Raises:
            ValueError: ``size_bytes`` is not positive.
        """
        if size_bytes <= 0:
            raise ValueError(f"a buffer of {size_bytes} bytes was asked for")
        fits = next((size for size in SIZES_BYTES if size >= size_bytes), size_bytes)
        with self._lock:
            self._acquired += 1
            idle = self._idle.get(fits)
            buffer = idle.pop() if idle else None
            self._missed += buffer is None
        return BufferLease(buffer or bytearray(fits), size_bytes, self._take_back, secret=secret)

    def stats(self) -> PoolCounts:
        """The figures, all of one moment."""
        with self._lock:
            return PoolCounts(
                size=self._kept * len(SIZES_BYTES),
                idle=sum(map(len, self._idle.values())),
                in_use=self._acquired - self._released,
                acquired=self._acquired,
                released=self._released,
                hit_rate=hit_rate(self._acquired, self._missed),
            )

    def _take_back(self, buffer: bytearray) -> None:
        with self._lock:
            self._released += 1
            idle = self._idle.get(len(buffer))
            if idle is not None and len(idle) < self._kept and not _viewed(buffer):
                idle.append(buffer)


def _viewed(buffer: bytearray) -> bool:
    """Whether anybody has a view of the buffer: only then can it not be resized."""
    last = buffer.pop
    try:
        buffer.append(last())
    except BufferError:
        return True
    return False
