"""The plan file on disk: read whole, replaced whole, and never at the cost of someone's writing.

A replacement is written beside the file, brought to the disk and then *exchanged* with it in one
step, so that what was replaced can be looked at afterwards: if it is not what was expected, some
other program wrote in between, and the two are exchanged back. Programs that hold the file open
and write into it in place are covered, too: the replaced file is kept open, nameless, until the
next replacement, and :meth:`TodoFile.late_writing` tells what arrived in it.

Not thread-safe: the owner calls it under its own lock. Against other processes of this program
there is :meth:`TodoFile.locked`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from orchestrator_core.errors import EditRefused
from orchestrator_core.workspace.file_swap import insist, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

log = logging.getLogger(__name__)

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Replacement(Struct, frozen=True):
    """What came of replacing the file.

    Attributes:
        placed: whether the new text is in the file.
        found: what the file held instead of what was expected; it still does, unless ``placed``.
        stray: a text of another program that is in no file any more, to be merged and written.
    """

    placed: bool
    found: bytes | None = None
    stray: bytes | None = None


class _Replaced(Struct, frozen=True):
    """A file that was replaced, open and without a name, as it was when it was looked at."""

    descriptor: int
    modified_ns: int
    size: int

    @classmethod
    def of(cls, descriptor: int) -> Self:
        status = os.fstat(descriptor)
        return cls(descriptor, status.st_mtime_ns, status.st_size)


class TodoFile:
    """One plan file.

    Args:
        path: the file; a symbolic link is followed, so that it stays one.
        sleep: waits between two tries for the lock.
    """

    def __init__(self, path: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._sleep = sleep
        self._replaced: _Replaced | None = None
        self._left: list[Path] = []  # files beside the plan that are yet to be removed
        self._library = ctypes.CDLL(None, use_errno=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the replaced file. May be called again."""
        self._let_go()
        self._tidy()

    def _let_go(self) -> None:
        if self._replaced is not None:
            os.close(self._replaced.descriptor)
            self._replaced = None

    def _tidy(self) -> None:
        """Remove what stood beside the file.

        What cannot be removed is tried again later: an error would say that the file is as it was.
        """
        for left in self._left.copy():
            try:
                insist(lambda left=left: left.unlink(missing_ok=True))
            except OSError as error:
                log.warning("%s is left over for now (%s)", left, error.strerror)
            else:
                self._left.remove(left)

    def read(self) -> bytes | None:
        """What the file holds; None if there is none."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    @property
    def was_written_late(self) -> bool:
        """Whether a program wrote into the replaced file and it was not told yet."""
        if self._replaced is None:
            return False
        return _Replaced.of(self._replaced.descriptor) != self._replaced

    def late_writing(self) -> bytes | None:
        """What a program wrote into the replaced file after it was replaced, if any; told once."""
        if self._replaced is None or not self.was_written_late:
            return None
        written, self._replaced = self._replaced, None
        self._replaced, text = _look(written.descriptor)
        return text

    def replace(self, expected: bytes | None, data: bytes) -> Replacement:
        """Put ``data`` in the place of ``expected``; None stands for no file.

        Raises:
            OSError: the file system would not take it; the file is as it was.
        """
        path = self._path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".opencode-{secrets.token_hex(8)}.new")
        self._left.append(staged)
        try:
            self._stage(path, staged, data)
            if expected is None:
                result = self._link(staged, path)
            elif (found := self.read()) != expected:
                result = Replacement(placed=False, found=found)
            else:
                result = self._exchange_if(expected, data, staged, path)
        finally:
            self._tidy()
        if result.placed:
            _sync_folder(path)
        return result

    def _link(self, staged: Path, path: Path) -> Replacement:
        """Place a first file."""
        try:
            os.link(staged, path)  # unlike a rename, never replaces a file
        except FileExistsError:
            return Replacement(placed=False, found=self.read())
        return Replacement(placed=True)

    def _stage(self, path: Path, staged: Path, data: bytes) -> None:
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _exchange_if(self, expected: bytes, data: bytes, staged: Path, path: Path) -> Replacement:
        """Exchange the two files, and back again if the replaced one is not as expected."""
        try:
            if not self._exchange(staged, path):
                return self._replace_if(expected, staged, path)
        except FileNotFoundError:  # taken away since it was read
            return Replacement(placed=False)
        try:
            replaced, found = _look(os.open(staged, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self._exchange(staged, path)  # what nobody can look at must come back
            raise
        if found == expected:
            self._hold(replaced)
            return Replacement(placed=True)
        os.close(replaced.descriptor)
        try:
            self._exchange(staged, path)
        except FileNotFoundError:
            return Replacement(placed=False, stray=found)
        back = staged.read_bytes()
        return Replacement(placed=False, found=found, stray=None if back == data else back)

    def _replace_if(self, expected: bytes, staged: Path, path: Path) -> Replacement:
        """The same where files cannot be exchanged: looked at first, then replaced."""
        replaced, found = _look(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            if found != expected:
                return Replacement(placed=False, found=found)
            staged.replace(path)
            self._hold(replaced)
            return Replacement(placed=True)
        finally:
            if self._replaced is not replaced:
                os.close(replaced.descriptor)

    def _exchange(self, one: Path, other: Path) -> bool:
        """Exchange two files in one step; False where the system cannot do that."""
        names = os.fsencode(one), os.fsencode(other)
        if not self._library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
            return True
        code = ctypes.get_errno()
        if code in _NO_EXCHANGE:
            return False
        raise OSError(code, os.strerror(code), str(other))

    def _hold(self, replaced: _Replaced) -> None:
        """Keep the replaced file open."""
        self._let_go()
        self._replaced = replaced

    @contextlib.contextmanager
    def locked(self, timeout_s: float) -> Generator[None]:
        """Keep other processes of this program from writing the file.

        The lock is on the folder, so nothing has to be left behind for it; the kernel drops it
        with the process. On a file system without such locks the block runs all the same.

        Raises:
            EditRefused: another process held it for longer than ``timeout_s``.
        """
        folder = self._path.resolve().parent
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + timeout_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise EditRefused(
                            f"{self._path.name} was not updated: another process has been"
                            f" writing in {folder} for {timeout_s:g} s"
                        ) from None
                    self._sleep(0.002)
                except OSError as error:
                    if error.errno not in _NO_LOCKS:
                        raise
                    log.warning("%s cannot be locked (%s)", folder, error.strerror)
                    break
            yield
        finally:
            os.close(descriptor)


def _look(descriptor: int) -> tuple[_Replaced, bytes]:
    """What a replaced file holds; what is written into it from now on makes it another.

    Raises:
        OSError: it cannot be read, and is closed.
    """
    try:
        replaced = _Replaced.of(descriptor)
        return replaced, _read_all(descriptor, replaced.size)
    except OSError:
        os.close(descriptor)
        raise


def _read_all(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    position = 0
    while part := os.pread(descriptor, max(size - position, 4096), position):
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def _sync_folder(path: Path) -> None:
    """Have the new name reach the disk. The file holds its new text whether that fails or not."""
    try:
        sync(path.parent)
    except OSError as error:
        log.warning("%s is written, but not surely on the disk (%s)", path, error.strerror)
