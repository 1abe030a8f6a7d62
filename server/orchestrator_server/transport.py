"""The way in: the claim on standard input and output, and a thread that reads frames.

The event loop never touches a file descriptor of the client: it gets decoded frames from the
`WireReader`, and hands encoded ones to the ``WireWriter``.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from orchestrator_server.frames import FrameDecoder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from orchestrator_server.frames import BadFrame, Message

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_MESSAGES_PER_TURN = 64
_PAUSE_MS = 50


class Wire(NamedTuple):
    """The two ends of the client's connection, as file descriptors of our own."""

    input_fd: int
    output_fd: int


def claim_stdio() -> Wire:
    """Take standard input and output for the protocol alone, for the rest of the process.

    Afterwards descriptor 1 is the same as standard error, so that neither a ``print``, nor a
    C library, nor a child can write into the protocol, and descriptor 0 is empty, so that no
    child can read from it.
    """
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 (it exists there alone)

        for fd in (0, 1):
            msvcrt.setmode(fd, os.O_BINARY)
    sys.stdout.flush()
    wire = Wire(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(null, 0)
        try:
            os.dup2(2, 1)
        except OSError:  # standard error is closed
            os.dup2(null, 1)
    finally:
        os.close(null)
    return wire


class WireReader:
    """Reads frames in a thread of its own and delivers them on the event loop, in order.

    It is a thread of its own because a pool shared with handlers makes the server deaf while
    they are busy. Reading pauses while too much waits to be handled, or while ``may_read``
    says no; the end of the stream is noticed all the same.

    Args:
        fd: the descriptor to read; stays the caller's.
        loop: the loop that ``deliver`` and ``on_end`` run on.
        deliver: takes one frame.
        on_end: called once, after the last frame, when the stream has ended.
        on_end_seen: called in the reader's thread the moment the stream ends, even while the
            loop is blocked.
        may_read: asked before each read.
        max_waiting_bytes: how much read input may wait for the loop.
    """

    def __init__(
        self,
        fd: int,
        loop: asyncio.AbstractEventLoop,
        *,
        deliver: Callable[[Message | BadFrame], None],
        on_end: Callable[[], None],
        on_end_seen: Callable[[], None] = lambda: None,
        may_read: Callable[[], bool] = lambda: True,
        max_waiting_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self._fd = fd
        self._loop = loop
        self._deliver = deliver
        self._on_end = on_end
        self._on_end_seen = on_end_seen
        self._may_read = may_read
        self._max_waiting_bytes = max_waiting_bytes
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Message | BadFrame | None, int]] = deque()
        self._waiting_bytes = 0
        self._armed = False
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="wire-reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> bool:
        """Stop reading; True when the thread has ended."""
        self._closed = True
        os.write(self._wake_write, b"x")
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        ended = not self._thread.is_alive()
        if ended:
            os.close(self._wake_read)
            os.close(self._wake_write)
        return ended

    def _run(self) -> None:
        decoder = FrameDecoder()
        unposted_bytes = 0
        while not self._closed:
            if not self._wait_for_input():
                continue
            try:
                data = os.read(self._fd, _CHUNK_BYTES)
            except OSError as error:
                logger.warning("reading from the client failed: %s", error)
                data = b""
            if not data:
                self._on_end_seen()
                self._post([None], 0)
                return
            unposted_bytes += len(data)
            if frames := decoder.feed(data):
                self._post(frames, unposted_bytes)
                unposted_bytes = 0

    def _wait_for_input(self) -> bool:
        """Wait until a read will not block; False when woken for another reason."""
        if sys.platform == "win32":
            return True  # a pipe cannot be polled there: the read blocks, the thread is a daemon
        paused = self._waiting_bytes >= self._max_waiting_bytes or not self._may_read()
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        # Registered for nothing, a descriptor still reports that the other side hung up; then
        # what is left to read is no more than a pipe holds.
        poll.register(self._fd, 0 if paused else select.POLLIN)
        ready = {fd for fd, _ in poll.poll(_PAUSE_MS if paused else None)}
        return self._fd in ready and not self._closed

    def _post(self, frames: list[Message | BadFrame] | list[None], size_bytes: int) -> None:
        with self._lock:
            sizes = [size_bytes] + [0] * (len(frames) - 1)
            self._waiting.extend(zip(frames, sizes, strict=True))
            self._waiting_bytes += size_bytes
            if self._armed:
                return
            self._armed = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed: nobody is left to deliver to
            self._closed = True

    def _drain(self) -> None:
        """Deliver what waits, a bounded number a turn, so that other work gets its turn."""
        for _ in range(_MESSAGES_PER_TURN):
            with self._lock:
                if not self._waiting:
                    self._armed = False
                    return
                frame, size_bytes = self._waiting.popleft()
                self._waiting_bytes -= size_bytes
            try:
                if frame is None:
                    self._on_end()
                else:
                    self._deliver(frame)
            except Exception:  # one bad message must not end the delivery of all others
                logger.exception("a message could not be handled")
        self._loop.call_soon(self._drain)
