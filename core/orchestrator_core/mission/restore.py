"""Taking applied edits back, through the same applier that made them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from orchestrator_core.errors import EditRefused, StaleEdit
from orchestrator_core.events import EditsReverted
from orchestrator_core.mission.undo import plan_undo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.undo import UndoPlan

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
    if not undo.changes and not undo.unrestored:
        return None
    return EditsReverted(
        mission_id=events[0].mission_id,
        task_id=task_id,
        changes=tuple(change.record() for change in undo.changes),
        unrestored=undo.unrestored,
    )


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
