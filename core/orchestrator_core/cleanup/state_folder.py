"""``.opencode`` as cleanup sees it: by descriptors, so that no link can lead it elsewhere.

Every folder on the way to a file is opened by itself, without following links, and must lie on
the same device. A file counts as ours only while it is the very one that the manifest describes:
a plain file with that inode, size and hash.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import pwd
import stat
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from orchestrator_core.errors import CleanupBusy, CleanupRefused

if TYPE_CHECKING:
    from collections.abc import Generator

    from orchestrator_core.cleanup.entries import Entry

QUARANTINE = b"quarantine"
SESSION_LOCK = b"session.lock"
_LOCK_FILE = b"cleanup.lock"
_WORK_FILES = (b"state.db", b"state.db-wal", b"todo.md")
_OWN_FILES = 7  # manifest and journal with their logs and indexes, two locks, .gitignore
_OWN_BYTES = 262_144
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 16
_SETTLED_NS = 2_000_000_000


class Verdict(StrEnum):
    """What was found at an entry's path."""

    OURS = "ours"
    MISSING = "missing"
    CHANGED = "changed"
    """Something else lies there now: another file, a link, or other bytes."""
    LIVE = "in use by a running session"
    UNREADABLE = "unreadable"


class Claim(Struct, frozen=True):
    """An entry that was looked at and, if it is ours, is locked until the claim ends.

    Attributes:
        folder: descriptor of the folder that it lies in; -1 where there is none.
        file: descriptor of the file; -1 where it is not ours.
    """

    verdict: Verdict
    folder: int = -1
    file: int = -1
    reason: str = ""


class StateFolder:
    """An open ``.opencode``. A context manager; for one thread.

    Args:
        workspace: the folder that it belongs to.
        folder: the ``.opencode`` itself.

    Raises:
        CleanupRefused: the workspace is the person's home folder or holds it, or ``.opencode`` is
            a link.
        FileNotFoundError: there is none.
    """

    def __init__(self, workspace: Path, folder: Path) -> None:
        _refuse_home(workspace)
        try:
            self.fd = os.open(folder, _FOLDER)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
            raise CleanupRefused(f"{folder} is a link or no folder: it is left alone") from error
        self.path = folder
        self.device = os.fstat(self.fd).st_dev

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self.fd)

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Be the only one who cleans up. The kernel drops the lock with the process.

        Raises:
            CleanupBusy: another process, or another thread, is at it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(_LOCK_FILE, flags, 0o644, dir_fd=self.fd)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CleanupBusy(
                    f"{self.path} is being cleaned up by another process: try again later"
                ) from None
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def folder(self, path: bytes, *, make: bool = False) -> Generator[int]:
        """The descriptor of a folder below; ``make`` makes what is missing on the way.

        Raises:
            OSError: it does not exist, or a link or another device is on the way.
        """
        descriptor = os.dup(self.fd)
        try:
            for name in path.split(b"/") if path else ():
                if name in {b"", b".", b".."}:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=descriptor)
                below = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
                if os.fstat(descriptor).st_dev != self.device:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
            yield descriptor
        finally:
            os.close(descriptor)

    def names(self, path: bytes) -> set[str]:
        """What lies in a folder; nothing where it cannot be reached."""
        try:
            with self.folder(path) as folder:
                return set(os.listdir(folder))  # noqa: PTH208 - of a descriptor
        except OSError:
            return set()

    def changed_ns(self, path: bytes) -> int | None:
        """When a name was last added to a folder or removed; None where that is not yet certain.

        A file system's clock may stand still for some milliseconds: what changed just now may
        change again without a trace.
        """
        try:
            with self.folder(path) as folder:
                changed_ns = os.fstat(folder).st_ctime_ns
        except OSError:
            return None
        return changed_ns if abs(time.time_ns() - changed_ns) > _SETTLED_NS else None

    def status(self, path: bytes) -> os.stat_result | None:
        """The status of what lies at a path, a link's own; None where there is nothing."""
        folder, name = os.path.split(path)
        try:
            with self.folder(folder) as descriptor:
                return os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return None

    def fixed(self) -> tuple[int, int]:
        """How many files are always ours and never removed, and their bytes.

        The manifest and the locks count as much as they ever take, there or not: the plan of a
        preview is then that of the run, which writes them.
        """
        sizes = [
            status.st_size
            for name in _WORK_FILES
            if (status := self.status(name)) is not None and stat.S_ISREG(status.st_mode)
        ]
        return len(sizes) + _OWN_FILES, sum(sizes) + _OWN_BYTES

    @contextlib.contextmanager
    def claim(self, entry: Entry) -> Generator[Claim]:
        """Look at an entry; what is ours stays locked, and its session with it, until the end."""
        with contextlib.ExitStack() as stack:
            yield self._claim(entry, stack)

    def _claim(self, entry: Entry, stack: contextlib.ExitStack) -> Claim:
        above, name = os.path.split(entry.path)
        try:
            folder = stack.enter_context(self.folder(above))
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return Claim(Verdict.MISSING)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EXDEV}:
                return Claim(Verdict.CHANGED, reason="a link or another device is on the way")
            return Claim(Verdict.UNREADABLE, reason=str(error.strerror))
        if not self._is_that(status, entry):
            return Claim(Verdict.CHANGED, folder, reason="it is not the file that was recorded")
        try:
            file = os.open(name, _FILE, dir_fd=folder)
        except OSError as error:
            return Claim(Verdict.UNREADABLE, folder, reason=str(error.strerror))
        stack.callback(os.close, file)
        if not _lock(file) or not self._lock_session(entry.path, stack):
            return Claim(Verdict.LIVE, folder, reason=Verdict.LIVE)
        if not self._is_that(os.fstat(file), entry) or entry.hash not in {"", digest_of(file)}:
            return Claim(Verdict.CHANGED, folder, reason="it was changed since it was recorded")
        return Claim(Verdict.OURS, folder, file)

    def _is_that(self, status: os.stat_result, entry: Entry) -> bool:
        return (
            stat.S_ISREG(status.st_mode)
            and status.st_dev == self.device
            and status.st_ino == entry.inode
            and (status.st_size == entry.size or not entry.hash)
        )

    def _lock_session(self, path: bytes, stack: contextlib.ExitStack) -> bool:
        """Lock the session that a file belongs to; False while it runs."""
        parts = path.split(b"/")
        if len(parts) < 3 or parts[0] != b"sessions" or parts[-1] == SESSION_LOCK:
            return True
        try:
            with self.folder(b"/".join(parts[:2])) as folder:
                guard = os.open(SESSION_LOCK, _FILE, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        stack.callback(os.close, guard)
        return _lock(guard)


def digest_of(file: int) -> str:
    """SHA-256 of an open file's bytes."""
    digest = hashlib.sha256()
    position = 0
    while part := os.pread(file, _CHUNK, position):
        digest.update(part)
        position += len(part)
    return digest.hexdigest()


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: nobody can hold one
    return True


def _refuse_home(workspace: Path) -> None:
    """Nothing is cleaned up where a mistake would cost a person everything."""
    real = Path(os.path.realpath(workspace))
    homes = {Path.home()}
    with contextlib.suppress(KeyError):  # a user without an entry in the system's list
        homes.add(Path(pwd.getpwuid(os.getuid()).pw_dir))
    real_homes = [Path(os.path.realpath(home)) for home in homes]
    if real == real.parent or any(home.is_relative_to(real) for home in real_homes):
        raise CleanupRefused(
            f"{workspace} is the home folder, or holds it: nothing is cleaned up here"
        )
