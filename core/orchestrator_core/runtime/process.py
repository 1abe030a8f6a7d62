"""An owned child process.

A :class:`Child` leads a process group of its own, so that closing it takes its descendants with
it: SIGTERM, a grace, SIGKILL, reaped. What this relies on:

- The leader stays a zombie until :meth:`Child.close` has signalled the group (``WNOWAIT``), so
  the group's id cannot have been given to someone else.
- The parent's death, ``kill -9`` included, takes the group with it: a *guard* (one ``read`` in
  ``/bin/sh``) waits on a pipe that only the parent holds open, and kills the group at its end.
  ``PR_SET_PDEATHSIG`` would need code between fork and exec, which is unsafe in a threaded
  process, reaches no grandchildren, and fires when the spawning *thread* ends.
- A descendant that makes a session of its own (``setsid``) leaves the group and is not followed.

On Windows a job object does the same (written to the documentation, untested).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, cast

import psutil

from orchestrator_core.errors import ToolUnavailable
from orchestrator_core.primitives.buffer_pool import BufferPool
from orchestrator_core.primitives.tail import Tail
from orchestrator_core.runtime.process_guard import ProcessGuard

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping, Sequence

CHUNK_BYTES = 64 * 1024
STDERR_BYTES = 16 * 1024
NICENESS = 10
"""How much lower a child's priority is than that of this process."""

_GONE_S = 0.25
KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


class Child:
    """A child process that this object owns, with its descendants; a context manager.

    All methods may be called from any thread. A small guard process takes all of them down when
    this process dies.

    Args:
        argv: program and arguments; the program is found on ``PATH``.
        cwd: its working directory.
        env: its whole environment; the parent's by default.
        merge_stderr: send stderr to the same pipe as stdout; otherwise it is drained all the
            time and its end kept for :meth:`stderr_tail`.
        stdin: whether there is a pipe to write to; otherwise it reads nothing.
        own_session: keep it away from this process's terminal, so that it cannot wait there for a
            person. Linux weighs whole sessions against each other, whatever the processes'
            priorities: what works hard and asks nobody belongs into this process's.
        stderr_tail_bytes: how much of stderr is kept.
        buffers: what stderr is drained through.

    Raises:
        ToolUnavailable: the program cannot be started; the message says which and why.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        merge_stderr: bool = False,
        stdin: bool = True,
        own_session: bool = True,
        stderr_tail_bytes: int = 16 * 1024,
        buffers: BufferPool | None = None,
    ) -> None:
        self._buffers = BufferPool(0) if buffers is None else buffers
        self.name = Path(argv[0]).name
        self._lock = threading.Lock()
        self._closed = False
        self._returncode: int | None = None
        self._tail = Tail(stderr_tail_bytes)
        self._tail_lock = threading.Lock()
        self._drain: threading.Thread | None = None
        self._guard: ProcessGuard | None = None
        try:
            if sys.platform != "win32":
                self._guard = ProcessGuard()
            self._popen = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
                bufsize=0,
                start_new_session=own_session,
                process_group=None if own_session else 0,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            if self._guard is not None:
                self._guard.stop()
            raise ToolUnavailable(f"cannot start {argv[0]}: {error.strerror or error}") from error
        self.pid = self._popen.pid
        _give_way(self.pid, own_session=own_session)
        if self._guard is not None:
            self._guard.watch(self.pid)
        self.stdout = cast("IO[bytes]", self._popen.stdout)
        if sys.platform == "win32":
            from orchestrator_core.runtime.windows_job import Job  # noqa: PLC0415 - no such API elsewhere

            self._job = Job(self._popen)
        self.pidfd = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
        if not merge_stderr:
            self._drain = threading.Thread(
                target=self._drain_stderr, name=f"{self.name}-stderr", daemon=True
            )
            self._drain.start()

    @property
    def stdin(self) -> IO[bytes]:
        """The unbuffered pipe to the child; only there if asked for."""
        assert self._popen.stdin is not None
        return self._popen.stdin

    def stderr_tail(self) -> str:
        """The end of what it wrote to stderr, for error messages."""
        if self._drain is not None and self.poll() is not None:
            self._drain.join(0.2)  # what it wrote last may still be in the pipe
        with self._tail_lock:
            return self._tail.text().strip()

    def rss_bytes(self) -> int:
        """Its resident memory; 0 once it has ended."""
        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.Error:
            return 0

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), or ``None`` while it runs."""
        if self._returncode is None:
            self._returncode = self._peek()
        return self._returncode

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until it ends; ``None`` if it still runs after ``timeout_s``."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._wait_some(left)
        return self._returncode

    def signal_group(self, signum: int) -> None:
        """Send a signal to the child and its descendants, if there are any left."""
        with self._lock:
            if not self._closed:
                self._signal_group(signum)

    def close(self, grace_s: float = 0.5) -> int:
        """End the child and its descendants, and reap it.

        stdin is closed and SIGTERM sent; who is left after ``grace_s`` is killed. A thread that
        still reads ``stdout`` must expect end of file or ``ValueError``.

        Returns:
            The exit code, negative for a signal.
        """
        with self._lock:
            if self._closed:
                return cast("int", self._returncode)
            if self._popen.stdin is not None:
                self._popen.stdin.close()
            if self.poll() is None:
                self._signal_group(signal.SIGTERM)
                self.wait(grace_s)
            self._signal_group(KILL)
            self.wait()
            if self._guard is not None:
                self._guard.stop()
            self._popen.wait()
            self._await_group()
            if self.pidfd is not None:
                os.close(self.pidfd)
            if sys.platform == "win32":
                self._job.close()
            self.stdout.close()
            self._closed = True
        if self._drain is not None:
            self._drain.join(1.0)
        elif self._popen.stderr is not None:
            self._popen.stderr.close()
        return cast("int", self._returncode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal_group(self, signum: int) -> None:
        if sys.platform == "win32":
            self._job.terminate()
        else:
            # EPERM is macOS's answer for a group of which only the zombie is left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signum)

    def _await_group(self) -> None:
        """Wait for the killed descendants to be gone: a kill takes effect a moment later."""
        if sys.platform == "win32":
            return
        deadline = time.monotonic() + _GONE_S
        with contextlib.suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < deadline:
                os.killpg(self.pid, 0)
                time.sleep(0.001)

    def _peek(self) -> int | None:
        """The exit code without reaping, so that pid and group id stay taken."""
        if sys.platform == "win32":
            return self._popen.poll()
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # SIGCHLD is ignored in this process: the kernel reaped it
            return self._popen.wait()
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _wait_some(self, timeout_s: float | None) -> None:
        """Wait for the end, or for a while where that cannot be waited for."""
        if self.pidfd is not None:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            poll.poll(None if timeout_s is None else max(1, int(timeout_s * 1000)))
        else:
            time.sleep(min(0.01, timeout_s or 0.01))

    def _drain_stderr(self) -> None:
        pipe = cast("IO[bytes]", self._popen.stderr)
        with pipe, self._buffers.lease(STDERR_BYTES, secret=True) as buffer:
            while count := cast("io.FileIO", pipe).readinto(buffer):
                with self._tail_lock:
                    self._tail.append(buffer[:count])


def kill_children(*folders: Path) -> None:
    """Kill this process's descendants, whoever owns them: the last resort of an end that hangs.

    Args:
        folders: only those that work in one of these; without any, all.
    """
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            working_in = Path(process.cwd())
            if not folders or any(working_in.is_relative_to(folder) for folder in folders):
                process.kill()


def _give_way(pid: int, *, own_session: bool) -> None:
    """Lower a child's priority, so that this process answers in time however busy it is."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # it has ended already
            # The group's: the threads that it may have by now are meant as well.
            os.setpriority(os.PRIO_PGRP, pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
            if own_session and sys.platform == "linux":
                Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS), "ascii")
