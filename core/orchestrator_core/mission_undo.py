"""Undoing a mission that has ended, or one task of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.errors import RequestError
from orchestrator_core.events import MissionUndone
from orchestrator_core.mission import history
from orchestrator_core.mission.restore import revert

if TYPE_CHECKING:
    from orchestrator_core.events import AnyEvent, EditsReverted
    from orchestrator_core.services import Services


class UndoReport(Struct, frozen=True):
    """What an undo did: files brought back, and those that could not be."""

    mission: str
    files_restored: tuple[str, ...]
    unrestored: tuple[str, ...]


async def undo(services: Services, mission_id: str | None, task_id: str) -> UndoReport:
    """Take back what a mission, or one task of it, changed; see :meth:`Orchestrator.undo`."""
    await services.open_journal()
    submit = services.engine.pool.submit
    events = history.to_undo(await submit(services.journal.events), mission_id)
    overview = history.overview(events)
    if task_id and task_id not in {task.id for task in overview.tasks}:
        raise RequestError(f"mission {overview.mission} has no task {task_id}")
    done: list[EditsReverted] = []
    for each in history.to_undo_in_turn(events, task_id) if task_id else [""]:
        reverted = await revert(services.engine, events, task_id=each)
        if reverted is not None:
            await _add(services, events, reverted)
            done.append(reverted)
    if not done:
        whose = f"task {task_id} of mission" if task_id else "mission"
        raise RequestError(f"{whose} {overview.mission} left nothing to undo")
    unrestored = tuple(note for reverted in done for note in reverted.unrestored)
    if not task_id:
        undone = MissionUndone(mission_id=overview.mission, unrestored=unrestored)
        await _add(services, events, undone)
    services.overviews.ended(await submit(history.overview, events))
    files = (change.new_path or change.path for reverted in done for change in reverted.changes)
    return UndoReport(
        mission=overview.mission,
        files_restored=tuple(dict.fromkeys(files)),
        unrestored=unrestored,
    )


async def _add(services: Services, events: list[AnyEvent], event: AnyEvent) -> None:
    """Tell and journal what comes after a mission's ``events``, and add it to them."""
    engine = services.engine
    placed = msgspec.structs.replace(event, sequence=events[-1].sequence + 1, at=engine.now())
    engine.listener.on_event(placed)
    await engine.record(placed)
    events.append(placed)
