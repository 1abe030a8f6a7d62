"""Two watchdogs: one for a process that we must not outlive, one for our own end.

Both are threads of their own, so that they work while everything else is stuck.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

logger = logging.getLogger(__name__)


class ProcessWatch:
    """Calls back once when another process has ended.

    On Linux it waits for a pidfd, which names the process itself, so that a number that is
    used again cannot deceive it; elsewhere it polls the number and the time of creation.

    A process that is not there at the start is not watched: its number then comes from another
    namespace (an editor outside the server's container), and means nothing here.

    Args:
        pid: the process to watch.
        on_death: called in the watch's thread.
        poll_s: how often to look where no pidfd can be had.
    """

    def __init__(self, pid: int, on_death: Callable[[], None], *, poll_s: float = 1.0) -> None:
        self.pid = pid
        self._on_death = on_death
        self._poll_s = poll_s
        self._wake_read, self._wake_write = os.pipe()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._start()

    @property
    def watching(self) -> bool:
        """Whether the process was there, and has neither ended nor been given up."""
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        pidfd = _open_pidfd(self.pid)
        if pidfd is not None:
            target, args = self._await_pidfd, (pidfd,)
        elif (process := _find_process(self.pid)) is not None:
            target, args = self._poll, (process,)
        else:
            logger.warning("process %d is not there: its end cannot be watched", self.pid)
            return
        self._thread = threading.Thread(
            target=target, args=args, name=f"watch-{self.pid}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop watching; waits for the thread, unless it is the one that calls."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
        os.write(self._wake_write, b"x")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _await_pidfd(self, pidfd: int) -> None:
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.register(self._wake_read, select.POLLIN)
            poll.poll()
        finally:
            os.close(pidfd)
        self._report()

    def _poll(self, process: psutil.Process) -> None:
        while _is_alive(process):
            if self._stopped.wait(self._poll_s):
                return
        self._report()

    def _report(self) -> None:
        if not self._stopped.is_set():
            self._on_death()


class HardExit:
    """Ends the process when an orderly end takes too long, whatever hangs.

    Armed when the end begins, from any thread, even while the event loop is blocked. At the
    deadline it writes where every thread is to standard error, calls ``last_resort`` and ends
    the process. Two seconds later, should even that hang (a C extension that keeps the
    interpreter's lock), the C library's timer of ``faulthandler`` ends it.

    Args:
        last_resort: kills what must not be left behind; it has two seconds.
        end_process: ends the process with a code, without any cleanup.
    """

    def __init__(
        self,
        last_resort: Callable[[], None] = lambda: None,
        *,
        end_process: Callable[[int], None] = os._exit,  # pyright: ignore[reportPrivateUsage]
    ) -> None:
        self._last_resort = last_resort
        self._end_process = end_process
        self._lock = threading.Lock()
        self._disarmed = threading.Event()
        self._thread: threading.Thread | None = None

    def arm(self, deadline_s: float, exit_code: int) -> None:
        """Start the time that is left; a second call changes nothing."""
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._wait, args=(deadline_s, exit_code), name="hard-exit", daemon=True
            )
            self._thread.start()
        faulthandler.dump_traceback_later(deadline_s + 2.0, exit=True, file=2)

    def disarm(self) -> None:
        """The end came in time: stop the clock for good."""
        self._disarmed.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            faulthandler.cancel_dump_traceback_later()
            if thread is not threading.current_thread():
                thread.join()

    def _wait(self, deadline_s: float, exit_code: int) -> None:
        if self._disarmed.wait(deadline_s):
            return
        try:
            logger.error("the orderly end took longer than %.1f s: ending now", deadline_s)
            faulthandler.dump_traceback(file=2)
            self._last_resort()
        finally:
            self._end_process(exit_code)


def _open_pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is none."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except (OSError, ValueError, OverflowError):  # no such process, or the kernel forbids it
        return None


def _find_process(pid: int) -> psutil.Process | None:
    import psutil  # noqa: PLC0415 (needed only where there is no pidfd; start-up pays for it)

    try:
        return psutil.Process(pid)
    except (psutil.Error, ValueError, OverflowError):
        return None


def _is_alive(process: psutil.Process) -> bool:
    import psutil  # noqa: PLC0415 (as above)

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
