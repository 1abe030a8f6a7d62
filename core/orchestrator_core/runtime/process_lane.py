"""Processes for pure-Python computing, which would hold up every thread beside it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

from orchestrator_core.errors import PoolClosed
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future as StandardFuture
    from concurrent.futures import ProcessPoolExecutor

T = TypeVar("T")


class ProcessLane:
    """The standard process pool, started on demand, replaced when broken, and always ended.

    Thread-safe. Processes are spawned, not forked: a fork beside running threads can inherit
    locks that nobody will ever release. Each ends by itself when its parent dies.

    Args:
        processes: how many at most.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(5.0)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run the call in a process.

        The future fails with ``BrokenExecutor`` if a process dies; the next call starts anew.

        Raises:
            PoolClosed: the lane is closed.
        """
        outer: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise PoolClosed("the process lane is closed and takes no more work")
            try:
                inner = self._started().submit(fn, *args, **kwargs)
            except BrokenExecutor:
                self._executor = None
                inner = self._started().submit(fn, *args, **kwargs)
        outer.set_running_or_cancelled(on_cancel=inner.cancel)

        def ended(inner: StandardFuture[T]) -> None:
            if inner.cancelled():
                outer.set_cancelled()
            elif (error := inner.exception()) is not None:
                outer.set_exception(error)
            else:
                outer.set_result(inner.result())

        inner.add_done_callback(ended)
        return outer

    def close(self, deadline_s: float) -> None:
        """Cancel what is queued, wait for what runs up to the deadline, then end the processes."""
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is None:
            return
        # The standard pool offers no way to reach its processes before Python 3.14.
        processes = list((executor._processes or {}).values())  # noqa: SLF001
        executor.shutdown(wait=False, cancel_futures=True)
        end_s = time.monotonic() + deadline_s
        for process in processes:
            process.join(max(0.0, end_s - time.monotonic()))
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join(1.0)

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            # On demand: importing it costs more than all of the pool, and few ever need it.
            from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

            self._executor = ProcessPoolExecutor(
                self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_end_with_parent,
            )
        return self._executor


def _end_with_parent() -> None:
    """In a child: leave when the parent is gone, even if it was killed and told nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_after, args=(parent.join,), daemon=True).start()


def _leave_after(parent_ended: Callable[[], object]) -> None:
    parent_ended()
    os._exit(1)
