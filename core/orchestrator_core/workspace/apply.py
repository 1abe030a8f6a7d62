"""Making changes real: the protocol.

A mission applies its changes through an ``Applier`` and does not care which one: on disk
(``workspace.disk_applier``), or the server's, which has the editor make them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator_core.workspace.edits import Change

T = TypeVar("T")


class Offload(Protocol):
    """Runs blocking work elsewhere: the worker pool's ``submit``, or ``asyncio.to_thread``."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Run ``work`` in another thread and answer its result."""
        ...


class Applier(Protocol):
    """Applies changes, all or none."""

    async def apply(self, changes: Sequence[Change], *, label: str, confirm: bool = False) -> None:
        """Make all changes, or none.

        When it was cancelled, either all are made or none is; comparing hashes tells which.

        Args:
            changes: at most one for each path.
            label: what the person sees of it, for example in the editor's undo list.
            confirm: whether the person is to be asked first, where there is one.

        Raises:
            StaleEdit: a file is not (or no longer) what its ``before`` says.
            EditRefused: a file cannot be changed; the message says which, why and what to do. Or
                the person does not want it.
        """
        ...
