"""Taking applied edits back, through the same applier that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.errors import StaleEdit
from orchestrator_core.events import EditsReverted
from orchestrator_core.mission.undo import plan_undo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Engine

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
    for attempt in range(1, _ATTEMPTS + 1):
        undo = await engine.pool.submit(
            plan_undo, events, engine.contents, engine.workspace, task_id=task_id
        )
        if not undo.changes and not undo.unrestored:
            return None
        async with engine.apply_lock:
            try:
                if undo.changes:
                    await engine.applier.apply(undo.changes, label="orchestrator: undo")
            except StaleEdit:
                # Somebody typed meanwhile: look again at what there is now.
                if attempt == _ATTEMPTS:
                    raise
                continue
        break
    return EditsReverted(
        mission_id=events[0].mission_id,
        task_id=task_id,
        changes=tuple(change.record() for change in undo.changes),
        unrestored=tuple(undo.unrestored),
    )
