"""The workspace's folder, and the paths below it: nothing outside is ever reached."""

from __future__ import annotations

import errno
import os
import posixpath
from pathlib import Path

from orchestrator_core.errors import WorkspaceError


class Root:
    """A folder. Immutable: safe from any thread.

    Paths are relative to it, with forward slashes. They are resolved when a file is opened; a
    program that swaps a folder for a symbolic link in that very moment is not guarded against.

    Args:
        root: the folder.

    Raises:
        WorkspaceError: the folder does not exist, is none, or cannot be read.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        given = Path(os.path.abspath(root))  # noqa: PTH100 - links stay: editors name files so
        _require_folder(given)
        self.root = given
        self._real_root = Path(os.path.realpath(given))
        self._prefix = str(self._real_root).rstrip("/") + "/"

    def relative(self, path: str | os.PathLike[str]) -> str:
        """The path in the form that all of the engine uses.

        Args:
            path: relative to the root, or absolute and below it.

        Raises:
            WorkspaceError: it names the root itself or something outside.
        """
        given = os.fspath(path)
        name = posixpath.normpath(given)
        if name.startswith("/"):
            for root in (self.root, self._real_root):
                prefix = str(root).rstrip("/") + "/"
                if name.startswith(prefix):
                    name = name.removeprefix(prefix)
                    break
            else:
                raise WorkspaceError(f"{given} is outside the workspace {self.root}")
        if name == ".." or name.startswith("../"):
            raise WorkspaceError(f"{given} leads out of the workspace {self.root}")
        if not given or name == "." or "\0" in name:
            raise WorkspaceError(f"{given!r} does not name a file of the workspace")
        return name

    def locate(self, path: str) -> Path:
        """Where a path lies on disk, symbolic links resolved. The file need not exist.

        Raises:
            WorkspaceError: a symbolic link leads out of the workspace.
        """
        name = self.relative(path)
        real = os.path.realpath(self._prefix + name)
        if not real.startswith(self._prefix):
            raise WorkspaceError(
                f"{name} is a symbolic link to {real}, outside the workspace: it is left alone"
            )
        return Path(real)

    def missing_folders(self, path: str) -> int:
        """How many of the folders above a file do not exist.

        Raises:
            WorkspaceError: as ``locate``.
        """
        folder, missing = os.path.dirname(self.locate(path)), 0  # noqa: PTH120 - a fifth of the cost
        while not os.path.lexists(folder):
            folder, missing = os.path.dirname(folder), missing + 1  # noqa: PTH120
        return missing

    def key(self, file: Path) -> str:
        """A located file's one name, whatever links lead to it."""
        return str(file).removeprefix(self._prefix)


def _require_folder(root: Path) -> None:
    try:
        if not root.exists():
            raise WorkspaceError(f"the workspace {root} does not exist: name a folder that does")
        if not root.is_dir():
            raise WorkspaceError(f"the workspace {root} is not a folder")
        with os.scandir(root) as entries:
            next(entries, None)
        if not os.access(root, os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise WorkspaceError(
            f"the workspace {root} cannot be read ({error.strerror}): check its permissions"
        ) from error
