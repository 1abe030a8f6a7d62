"""Commands: a program run to its end, its output streamed through one bounded buffer."""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import sys
import threading
import time
from math import ceil
from typing import TYPE_CHECKING, Literal, Self, cast

from msgspec import Struct

from orchestrator_core.primitives.buffer_pool import BufferPool
from orchestrator_core.primitives.tail import Tail
from orchestrator_core.runtime.process import CHUNK_BYTES, KILL, Child

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path


class CancelSignal:
    """Says "stop" once, from any thread, to whoever listens; listeners run in that thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Say it. The second time does nothing."""
        with self._lock:
            self._cancelled = True
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    @contextlib.contextmanager
    def listening(self, listener: Callable[[], None]) -> Generator[None]:
        """Call ``listener`` (quick, not raising) when cancelled, or at once if it is already."""
        with self._lock:
            late = self._cancelled
            if not late:
                self._listeners.append(listener)
        if late:
            listener()
        try:
            yield
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(listener)


class CommandResult(Struct, frozen=True):
    """How a command ended.

    Attributes:
        exit_code: negative for the signal that ended it.
        output: the end of stdout and stderr, in the order they were written.
        truncated: whether the beginning of the output was dropped.
        confined: what kept the command from the rest of the system, in a few words.
    """

    outcome: Literal["exited", "timed out", "cancelled"]
    exit_code: int
    output: str
    truncated: bool
    duration_s: float
    confined: str = ""


def run_command(
    command: str | Sequence[str],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    cancel: CancelSignal | None = None,
    on_output: Callable[[str], None] | None = None,
    keep_bytes: int = 64 * 1024,
    grace_s: float = 0.5,
    buffers: BufferPool | None = None,
) -> CommandResult:
    """Run a program (a sequence) or a shell line (a string) to its end, and block meanwhile.

    Output is streamed to ``on_output`` as it comes; while that is slow, the command waits. The
    command has ended when its first process has: what that left behind in its group is killed.
    On cancel, at the deadline, or when ``on_output`` raises, the whole group is ended the same
    way, within ``grace_s`` and a little. It streams through one buffer of ``buffers``, which is
    wiped in the end: commands print secrets.

    Raises:
        ToolUnavailable: the program cannot be started.
    """
    argv = shell_argv(command) if isinstance(command, str) else command
    started = time.monotonic()
    output = _Output(on_output, keep_bytes)
    buffers = BufferPool(0) if buffers is None else buffers
    with (
        Child(argv, cwd=cwd, env=env, merge_stderr=True, stdin=False) as child,
        buffers.lease(CHUNK_BYTES, secret=True) as buffer,
    ):
        outcome = _stream(child, buffer, output, cancel or CancelSignal(), timeout_s)
        output.finish()
        exit_code = child.close(grace_s)
    kept = output.kept
    return CommandResult(
        outcome, exit_code, kept.text(), kept.truncated, time.monotonic() - started
    )


_DECODED_BYTES = 16 * 1024
"""How much is decoded at once: the decoder copies it, and its text takes up to four times that."""


class _Output:
    """Where a command's output goes: decoded to a callback, its end kept."""

    def __init__(self, on_text: Callable[[str], None] | None, keep_bytes: int) -> None:
        self.kept = Tail(keep_bytes)
        self._on_text = on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, chunk: memoryview) -> None:
        self.kept.append(chunk)
        for start in range(0, len(chunk), _DECODED_BYTES):
            self._emit(self._decoder.decode(chunk[start : start + _DECODED_BYTES]))

    def finish(self) -> None:
        self._emit(self._decoder.decode(b"", final=True))

    def _emit(self, text: str) -> None:
        if text and self._on_text is not None:
            self._on_text(text)


def shell_argv(line: str) -> list[str]:
    """The program and arguments that run a shell line."""
    if sys.platform == "win32":
        return [os.environ.get("COMSPEC", "cmd.exe"), "/d", "/s", "/c", line]
    return ["/bin/sh", "-c", line]


def _stream(
    child: Child,
    buffer: memoryview,
    output: _Output,
    cancel: CancelSignal,
    timeout_s: float | None,
) -> Literal["exited", "timed out", "cancelled"]:
    """Pass the child's output on until it has ended, was cancelled or took too long."""
    deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
    with _Outlet(child, buffer, timeout_s) as outlet, cancel.listening(outlet.wake):
        while not cancel.cancelled:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return "timed out"
            if child.poll() is not None:
                # Whoever it left behind could write for ever; what the pipe holds now is the end.
                for _ in range(_PIPE_CHUNKS):
                    if not outlet.wait(0) or not outlet.pass_on(output):
                        break
                return "exited"
            if outlet.wait(left_s) and not outlet.pass_on(output):
                child.wait(min(left_s, 0.05))  # it closed its output: only its end can follow
        return "cancelled"


_PIPE_CHUNKS = 16
"""What a pipe can still hold when the writer has ended: 1 MiB is the most Linux grants."""


class _Outlet:
    """A child's stdout, waited for together with the child's end and a wake-up from elsewhere."""

    def __init__(self, child: Child, buffer: memoryview, timeout_s: float | None) -> None:
        self._child = child
        self._stdout = cast("io.FileIO", child.stdout)
        self._buffer = buffer
        self._lock = threading.Lock()
        self._woken, self._waker = os.pipe()
        self._timer: threading.Timer | None = None
        if sys.platform == "win32" and timeout_s is not None:
            self._timer = threading.Timer(timeout_s, self.wake)
            self._timer.start()

    def wake(self) -> None:
        """Make :meth:`wait` return; from any thread."""
        with self._lock:
            if sys.platform == "win32":
                self._child.signal_group(KILL)  # pipes cannot be waited for with a time limit
            elif self._waker >= 0:
                os.write(self._waker, b"!")

    def wait(self, timeout_s: float) -> bool:
        """Whether there is output, or its end, to be read."""
        if sys.platform == "win32":
            return True
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        if self._child.pidfd is not None:
            poll.register(self._child.pidfd, select.POLLIN)
        else:
            timeout_s = min(timeout_s, 0.02)
        limit_ms = None if timeout_s == float("inf") else max(0, ceil(timeout_s * 1000))
        return any(fd == self._stdout.fileno() for fd, _ in poll.poll(limit_ms))

    def pass_on(self, output: _Output) -> bool:
        """Read once; False at the end of the output."""
        count = self._stdout.readinto(self._buffer) or 0
        output.take(self._buffer[:count])
        return count > 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            os.close(self._woken)
            os.close(self._waker)
            self._waker = -1
