"""Whether an agent's copy is as its session has left it: nobody else may have changed it since.

Sessions that share a process could write into each other's copies. What one of them does while
another's is left alone is seen here, by what the copied files hold. While both are at work it
cannot be told who did it (:mod:`~agents.acp_rooms` can keep them apart).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from orchestrator_core.errors import ModelFault
from orchestrator_core.workspace.text_file import Signature, sha256, signature_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.agents.acp_sessions import Session
    from orchestrator_core.agents.acp_worktree import WorkTree
    from orchestrator_core.runtime.worker_pool import WorkStealingPool

_SHOWN = 3


class Rest:
    """How a copy was left. Methods block on the disk.

    Args:
        tree: the copy.

    Attributes:
        spoilt: what was changed by others before.
    """

    def __init__(self, tree: WorkTree) -> None:
        self._tree = tree
        self._folder = os.fspath(tree.path)
        self._left = {path: self._seen(path) for path in tree.copied}
        self.spoilt: list[str] = []

    def disturbed(self) -> list[str]:
        """The copied files that hold something else by now."""
        return [path for path, left in self._left.items() if self._differs(path, left)]

    def _differs(self, path: str, left: tuple[Signature | None, str]) -> bool:
        here = self._signature(path)
        return here != left[0] and self._seen(path)[1] != left[1]

    def _seen(self, path: str) -> tuple[Signature | None, str]:
        here, known = self._signature(path), self._tree.copied.get(path)
        if here is None:
            return None, ""
        if known is not None and known.here == here:
            return here, known.sha256
        try:
            return here, sha256(self._tree.read(path)[0])
        except OSError:
            return None, ""

    def _signature(self, path: str) -> Signature | None:
        try:
            status = os.lstat(f"{self._folder}/{path}")  # half the cost of a Path's
        except (FileNotFoundError, NotADirectoryError):
            return None
        return signature_of(status) if stat.S_ISREG(status.st_mode) else None


async def leave(session: Session, others: Iterable[Session], pool: WorkStealingPool) -> None:
    """A session's turn has ended: its copy is left alone, and so must all that were have been.

    Raises:
        ModelFault: a file of another one's copy was changed. Where several were at work, that may
            be the fault of any: the first to end is done anew.
    """
    session.rest = await pool.submit(Rest, session.tree)
    strayed: list[str] = []
    for other in others:
        rest = other.rest
        if rest is None or not (paths := await pool.submit(rest.disturbed)):
            continue
        now = await pool.submit(Rest, other.tree)
        if other.rest is rest:  # it has not begun to change it itself
            now.spoilt = rest.spoilt + paths
            other.rest = now
            strayed += paths
    if strayed:
        who = session.connection.name
        raise ModelFault(
            f"while {who} was at work, another session's copy changed: {_few(strayed)}"
        )


async def require_as_left(session: Session, pool: WorkStealingPool) -> None:
    """Go on only with a copy that is as it was left.

    Raises:
        ModelFault: somebody else has changed it.
    """
    rest = session.rest
    if rest is not None and (paths := rest.spoilt + await pool.submit(rest.disturbed)):
        who = session.connection.name
        raise ModelFault(f"another session of {who} changed this one's copy: {_few(paths)}")


def _few(paths: list[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
