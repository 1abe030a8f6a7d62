"""Taking applied edits back, through the same applier that made them."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from orchestrator_core.errors import ContentsUnavailable, EditRefused, StaleEdit, WorkspaceError
from orchestrator_core.events import EditsIntended, EditsReverted, MissionAccepted
from orchestrator_core.mission.undo import plan_undo
from orchestrator_core.workspace.disk_applier import clear_leftovers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.undo import UndoPlan
    from orchestrator_core.workspace.documents import Workspace

log = logging.getLogger(__name__)

_ATTEMPTS = 3


async def revert(
    engine: Engine, events: Sequence[AnyEvent], *, task_id: str = ""
) -> EditsReverted | None:
    """Undo what a mission, or one task of it, applied.

    Later changes by others are kept where they do not touch; what could not be restored is
    named in the event.

    Returns:
        The event to journal, without its place; None when there was nothing to undo.

    Raises:
        EditError: the applier would not take the inverse edits; nothing was changed.
    """
    async with engine.apply_lock:
        undo = await _apply_inverse(engine, events, task_id)
        if not undo.unrestored:
            await engine.pool.submit(clear_up, engine, events)
    if not undo.changes and not undo.unrestored:
        return None
    return EditsReverted(
        mission_id=events[0].mission_id,
        task_id=task_id,
        changes=tuple(change.record() for change in undo.changes),
        unrestored=undo.unrestored,
    )


def clear_up(engine: Engine, events: Iterable[AnyEvent]) -> None:
    """Remove what is left of a mission whose edits were taken back. Blocks on the disk.

    That is the names that failed or killed writes left, and the folders made for its files.
    """
    events, paths = list(events), set[str]()
    try:
        for event in events:
            if isinstance(event, EditsIntended):
                for change in event.changes:
                    paths.update((change.path, change.new_path))
            elif isinstance(event, MissionAccepted):
                paths.add(event.plan_file)
        paths.discard("")
        clear_leftovers(engine.workspace, paths, is_kept=engine.contents.has)
    except (OSError, ContentsUnavailable, WorkspaceError) as error:
        log.warning("not all that a mission left behind could be removed: %s", error)
    remove_made_folders(engine.workspace, events, paths)


def remove_made_folders(
    workspace: Workspace, events: Iterable[AnyEvent], paths: Collection[str]
) -> None:
    """Remove the folders that a mission made for files, as far as nothing is in them now.

    Blocks on the disk.

    Args:
        workspace: whose folders they are.
        events: of the mission.
        paths: the files.
    """
    folders: set[Path] = set()
    for event in events:
        for change in event.changes if isinstance(event, EditsIntended) else ():
            path = change.new_path or change.path
            if path in paths:
                with contextlib.suppress(WorkspaceError):  # it leads elsewhere by now
                    folders.update(workspace.locate(path).parents[: change.made_folders])
    for folder in sorted(folders, reverse=True):  # what is inside before what it is in
        with contextlib.suppress(OSError):  # it is in use, or gone
            folder.rmdir()


async def _apply_inverse(engine: Engine, events: Sequence[AnyEvent], task_id: str) -> UndoPlan:
    for _ in range(_ATTEMPTS):
        undo = await engine.pool.submit(
            plan_undo, events, engine.contents, engine.workspace, task_id=task_id
        )
        try:
            if undo.changes:
                await engine.applier.apply(undo.changes, label="orchestrator: undo")
        except StaleEdit as error:
            log.info("undo: %s", error)  # somebody typed meanwhile: look again at what there is now
        else:
            return undo
    raise EditRefused(f"undo was given up after {_ATTEMPTS} attempts: the files keep changing")
