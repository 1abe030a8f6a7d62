"""The way out: a thread that writes frames from a bounded queue.

A client that stops reading can neither block the event loop nor make the queue grow (mends
defect 10 of the list in ``protocol``).
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

logger = logging.getLogger(__name__)

_BATCH_BYTES = 64 * 1024


class _Queued:
    """One frame in the writer's queue; its bytes may be replaced until they are taken."""

    __slots__ = ("data", "key")

    def __init__(self, data: bytes, key: Hashable | None) -> None:
        self.data = data
        self.key = key


class WireWriter:
    """Writes frames in a thread of its own, from a bounded queue. Thread-safe.

    A frame with a key replaces one with the same key that is still queued, at its place. A
    frame that may be dropped is dropped once ``limit_bytes`` wait. Other frames (answers, and
    requests to the client) are always kept: how many there can be is bounded by not reading
    further requests while ``congested``, and by those who await an answer.

    Args:
        fd: the descriptor to write; stays the caller's.
        on_broken: called once, in the writer's thread, when the client cannot be written to.
        limit_bytes: from here on, frames that may be dropped are.
    """

    def __init__(
        self,
        fd: int,
        *,
        on_broken: Callable[[OSError], None] = lambda _: None,
        limit_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self._fd = fd
        self._on_broken = on_broken
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._queue: deque[_Queued] = deque()
        self._keyed: dict[Hashable, _Queued] = {}
        self._queued_bytes = 0
        self._dropped = 0
        self._closing = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="wire-writer", daemon=True)

    @property
    def congested(self) -> bool:
        """Whether the client reads too slowly for more answers to be made."""
        return self._queued_bytes >= self._limit_bytes

    @property
    def broken(self) -> bool:
        """Whether the client can no longer be written to."""
        return self._broken

    @property
    def queued_bytes(self) -> int:
        """How much waits to be written."""
        return self._queued_bytes

    @property
    def dropped(self) -> int:
        """How many frames were dropped because the client did not read."""
        return self._dropped

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Queue a whole frame (the interface that pygls knows)."""
        self.send(data)

    def send(self, data: bytes, *, key: Hashable | None = None, droppable: bool = False) -> bool:
        """Queue a frame, and never block.

        Args:
            data: the frame, header and body.
            key: a queued frame with the same key is replaced.
            droppable: whether it may be dropped when the client does not read.

        Returns:
            False when it was dropped, or the client is gone.
        """
        with self._changed:
            if self._broken or self._closing:
                return False
            queued = self._keyed.get(key) if key is not None else None
            if queued is not None:
                self._queued_bytes += len(data) - len(queued.data)
                queued.data = data
                return True
            if droppable and self._queued_bytes + len(data) > self._limit_bytes:
                self._dropped += 1
                return False
            entry = _Queued(data, key)
            self._queue.append(entry)
            if key is not None:
                self._keyed[key] = entry
            self._queued_bytes += len(data)
            self._changed.notify()
            return True

    def close(self, timeout_s: float = 1.0) -> bool:
        """Write what is queued, then stop.

        A client that does not read ends the wait after ``timeout_s``; the thread, a daemon,
        then stays in its write until the process ends.

        Returns:
            Whether everything was written.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._dropped:
            logger.warning("%d notifications were dropped: the client did not read", self._dropped)
        return not self._thread.is_alive() and not self._broken

    @property
    def ended(self) -> bool:
        """Whether the thread has ended, and with it all use of the descriptor."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (data := self._take()) is not None:
            try:
                self._write_all(data)
            except OSError as error:
                self._break(error)
                return
            with self._changed:
                self._queued_bytes -= len(data)

    def _take(self) -> bytes | None:
        """The next frames, as many as fit one write; None when closed and all is written."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    return None
                self._changed.wait()
            parts: list[bytes] = []
            size_bytes = 0
            while self._queue and size_bytes + len(self._queue[0].data) <= _BATCH_BYTES:
                size_bytes += self._pop_into(parts)
            if not parts:
                self._pop_into(parts)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def _pop_into(self, parts: list[bytes]) -> int:
        entry = self._queue.popleft()
        if entry.key is not None:
            del self._keyed[entry.key]
        parts.append(entry.data)
        return len(entry.data)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def _break(self, error: OSError) -> None:
        with self._changed:
            self._broken = True
            self._queue.clear()
            self._keyed.clear()
            self._queued_bytes = 0
        self._on_broken(error)
