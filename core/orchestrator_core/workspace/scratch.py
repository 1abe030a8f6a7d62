"""A copy of the workspace that commands run in, unsaved texts written out.

A command that runs in a copy can be stopped, reviewed and undone like any other work: what it
changed is read from the copy into the task's draft, and the workspace never sees a half-done
state. The copy lies outside the workspace. Folders that ignore rules hide (virtual
environments, installed packages) are linked, not copied; ``.git`` and ``.opencode`` are absent.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ABSENT = frozenset({".git", ".opencode"})
_INSTALLED = frozenset({"node_modules", "vendor", "site-packages"})
_CACHES = frozenset(
    """.pytest_cache .mypy_cache .ruff_cache .hypothesis .cache .tox .nox .gradle .next .nuxt .turbo
    .parcel-cache .svelte-kit .build .dart_tool""".split()  # noqa: SIM905 (words read better in a row)
)

Signature = tuple[int, int, int]


class ScratchCopy:
    """One copy. A context manager; all methods block on the disk; not thread-safe.

    Args:
        root: the workspace.
        files: the paths to copy, relative to it.
        texts: paths whose text is another than the disk's; None for one that is gone.
        folder: where copies are made; created if it does not exist.

    Raises:
        OSError: the copy cannot be made; nothing is left of it.
    """

    def __init__(
        self,
        root: Path,
        files: Iterable[str],
        texts: Mapping[str, str | None],
        folder: Path,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
        self._made: dict[str, Signature] = {}
        self._root = root.resolve()
        self._links: list[Path] = []
        try:
            self._fill(root, files, texts)
        except BaseException:
            self.remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Delete the copy; what its links lead to stays. Repeating it does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)

    def build_folders(self) -> list[Path]:
        """The workspace's own folders for what builds and tests leave behind, linked in the copy.

        Commands may write there. Not among them: installed packages and hidden folders, which
        hold what runs later, and links that lead out of the workspace.
        """
        found = (link.resolve() for link in self._links if link.is_dir())
        return [
            folder
            for folder in found
            if folder.is_relative_to(self._root)
            and (folder.name in _CACHES or not folder.name.startswith("."))
            and not installed(folder)
        ]

    def changed(self, files: Iterable[str]) -> list[str]:
        """Which of ``files``, found in the copy now, are new or differ from when it was made."""
        return [
            path
            for path in files
            if path not in self._made or _signature(self.path / path) != self._made[path]
        ]

    def holds(self, path: str) -> bool:
        """Whether a file of the copy really lies in it, and is not reached through a link.

        A command may have put a link there to something that it could not read itself.
        """
        file = self.path / path
        return file.resolve() == self.path.resolve() / path

    def deleted(self) -> list[str]:
        """Which of the copied files are gone."""
        return [path for path in self._made if not os.path.lexists(self.path / path)]

    def _fill(self, root: Path, files: Iterable[str], texts: Mapping[str, str | None]) -> None:
        for path in files:
            if path not in texts:
                target = self._place(path)
                shutil.copy2(root / path, target, follow_symlinks=False)
        for path, text in texts.items():
            if text is not None:
                target = self._place(path)
                target.write_bytes(text.encode("utf-8"))
                if (root / path).exists():
                    shutil.copymode(root / path, target)
        for folder, _, names in os.walk(self.path):
            for name in names:
                file = Path(folder, name)
                if not file.is_symlink():
                    self._made[file.relative_to(self.path).as_posix()] = _signature(file)
        self._link_the_rest(root, texts)

    def _place(self, path: str) -> Path:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _link_the_rest(self, root: Path, texts: Mapping[str, str | None]) -> None:
        """Link what was not copied, from the highest folder that it fills alone."""
        for folder, _, _ in os.walk(self.path):
            inside = Path(folder).relative_to(self.path)
            if not (root / inside).is_dir():
                continue
            for entry in os.scandir(root / inside):
                link = self.path / inside / entry.name
                gone = (inside / entry.name).as_posix() in texts
                if entry.name not in _ABSENT and not gone and not os.path.lexists(link):
                    link.symlink_to(entry.path)
                    self._links.append(link)


def installed(folder: Path) -> bool:
    """Whether a folder holds installed packages: code that runs later, and that nobody reviews."""
    return folder.name in _INSTALLED or (folder / "pyvenv.cfg").exists()


def _signature(file: Path) -> Signature:
    status = file.lstat()
    return (status.st_mtime_ns, status.st_size, status.st_ino)
