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

_DYING_S = 2.0
"""How long a lock may be held by nobody known: what a killed owner was just starting holds it until
it runs its own program, and a new owner needs a moment to write its id over that of a dead one."""
_PAUSE_S = 0.01


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
            self._lock(file)
        except BaseException:
            os.close(self._descriptor)
            raise
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

    def _lock(self, file: Path) -> None:
        end_s = time.monotonic() + _DYING_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            except OSError as error:
                raise JournalError(f"{file} cannot be locked: {error.strerror}") from error
            else:
                return
            text = os.pread(self._descriptor, 32, 0).strip()
            known = text.isdigit() and _is_alive(int(text))
            if known or time.monotonic() > end_s:
                holder = f"process {int(text)}" if known else "its process is not known"
                raise JournalBusy(
                    f"{file.parent.parent} is in use by another server ({holder}): "
                    "close that one, or work read-only"
                )
            time.sleep(_PAUSE_S)


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
