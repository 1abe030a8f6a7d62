"""How what ends in other threads reaches an event loop: many at a time."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class LoopInbox:
    """Completions on their way into one event loop.

    The claim ``_armed`` is taken by the first post after a drain, so that a burst of completions
    costs one ``call_soon_threadsafe``. The drain gives the claim back *before* it looks at the
    queue: a post that finds it taken was appended before that look.
    """

    __slots__ = ("__weakref__", "_armed", "_loop", "_ready")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[asyncio.Future[None]] = deque()
        self._armed = threading.Lock()

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is this loop's."""
        return self._loop is loop

    def post(self, waiter: asyncio.Future[None], _: object = None) -> None:
        """Wake the waiter on its loop; from any thread."""
        self._ready.append(waiter)
        if self._armed.acquire(blocking=False):
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                self._ready.clear()
                self._armed.release()

    def _drain(self) -> None:
        self._armed.release()
        for _ in range(len(self._ready)):
            waiter = self._ready.popleft()
            if not waiter.done():
                waiter.set_result(None)


class _ThreadLocal(threading.local):
    """The inbox of the loop that runs in this thread, as long as a future waits on it."""

    inbox: weakref.ref[LoopInbox] | None = None


_local = _ThreadLocal()


def inbox_of(loop: asyncio.AbstractEventLoop) -> LoopInbox:
    """The inbox of the loop running in this thread."""
    inbox = _local.inbox() if _local.inbox is not None else None
    if inbox is None or not inbox.serves(loop):
        inbox = LoopInbox(loop)
        _local.inbox = weakref.ref(inbox)
    return inbox
