"""Warm tool server processes, shared by everything that calls tools.

Calls go to the least busy process that is ready; more processes are started only when those that
run are full, and idle ones end. Each call has a deadline, and cancelling its future stops the work
in the process. What holds at every moment:

- A call is waiting, or with exactly one process, or done; it is done exactly once.
- A process that dies takes only the calls it had with it, at once. It is replaced after a pause
  that doubles with every death since the last success; after too many calls are refused until
  the pause is over.
- A call that was given up occupies its process until that says it stopped. A process that does
  not is killed: at once if it no longer answers pings, else when its other calls are done.
- Every process knows all overlays before its first call, and every change to them in order.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from orchestrator_core.errors import (
    PoolClosed,
    ToolRejected,
    ToolTimeout,
    ToolUnavailable,
)
from orchestrator_core.runtime.tool_alarm import Alarm
from orchestrator_core.runtime.tool_call import Call, ToolInfo, decode_result, decode_tools
from orchestrator_core.runtime.tool_figures import CallTimes, PoolStats, percentile_ms
from orchestrator_core.runtime.tool_fleet import Fleet
from orchestrator_core.runtime.tool_member import PING_ID, STATUS_ID
from orchestrator_core.runtime.tool_process import ToolProcess, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from msgspec import Raw

    from orchestrator_core.errors import ToolError
    from orchestrator_core.primitives.buffer_pool import BufferPool
    from orchestrator_core.runtime.future import Future
    from orchestrator_core.runtime.json_rpc import Message

logger = logging.getLogger(__name__)

T = TypeVar("T")

MIB = 1024 * 1024


class RustToolPool:
    """Tool server processes for one workspace; a context manager, safe to use from any thread.

    Args:
        binary: the tool server; it is started with ``--root``.
        root: the workspace.
        persistent: keep processes for further calls; otherwise each call has its own.
        max_processes: how many run at once.
        calls_per_process: a process with so many calls is full.
        idle_s: a process without a call for so long is ended.
        start_s: how long a process may take to be ready.
        stop_s: how long it may take to stop a call or to end.
        growth_limit_bytes: one that grew by more than this, beyond what it says that it holds on
            purpose, is replaced when its calls are done.
        buffers: what the processes' output is read through.
    """

    def __init__(
        self,
        binary: str | Path,
        root: str | Path,
        *,
        persistent: bool = True,
        max_processes: int = 4,
        calls_per_process: int = 16,
        idle_s: float = 30.0,
        start_s: float = 10.0,
        stop_s: float = 2.0,
        growth_limit_bytes: int = 100 * MIB,
        buffers: BufferPool | None = None,
    ) -> None:
        self.root = Path(root)
        self._program = str(binary)
        argv = (self._program, "--root", str(root))
        self._persistent = persistent
        self._stop_s = stop_s
        self._growth_limit = growth_limit_bytes
        self._lock = threading.Condition()
        self._alarm = Alarm("tool-pool", self._lock, self._tend)
        self._fleet = Fleet(
            partial(ToolProcess, argv, self.root, self, buffers),
            self._alarm,
            max_processes=max_processes,
            slots=calls_per_process if persistent else 1,
            idle_s=idle_s,
            start_s=start_s,
            stop_s=stop_s,
        )
        self._waiting: deque[Call[Any]] = deque()
        self._next_id = 1
        self._times = CallTimes()
        self._closed = False

    @overload
    def submit(
        self, name: str, arguments: Mapping[str, object] | None = None, *, timeout_s: float = 30.0
    ) -> Future[dict[str, Any]]: ...

    @overload
    def submit(
        self,
        name: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_s: float = 30.0,
        result_type: type[T],
    ) -> Future[T]: ...

    def submit(
        self,
        name: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_s: float = 30.0,
        result_type: type[Any] = dict,
    ) -> Future[Any]:
        """Call a tool; never blocks. The future's result is the tool's, as ``result_type``.

        Cancelling the future, or the task that awaits it, stops the work.

        Raises (from the future):
            ToolRejected: the tool answered with an error.
            ToolTimeout: no answer within ``timeout_s``, waiting for a process included.
            ToolCrashed: the process died.
            ToolUnavailable: no process can be started.
            PoolClosed: the pool was closed meanwhile.

        Raises:
            PoolClosed: the pool is closed.
            ToolRejected: the arguments cannot be sent as JSON.
        """
        params = {
            "name": name,
            "arguments": arguments or {},
            "_meta": {"orchestrator/structured": True},
        }
        return self._request(
            "tools/call", params, name, timeout_s, partial(decode_result, result_type)
        )

    def list_tools(self, timeout_s: float = 30.0) -> Future[tuple[ToolInfo, ...]]:
        """What the server offers, with the schemas of the arguments."""
        return self._request("tools/list", {}, "tools/list", timeout_s, decode_tools)

    def set_overlay(self, path: str, text: str) -> None:
        """From now on the file ``path`` (relative to the root) reads as ``text``."""
        line = encode("overlay/set", {"path": path, "text": text})
        with self._lock:
            self._fleet.overlay(path, line)

    def clear_overlay(self, path: str) -> None:
        """From now on the file reads as it is on disk again."""
        line = encode("overlay/clear", {"path": path})
        with self._lock:
            self._fleet.overlay(path, line, clear=True)

    def stats(self) -> PoolStats:
        """Figures as of now."""
        with self._lock:
            processes, busy = len(self._fleet.members), self._fleet.busy
            calls, restarts = self._times.count, self._fleet.restarts.count
            times_s = self._times.latest_s()
        times_s.sort()
        return PoolStats(
            processes=processes,
            busy=busy,
            calls=calls,
            p50_ms=percentile_ms(times_s, 50),
            p99_ms=percentile_ms(times_s, 99),
            restarts=restarts,
        )

    def close(self, deadline_s: float = 5.0) -> None:
        """End all processes; calls that are not done fail with ``PoolClosed``.

        Processes that are not gone in time are killed.
        """
        with self._lock:
            self._closed = True
            calls = [*self._waiting]
            self._waiting.clear()
            for member in self._fleet.members.values():
                calls += member.calls.values()
                member.calls.clear()
            processes = self._fleet.stop_all()
            self._alarm.close()
        _fail_all((call, PoolClosed(f"{call.name}: the tool pool was closed")) for call in calls)
        limit = time.monotonic() + min(deadline_s, self._stop_s)
        for process in processes:
            if not process.join(limit - time.monotonic()):
                process.kill("did not end with the pool")
                process.join(1.0)
        self._alarm.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What the processes report, each from its own thread

    def on_ready(self, process: ToolProcess) -> None:
        """Give a new process the overlays and its first calls."""
        base_bytes = process.rss_bytes()
        with self._lock:
            self._fleet.became_ready(process, base_bytes)
            self._dispatch()

    def on_answer(self, process: ToolProcess, message: Message) -> None:
        """End the call that was answered and give the process more to do."""
        now = time.monotonic()
        member = self._fleet.members[process]  # only this thread takes it out
        status = message.id == STATUS_ID
        too_large = status and member.is_too_large(message, self._growth_limit)
        member.check_memory(self._growth_limit, now)
        call: Call[Any] | None = None
        with self._lock:
            if message.id == PING_ID:
                member.answer_ping_by = math.inf
            elif isinstance(message.id, int):
                member.given_up.pop(message.id, None)
                call = member.calls.pop(message.id, None)
            if call is not None:
                self._fleet.restarts.succeeded()
                self._times.add(now - call.started)
            if not self._persistent:
                member.retired = True
            elif too_large and not member.retired:
                logger.info("%s grew too large and is replaced", self._program)
                self._fleet.retire(member)
            self._fleet.settle(member)
            self._dispatch()
        if call is not None:
            call.finish(message)

    def on_end(self, process: ToolProcess, error: ToolError) -> None:
        """Fail the calls of a dead process, and see that waiting ones get another."""
        with self._lock:
            member = self._fleet.ended(process, error, wanted=self._closed)
            calls = [*member.calls.values()]
            refused = self._refuse()
            self._dispatch()
        _fail_all((call, type(error)(f"{call.name}: {error}")) for call in calls)
        _fail_all(refused)

    # Calls. Those below with "held" in their description want the lock held.

    def _request(
        self, method: str, params: object, name: str, timeout_s: float, decode: Callable[[Raw], T]
    ) -> Future[T]:
        with self._lock:
            call_id = self._next_id
            self._next_id += 1
        try:
            line = encode(method, params, call_id)
        except (TypeError, ValueError) as error:
            raise ToolRejected(f"{name}: the arguments cannot be sent: {error}") from error
        call = Call(name, line, call_id, timeout_s, decode)
        call.future.set_running_or_cancelled(partial(self._cancel, call))
        with self._lock:
            if self._closed:
                raise PoolClosed(f"{name}: the tool pool is closed")
            self._waiting.append(call)
            self._dispatch()
            refused = self._refuse()
            self._alarm.wake(call.deadline)
        _fail_all(refused)
        return call.future

    def _cancel(self, call: Call[Any]) -> None:
        with self._lock:
            self._give_up(call)
        call.future.set_cancelled()

    def _give_up(self, call: Call[Any]) -> None:
        """Stop the work of a call that nobody waits for any more; held."""
        member = self._fleet.members.get(call.process) if call.process is not None else None
        if member is None:
            if call in self._waiting:
                self._waiting.remove(call)
        elif member.calls.pop(call.id, None) is not None:
            self._fleet.give_up(member, call.id)

    def _dispatch(self) -> None:
        """Hand waiting calls to processes, and start more processes if need be; held."""
        while self._waiting:
            member = self._fleet.least_busy()
            if member is None:
                self._fleet.grow(len(self._waiting))
                return
            call = self._waiting.popleft()
            call.process = member.process
            member.calls[call.id] = call
            member.idle_since = math.inf
            member.process.send(call.line)
            call.line = b""

    def _refuse(self) -> list[tuple[Call[Any], ToolError]]:
        """The waiting calls, if too many processes died to make them wait for another; held."""
        reason = self._fleet.restarts.refusal()
        if not reason:
            return []
        refused: list[tuple[Call[Any], ToolError]] = [
            (call, ToolUnavailable(f"{call.name}: {reason}")) for call in self._waiting
        ]
        self._waiting.clear()
        return refused

    def _tend(self, now: float) -> Callable[[], None]:
        """Carry out what time decides: deadlines of calls, and what it decides of processes; held."""
        late = [call for call in self._waiting if call.deadline <= now]
        for member in self._fleet.members.values():
            late += [call for call in member.calls.values() if call.deadline <= now]
        self._fleet.tend(now)
        for call in late:
            self._give_up(call)
        self._dispatch()
        self._alarm.wake(self._next_event())
        errors = [f"{call.name} gave no answer within {call.timeout_s:g} s" for call in late]
        return partial(_fail_all, [*zip(late, map(ToolTimeout, errors), strict=True)])

    def _next_event(self) -> float:
        """When the next thing is due; held."""
        events = [self._fleet.next_event(), *(call.deadline for call in self._waiting)]
        if self._waiting and not self._fleet.restarts.may_start():
            events.append(self._fleet.restarts.not_before)
        return min(events)


def _fail_all(ended: Iterable[tuple[Call[Any], ToolError | PoolClosed]]) -> None:
    """End calls with errors; without the lock, since whoever waits may act at once."""
    for call, error in ended:
        call.future.set_exception(error)
