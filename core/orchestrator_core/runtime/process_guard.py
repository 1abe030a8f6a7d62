"""What ends a process group when the process that owns it dies, ``kill -9`` included."""

from __future__ import annotations

import contextlib
import subprocess
from typing import IO, cast


class ProcessGuard:
    """Kills a process group once the pipe that this process holds open is closed.

    It runs before the process that it guards does, so that only an instant is left in which this
    process could die with nobody knowing the group.
    """

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r group && { read -r _; kill -s KILL -- "-$group"; }'],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Begin to guard the group."""
        with contextlib.suppress(BrokenPipeError):  # somebody killed the guard
            cast("IO[bytes]", self._popen.stdin).write(b"%d\n" % group)

    def stop(self) -> None:
        """End the guard without letting it act."""
        self._popen.kill()
        self._popen.wait()
        cast("IO[bytes]", self._popen.stdin).close()
