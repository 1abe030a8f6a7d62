"""What a tool pool knows of one of its processes. Guarded by the pool's lock."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from orchestrator_core.decoding import decode
from orchestrator_core.runtime.tool_process import encode

if TYPE_CHECKING:
    from orchestrator_core.runtime.json_rpc import Message
    from orchestrator_core.runtime.tool_call import Call
    from orchestrator_core.runtime.tool_process import ToolProcess

MEMORY_CHECK_S = 1.0
PING_ID = -1
STATUS_ID = -2


class _Status(Struct, frozen=True, rename="camel"):
    held_bytes: int


class Member:
    """A process of the pool. Times are of the monotonic clock, in seconds.

    Attributes:
        ready: its handshake is done.
        retired: it takes no more calls.
        stuck: it went on with a call that was given up.
        given_up: by the id of a call, until when it may take to stop.
        base_bytes: its resident memory when it was ready.
        held_bytes: what it last said that it keeps on purpose.
    """

    def __init__(self, process: ToolProcess, start_by: float) -> None:
        self.process = process
        self.ready = False
        self.retired = False
        self.stuck = False
        self.calls: dict[int, Call[Any]] = {}
        self.given_up: dict[int, float] = {}
        self.start_by = start_by
        self.stop_by = math.inf
        self.answer_ping_by = math.inf
        self.idle_since = math.inf
        self.base_bytes = 0
        self.held_bytes = 0
        self._next_memory_check = 0.0
        self._was_large = False

    @property
    def load(self) -> int:
        """Calls that occupy it."""
        return len(self.calls) + len(self.given_up)

    def next_event(self, idle_s: float) -> float:
        """When something about it is due."""
        return min(
            self.start_by,
            self.stop_by,
            self.answer_ping_by,
            self.idle_since + idle_s,
            *(call.deadline for call in self.calls.values()),
            *self.given_up.values(),
        )

    def give_up(self, call_id: int, stop_by: float) -> None:
        """Have it stop a call, and show by an answered ping that it still listens."""
        self.given_up[call_id] = stop_by
        self.process.send(encode("notifications/cancelled", {"requestId": call_id}))
        if self.answer_ping_by == math.inf:
            self.answer_ping_by = stop_by
            self.process.send(encode("ping", {}, PING_ID))

    def check_memory(self, limit_bytes: int, now: float) -> None:
        """From time to time: if it grew beyond the limit and what it held, ask what it holds.

        Needs no lock, but the process's own thread: reading the size takes a while.
        """
        if now >= self._next_memory_check:
            self._next_memory_check = now + MEMORY_CHECK_S
            if self._grown_bytes() > limit_bytes:
                self.process.send(encode("orchestrator/status", {}, STATUS_ID))

    def is_too_large(self, status: Message, limit_bytes: int) -> bool:
        """Whether it grew by more than the limit beyond what its status says that it holds.

        While it works it must be found so twice in a row, since calls take memory, too. As
        :meth:`check_memory`, for the process's own thread.
        """
        held = None if status.error else decode(status.result, _Status)
        self.held_bytes = held.held_bytes if held else 0
        large = self._grown_bytes() > limit_bytes
        before, self._was_large = self._was_large, large
        return large and (before or not self.load)

    def _grown_bytes(self) -> int:
        return self.process.rss_bytes() - self.base_bytes - self.held_bytes

    def stop(self, stop_by: float) -> None:
        """Ask it to end."""
        self.retired = True
        self.idle_since = math.inf
        self.stop_by = stop_by
        self.process.stop()

    def kill(self, reason: str) -> None:
        """End it at once; from here on nothing about it is due but its end."""
        self.start_by = self.stop_by = self.answer_ping_by = self.idle_since = math.inf
        self.given_up.clear()
        self.ready = False
        self.process.kill(reason)
