"""The processes of a tool pool: when they start and end, and which takes the next call."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from orchestrator_core.runtime.tool_member import Member
from orchestrator_core.runtime.tool_restarts import Restarts

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.errors import ToolError
    from orchestrator_core.runtime.tool_alarm import Alarm
    from orchestrator_core.runtime.tool_process import ToolProcess


class Fleet:
    """All that is there of the processes of one pool. Guarded by the pool's lock.

    Args:
        make: a process that is not started yet.
        alarm: wakes the pool, which then calls :meth:`tend`.
        max_processes: how many run at once.
        slots: a process with so many calls is full.
        idle_s: a process without a call for so long is ended.
        start_s: how long a process may take to be ready.
        stop_s: how long it may take to stop a call or to end.
    """

    def __init__(
        self,
        make: Callable[[], ToolProcess],
        alarm: Alarm,
        *,
        max_processes: int,
        slots: int,
        idle_s: float,
        start_s: float,
        stop_s: float,
    ) -> None:
        self.members: dict[ToolProcess, Member] = {}
        self.restarts = Restarts()
        self._overlays: dict[str, bytes] = {}
        self._make = make
        self._alarm = alarm
        self._max = max_processes
        self._slots = slots
        self._idle_s = idle_s
        self._start_s = start_s
        self._stop_s = stop_s

    @property
    def busy(self) -> int:
        """How many have a call."""
        return sum(1 for member in self.members.values() if member.load)

    def least_busy(self) -> Member | None:
        """The one that takes the next call; None if all are full."""
        best: Member | None = None
        for member in self.members.values():
            usable = member.ready and not member.retired and member.load < self._slots
            if usable and (best is None or member.load < best.load):
                best = member
        return best

    def grow(self, waiting: int) -> None:
        """Start as many processes as the waiting calls fill."""
        if not self.restarts.may_start():
            return
        starting = sum(1 for member in self.members.values() if not member.ready)
        while waiting > starting * self._slots and len(self.members) < self._max:
            start_by = time.monotonic() + self._start_s
            process = self._make()
            self.members[process] = Member(process, start_by)
            starting += 1
            self.restarts.started()
            self._alarm.wake(start_by)
            process.start()

    def overlay(self, path: str, line: bytes, *, clear: bool = False) -> None:
        """Tell all processes of an overlay, those to come as well; or that it is cleared."""
        if not clear:
            self._overlays[path] = line
        elif self._overlays.pop(path, None) is None:
            return
        for process, member in self.members.items():
            if member.ready:
                process.send(line)

    def became_ready(self, process: ToolProcess, base_bytes: int) -> None:
        """A process has started, with so much resident memory: give it the overlays."""
        member = self.members[process]
        member.ready = True
        member.start_by = math.inf
        member.base_bytes = base_bytes
        for line in self._overlays.values():
            process.send(line)
        self.settle(member)

    def ended(self, process: ToolProcess, error: ToolError, *, wanted: bool) -> Member:
        """A process is gone; one that was neither retired nor ``wanted`` gone has failed."""
        member = self.members.pop(process)
        if not member.retired and not wanted:
            self.restarts.failed(error, hopeless=process.pid is None)
            self._alarm.wake(self.restarts.not_before)
        return member

    def retire(self, member: Member) -> None:
        """Give a process no more calls; another is to replace it."""
        member.retired = True
        self.restarts.retired()

    def give_up(self, member: Member, call_id: int) -> None:
        """Have a process stop a call."""
        stop_by = time.monotonic() + self._stop_s
        member.give_up(call_id, stop_by)
        self._alarm.wake(stop_by)

    def settle(self, member: Member) -> None:
        """Decide what a process does that may have nothing left to do."""
        if member.retired and not member.calls and member.stuck:
            member.kill("went on with a call that was cancelled")
        elif member.load:
            return
        elif member.retired:
            self._stop(member)
        elif member.idle_since == math.inf:
            member.idle_since = time.monotonic()
            self._alarm.wake(member.idle_since + self._idle_s)

    def tend(self, now: float) -> None:
        """Carry out what time decides: idleness, hung processes."""
        for member in self.members.values():
            if member.start_by <= now:
                member.kill(f"was not ready within {self._start_s:g} s")
            elif member.answer_ping_by <= now:
                member.kill(f"gave no sign of life for {self._stop_s:g} s")
            elif member.stop_by <= now:
                member.kill(f"did not end within {self._stop_s:g} s")
            elif any(stop_by <= now for stop_by in member.given_up.values()):
                member.given_up.clear()
                member.stuck = True
                self.retire(member)
                self.settle(member)
            elif member.idle_since + self._idle_s <= now:
                self._stop(member)

    def next_event(self) -> float:
        """When something about a process is due."""
        events = (member.next_event(self._idle_s) for member in self.members.values())
        return min(events, default=math.inf)

    def stop_all(self) -> list[ToolProcess]:
        """Ask all processes to end; which they are."""
        for process in self.members:
            process.stop()
        return [*self.members]

    def _stop(self, member: Member) -> None:
        """Ask a process to end."""
        stop_by = time.monotonic() + self._stop_s
        member.stop(stop_by)
        self._alarm.wake(stop_by)
