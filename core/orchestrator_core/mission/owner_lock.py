"""Which process owns a workspace: a lock that a dead owner cannot keep.

The lock is ``flock`` on a file: the kernel drops it when the process ends, however it ends. The
file's text (the owner's process id) is for people and says nothing about whether it is held.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Self

from orchestrator_core.errors import JournalBusy, JournalError

if TYPE_CHECKING:
    from pathlib import Path

_READ_ATTEMPTS = 20
_READ_PAUSE_S = 0.01


class OwnerLock:
    """Held from construction until ``release``. A context manager; not for many threads.

    Args:
        file: the lock file; made if it does not exist. It stays afterwards: removing it would
            let two owners lock two files of one name.

    Raises:
        JournalBusy: another live process, or another part of this one, holds it.
        JournalError: the file cannot be made or written.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalError(f"{file} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError):
                raise JournalError(f"{file} cannot be locked: {error.strerror}") from error
            raise JournalBusy(
                f"{file.parent.parent} is in use by another server ({holder}): "
                "close that one, or work read-only"
            ) from None
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._descriptor)
            raise JournalError(f"{file} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go. Repeating it does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _holder(self) -> str:
        """Who holds it. A new owner needs a moment to write its id over that of a dead one."""
        for _ in range(_READ_ATTEMPTS):
            text = os.pread(self._descriptor, 32, 0).strip()
            if text.isdigit() and _is_alive(int(text)):
                return f"process {int(text)}"
            time.sleep(_READ_PAUSE_S)
        return "its process is not known"


def holder_of(file: Path) -> int | None:
    """The process that holds the lock now; None if nobody does. Leaves no trace.

    Raises:
        JournalError: the file cannot be read.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"{file} cannot be read: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
