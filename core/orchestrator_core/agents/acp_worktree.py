"""A copy of the workspace that an agent works in, and what it changed there.

The copy holds the files that no ignore rule hides, with the unsaved texts of the editor and those
of the task's draft, and is a git repository of its own with one commit of exactly that on top of
the workspace's ``HEAD``: a detached snapshot. That repository borrows the objects of the
workspace's (``objects/info/alternates``) and shares nothing else with it. ``git worktree add``
would write into the workspace's ``.git``, and leave entries there when a process is killed; this
needs no pruning, and whatever an agent does with git reaches neither branches nor index, hooks or
configuration of the workspace.

A copy is used again for the next task: only what differs is written then.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.agents.acp_files import Inside, is_file, lstat, mode_of, remove
from orchestrator_core.workspace.documents import MAX_FILE_BYTES
from orchestrator_core.workspace.scratch import installed
from orchestrator_core.workspace.text_file import Signature, sha256, signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

REMEMBERED_BYTES = 16 * 2**20
_GIT = ".git"


class Copied(Struct, frozen=True):
    """A file as it was copied.

    Attributes:
        sha256: of its bytes; empty for one that is too large to be a text.
        source: what it was copied from; None for a text that is not the disk's.
        here: the copy.
        mode: its permission bits.
    """

    sha256: str
    source: Signature | None
    here: Signature
    mode: int


class TreeChanges(Struct, frozen=True):
    """What an agent changed in its copy.

    Attributes:
        written: files that are new or differ.
        deleted: files that are gone.
        refused: what is no file of the copy any more: a link, or a device.
    """

    written: tuple[str, ...]
    deleted: tuple[str, ...]
    refused: tuple[str, ...]


class WorkTree:
    """One copy. Methods block on the disk; not thread-safe, but for :meth:`abandon`.

    Args:
        path: the folder; made.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True)
        self.path = path
        self._real = os.path.realpath(path)
        self._base: dict[str, Copied] = {}
        self._links: set[str] = set()
        self._remembered: dict[str, bytes] = {}
        self._abandoned = False

    @property
    def copied(self) -> Mapping[str, Copied]:
        """The files as they were copied, by their paths."""
        return self._base

    def abandon(self) -> None:
        """Have a :meth:`fill` that is under way end soon, as failed. From any thread."""
        self._abandoned = True

    def fill(
        self,
        root: Path,
        files: Iterable[str],
        texts: Mapping[str, bytes | None],
        *,
        link: bool = False,
    ) -> None:
        """Make the folder hold these files and no others.

        Args:
            root: the workspace.
            files: the paths to copy, relative to it.
            texts: paths whose content is another than the disk's; None for one that is gone.
            link: whether folders of installed packages are linked, so that tests can run.

        Raises:
            OSError: it cannot be made so.
        """
        whole = Inside(root)
        wanted = {path for path in files if path not in texts and whole.holds(path)}
        given = {path: data for path, data in texts.items() if data is not None}
        self._clear(wanted | given.keys())
        base: dict[str, Copied] = {}
        for path in wanted:
            if self._abandoned:
                raise OSError(f"{self.path} is no longer wanted")
            if (copied := self._copy(root, path)) is not None:
                base[path] = copied
        for path, data in given.items():
            base[path] = self._write(path, data, mode_of(root / path))
        self._base = base
        self._remembered = {}
        self._links = self._link_installed(root) if link else set()

    def remember(self, wanted: Callable[[str], bool]) -> None:
        """Keep what some files hold, as long as that is not too much in all.

        Who changes them while others do so as well can then be merged with these.
        """
        left = REMEMBERED_BYTES
        for path, known in self._base.items():
            if known.here.size_bytes <= left and known.sha256 and wanted(path):
                self._remembered[path] = self.read(path)[0]
                left -= known.here.size_bytes

    def remembered(self, path: str) -> bytes | None:
        """What a file held; None if that is not known."""
        return self._remembered.get(path)

    @property
    def links(self) -> frozenset[str]:
        """The folders that are linked."""
        return frozenset(self._links)

    def changes(self, listed: Iterable[str]) -> TreeChanges:
        """What differs from how the folder was filled.

        Args:
            listed: the files that are there now, without those that ignore rules hide.
        """
        written: list[str] = []
        refused: list[str] = []
        for path in sorted({*listed, *self._base} - self._links):
            status = lstat(self.path / path)
            if status is None:
                continue
            if not stat.S_ISREG(status.st_mode) or not self._holds(path):
                refused.append(path)
            elif (known := self._base.get(path)) is None or (
                known.here != signature_of(status)
                and (known.mode != stat.S_IMODE(status.st_mode) or not self._is_same(path, known))
            ):
                written.append(path)
        deleted = [path for path in self._base if lstat(self.path / path) is None]
        return TreeChanges(tuple(written), tuple(sorted(deleted)), tuple(refused))

    def has(self, path: str) -> bool:
        """Whether there is anything by that name now."""
        return lstat(self.path / path) is not None

    def read(self, path: str) -> tuple[bytes, int]:
        """The bytes of a file, and its permission bits."""
        descriptor = os.open(self.path / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1), stat.S_IMODE(os.fstat(descriptor).st_mode)

    def mode_before(self, path: str) -> int | None:
        """The permission bits that a file was copied with; None if there was none."""
        known = self._base.get(path)
        return known.mode if known else None

    def sha256_before(self, path: str) -> str | None:
        """The hash of the bytes that a file was copied with; None if there was none."""
        known = self._base.get(path)
        return known.sha256 if known else None

    def relative(self, path: str) -> str | None:
        """A path that an agent named, relative to the copy; None if it leads out of it."""
        whole = os.path.normpath(os.path.join(self.path, path))  # noqa: PTH118 - `..` goes first
        for root in (os.fspath(self.path), self._real):
            if whole.startswith(root + os.sep):
                return Path(whole).relative_to(root).as_posix()
        return None

    def locate(self, path: str) -> Path | None:
        """Where a relative path lies; None if a link leads elsewhere, or to git's own files."""
        name = self.relative(path)
        if name is None or name.split("/", 1)[0] == _GIT or not self._holds(name):
            return None
        return self.path / name

    def remove(self) -> None:
        """Delete the copy; what its links lead to stays."""
        remove(self.path)

    def _holds(self, path: str) -> bool:
        """Whether a file lies in the copy itself, and is not reached through a link."""
        return os.path.realpath(self.path / path) == os.path.join(self._real, path)  # noqa: PTH118

    def _is_same(self, path: str, known: Copied) -> bool:
        return known.sha256 != "" and sha256(self.read(path)[0]) == known.sha256

    def _clear(self, wanted: set[str]) -> None:
        """Delete all that is not wanted, and what is no file any more."""
        for name in self._links:
            (self.path / name).unlink(missing_ok=True)
        for folder, folders, names in os.walk(self.path, topdown=False):
            inside = Path(folder).relative_to(self.path)
            for name in names:
                file = Path(folder, name)
                if (inside / name).as_posix() not in wanted or not is_file(file):
                    file.unlink(missing_ok=True)
            for name in folders:
                entry = Path(folder, name)
                if entry.is_symlink() or (inside / name).as_posix() in (*wanted, _GIT):
                    entry.unlink() if entry.is_symlink() else shutil.rmtree(entry)
                elif not any(entry.iterdir()):
                    entry.rmdir()

    def _copy(self, root: Path, path: str) -> Copied | None:
        """Copy one file, unless it is there already; None if it is none, or gone by now."""
        source = root / path
        status = lstat(source)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None  # a link may lead anywhere
        seen, mode = signature_of(status), stat.S_IMODE(status.st_mode)
        known, here = self._base.get(path), lstat(self.path / path)
        if known and here and known.source == seen and known.here == signature_of(here):
            return known
        try:
            if status.st_size > MAX_FILE_BYTES:
                target = self._place(path)
                shutil.copyfile(source, target)
                return Copied("", seen, signature_of(target.stat()), mode)
            data = source.read_bytes()
        except (FileNotFoundError, PermissionError):
            return None
        return self._write(path, data, mode, seen)

    def _write(
        self, path: str, data: bytes, mode: int | None, source: Signature | None = None
    ) -> Copied:
        with os.fdopen(self._create(path), "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            status = os.fstat(file.fileno())
        return Copied(sha256(data), source, signature_of(status), stat.S_IMODE(status.st_mode))

    def _create(self, path: str) -> int:
        """Open a new file in place of what is there, be that a link; answers its descriptor."""
        target = f"{self._real}/{path}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(target, flags, 0o644)
        except FileNotFoundError:
            self._place(path)
        except FileExistsError:
            Path(target).unlink()
        return os.open(target, flags, 0o644)

    def _place(self, path: str) -> Path:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _link_installed(self, root: Path) -> set[str]:
        """Link folders of installed packages that are not copied: they are large, and ignored."""
        made: set[str] = set()
        for folder, folders, _ in os.walk(self.path):
            folders[:] = [name for name in folders if name != _GIT]
            inside = Path(folder).relative_to(self.path)
            if not (root / inside).is_dir():
                continue
            for entry in os.scandir(root / inside):
                link = self.path / inside / entry.name
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and installed(Path(entry.path)) and not os.path.lexists(link):
                    link.symlink_to(entry.path)
                    made.add((inside / entry.name).as_posix())
        return made
