"""The folder that an agent's process works in, removed with it, or by who comes after a crash."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Self

from orchestrator_core.agents.acp_files import remove
from orchestrator_core.agents.acp_worktree import WorkTree
from orchestrator_core.errors import JournalBusy
from orchestrator_core.mission.owner_lock import OwnerLock

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = "agents"


class AgentFolder:
    """A folder below a workspace's scratch folder. A context manager; methods block on the disk.

    A lock beside it says that its process lives; the kernel drops it when that ends.

    Args:
        scratch: the workspace's scratch folder, outside of the workspace.

    Attributes:
        theirs: all that the agent may write, its copies of the workspace among it.
        ours: what the agent cannot write.
        temporary: for its temporary files.
    """

    def __init__(self, scratch: Path) -> None:
        sweep(scratch)
        parent = scratch / _FOLDER
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock, self._lock_file = _locked(parent)
        self._path = self._lock_file.with_suffix("")
        self.theirs = self._path / "theirs"
        self.ours = self._path / "ours"
        self.temporary = self.theirs / "tmp"
        try:
            for folder in (self.ours, self.temporary):
                folder.mkdir(parents=True)
        except BaseException:
            self.remove()
            raise

    def tree(self) -> WorkTree:
        """A new, empty copy."""
        return WorkTree(self.theirs / f"copy-{secrets.token_hex(4)}")

    def remove(self) -> None:
        """Delete everything. Repeating it does nothing."""
        remove(self._path)
        self._lock_file.unlink(missing_ok=True)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def sweep(scratch: Path) -> None:
    """Delete what processes that were killed have left. Blocks on the disk."""
    for file in (scratch / _FOLDER).glob("*.lock"):
        try:
            with OwnerLock(file):
                remove(file.with_suffix(""))
                file.unlink(missing_ok=True)
        except JournalBusy:
            continue


def _locked(parent: Path) -> tuple[OwnerLock, Path]:
    while True:
        file = parent / f"{secrets.token_hex(8)}.lock"
        try:
            return OwnerLock(file), file
        except JournalBusy:  # a sweep was quicker, and deletes it
            continue
