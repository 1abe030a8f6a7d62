"""Files that an agent may have put where others are: looked at without following links."""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
from pathlib import Path


class Inside:
    """Whether files of a folder lie in it, and are not reached through links to folders."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = os.path.realpath(root)
        self._known: dict[str, bool] = {}

    def holds(self, path: str) -> bool:
        """Looks at each folder once."""
        folder = posixpath.dirname(path)
        known = self._known.get(folder)
        if known is None:
            real = os.path.realpath(self._root / folder)
            known = real == os.path.normpath(os.path.join(self._real, folder))  # noqa: PTH118
            self._known[folder] = known
        return known


def remove(folder: Path) -> None:
    """Delete a folder, whatever permissions an agent gave to what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for inside, _, _ in os.walk(folder):
            Path(inside).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def lstat(file: Path) -> os.stat_result | None:
    """What is there by a name, be it a link; None if nothing is."""
    try:
        return file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_file(file: Path) -> bool:
    """Whether it is a regular file, and no link to one."""
    status = lstat(file)
    return status is not None and stat.S_ISREG(status.st_mode)


def mode_of(file: Path) -> int | None:
    """The permission bits of a file; None if there is none."""
    status = lstat(file)
    return stat.S_IMODE(status.st_mode) if status is not None else None
