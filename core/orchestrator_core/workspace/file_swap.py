"""One file's part in an atomic change on disk: staged, committed, then finished or rolled back.

Used by :class:`~orchestrator_core.workspace.disk_applier.DiskApplier`, which puts many of these
together. Every method may raise ``OSError``; not thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from typing import TYPE_CHECKING

from orchestrator_core.errors import StaleEdit
from orchestrator_core.workspace.text_file import sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEFTOVER = re.compile(r"\.opencode-[0-9a-f]{16}\.(new|old)")
"""Names of the files that stand beside the person's while a change is made."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV}
_ATTEMPTS = 3


class FileSwap:
    """New bytes for a file, a new file, a file that goes, or one that moves.

    Args:
        path: what messages call it, relative to the workspace.
        source: the existing file that is replaced or goes; None where one is created.
        status: of ``source``, for its mode bits and owner.
        before_sha256: hash of the bytes that ``source`` must have.
        target: where the new bytes go; None where the file only goes.
        data: the new bytes.
        mode: permission bits to set; None keeps those of ``source``, or a new file's.
    """

    def __init__(
        self,
        path: str,
        *,
        source: Path | None,
        status: os.stat_result | None,
        before_sha256: str,
        target: Path | None,
        data: bytes = b"",
        mode: int | None = None,
    ) -> None:
        self.path = path
        self.source = source
        self.target = target
        self._status = status
        self._sha256 = before_sha256
        self._data = data
        self._mode = mode
        self._staged: Path | None = None
        self._staged_inode = 0
        self._kept: Path | None = None
        self._placed = False
        self._made_folders: list[Path] = []

    def stage(self) -> None:
        """Write the new bytes beside their place; nothing of the person's changes."""
        if self.target is None:
            return
        self._make_folders(self.target.parent)
        # The kernel applies the umask to a created file; a replaced one's mode is copied.
        mode = 0o666 if self._status is None else 0o600
        staged = _beside(self.target, "new")
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        self._staged = staged
        try:
            _write_all(descriptor, self._data)
            if self._status is not None and self.source is not None:
                _copy_attributes(self.source, self._status, descriptor)
            if self._mode is not None:
                os.fchmod(descriptor, self._mode)
            self._staged_inode = os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)
        self._data = b""

    def sync(self) -> None:
        """Have the staged bytes reach the disk."""
        if self._staged is not None:
            sync(self._staged)

    def commit(self) -> None:
        """Make the change.

        Raises:
            StaleEdit: the file changed after it was checked, or one is where none was.
        """
        if self.target is not None and self.target != self.source:
            self._place_new(self.target)
        if self.source is None:
            return
        kept = _beside(self.source, "old")
        if self.target == self.source:
            self._kept = kept
            _link_or_copy(self.source, kept)
            self.verify()
            assert self._staged is not None
            self._staged.replace(self.source)
            self._staged, self._placed = None, True
        else:
            self.source.rename(kept)
            self._kept = kept
            self.verify()

    def verify(self) -> None:
        """See that the kept file is still the one that was checked.

        A program that had the file open may write to it while it is being replaced.

        Raises:
            StaleEdit: it is not.
        """
        if self._kept is not None and sha256(self._kept.read_bytes()) != self._sha256:
            raise StaleEdit(self.path)

    def finish(self) -> None:
        """Drop the other names of old and new file: the change stays."""
        for left in (self._kept, self._staged):
            if left is not None:
                insist(lambda left=left: left.unlink(missing_ok=True))
        self._kept = self._staged = None

    def roll_back(self) -> str | None:
        """Put everything back as it was.

        Returns:
            None, or what could not be put back and where the old content is.
        """
        try:
            placed_new = self._placed and self.target != self.source
            if placed_new and self.target is not None and os.path.lexists(self.target):
                self._unless_foreign(self.target, self.target.unlink)
            if self._kept is not None and self.source is not None:
                self._bring_back(self.source, self._kept)
            if self._staged is not None:
                insist(lambda staged=self._staged: staged.unlink(missing_ok=True))
            for folder in reversed(self._made_folders):
                # Someone else may have put a file there in the meantime.
                with contextlib.suppress(OSError):
                    folder.rmdir()
        except OSError as error:
            where = f": its old content is in {self._kept}" if self._kept else ""
            return f"{self.path} could not be put back ({error.strerror}){where}"
        return None

    def folders(self) -> set[Path]:
        """The folders whose entries the change touches."""
        files = [file for file in (self.source, self.target) if file is not None]
        return {file.parent for file in (*files, *self._made_folders)}

    def _place_new(self, target: Path) -> None:
        assert self._staged is not None
        try:
            os.link(self._staged, target)  # unlike a rename, never replaces a file
        except FileExistsError:
            raise StaleEdit(self.path, f"{target.name} was created meanwhile") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                raise StaleEdit(self.path, f"{target.name} was created meanwhile") from None
            self._staged.rename(target)
            self._staged, self._placed = None, True
        else:
            self._placed = True
            # The second name is dropped in the end: to fail for it would undo what is made.

    def _bring_back(self, source: Path, kept: Path) -> None:
        if self.target == source and not self._placed:
            insist(lambda: kept.unlink(missing_ok=True))
        elif self.target == source:
            self._unless_foreign(source, lambda: kept.replace(source))
        elif os.path.lexists(source):
            raise FileExistsError(errno.EEXIST, "another file is in its place now")
        else:
            insist(lambda: kept.rename(source))
        self._kept = None

    def _unless_foreign(self, file: Path, action: Callable[[], object]) -> None:
        """Do it, unless the file is no longer the one that ``commit`` put there."""
        if file.stat().st_ino != self._staged_inode:
            raise FileExistsError(errno.EEXIST, "someone else has changed it since")
        insist(action)

    def _make_folders(self, folder: Path) -> None:
        missing: list[Path] = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir()
            self._made_folders.append(path)


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's entries, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(file: Path, kind: str) -> Path:
    return file.with_name(f".opencode-{secrets.token_hex(8)}.{kind}")


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _copy_attributes(source: Path, status: os.stat_result, descriptor: int) -> None:
    """Owner, mode bits and extended attributes, as far as this process may set them."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    if sys.platform == "linux":
        # Not every file system has them, and some are for the system alone.
        with contextlib.suppress(OSError):
            for name in os.listxattr(source):
                with contextlib.suppress(PermissionError):
                    os.setxattr(descriptor, name, os.getxattr(source, name))


def _link_or_copy(file: Path, kept: Path) -> None:
    """A second name for the file, or where the file system has no links, a copy."""
    try:
        os.link(file, kept)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        status = file.stat()
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, file.read_bytes())
            _copy_attributes(file, status, descriptor)
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def insist(action: Callable[[], object]) -> None:
    """Do it, again if it fails: a rollback must survive a passing fault."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            action()
        except OSError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return
