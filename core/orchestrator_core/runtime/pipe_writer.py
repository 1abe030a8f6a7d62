"""Writing to a child without ever blocking the writer, so that an event loop may do it."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections import deque
from typing import IO

PIPE_BYTES = 1024 * 1024


class PipeWriter:
    """Sends messages in order; thread-safe.

    What the pipe does not take at once is written by a thread that lives as long as there is such
    a backlog. Once nobody reads any more, messages are dropped: the reader of the child's output
    learns of its end.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._backlog: deque[memoryview] = deque()
        self._ending = False
        if sys.platform != "win32":
            os.set_blocking(pipe.fileno(), False)
        if sys.platform == "linux":
            import fcntl  # noqa: PLC0415 - only there on Unix

            with contextlib.suppress(OSError):  # the user's share of pipe memory may be used up
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def send(self, message: bytes) -> None:
        """Write a message, or keep it to be written."""
        with self._lock:
            if self._ending:
                return
            view = memoryview(message)
            if not self._backlog:
                view = view[self._write(view) :]
                if not view:
                    return
                threading.Thread(
                    target=self._write_backlog, name="tool-writer", daemon=True
                ).start()
            self._backlog.append(view)

    def finish(self) -> None:
        """Close the pipe once everything is written."""
        with self._lock:
            self._ending = True
            if not self._backlog:
                self._pipe.close()

    def abandon(self) -> None:
        """Close the pipe now; what was not written is dropped."""
        with self._lock:
            self._ending = True
            self._backlog.clear()
            self._pipe.close()

    def _write(self, data: memoryview) -> int:
        """Write what the pipe takes; all counts as written once nobody reads it."""
        try:
            return os.write(self._pipe.fileno(), data)
        except BlockingIOError:
            return 0
        except (OSError, ValueError):
            return len(data)

    def _write_backlog(self) -> None:
        poll = select.poll()
        with self._lock:
            if self._pipe.closed:
                return
            poll.register(self._pipe, select.POLLOUT)
        while True:
            poll.poll()
            with self._lock:
                if not self._backlog:  # abandoned
                    return
                head = self._backlog[0]
                head = head[self._write(head) :]
                if head:
                    self._backlog[0] = head
                    continue
                self._backlog.popleft()
                if not self._backlog:
                    if self._ending:
                        self._pipe.close()
                    return
