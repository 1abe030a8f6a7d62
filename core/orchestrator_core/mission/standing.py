"""Which of a mission's edits stand, as its events tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.events import (
    EditsApplied,
    EditsIntended,
    EditsReverted,
    MissionAccepted,
    MissionUndone,
    TaskStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.records import FileChange


class StandingEdits(Struct):
    """Edits of a task that were made, or may have been, and that nobody took back.

    Attributes:
        sequence: of the event that says so: that they were made, or were about to be.
        applied: whether the journal says that they were made.
        superseded: whether the task was begun again without them, as far as is known.
    """

    task_id: str
    changes: tuple[FileChange, ...]
    sequence: int = 0
    applied: bool = False
    superseded: bool = False


def standing_edits(events: Iterable[AnyEvent]) -> list[StandingEdits]:
    """The edits of one mission that stand, in order; ``events`` are its own."""
    standing: list[StandingEdits] = []
    open_intents: dict[str, StandingEdits] = {}
    for event in events:
        match event:
            case MissionAccepted(dry_run=True):
                return []
            case TaskStarted():
                if event.task_id in open_intents:
                    open_intents.pop(event.task_id).superseded = True
            case EditsIntended():
                if event.task_id in open_intents:
                    open_intents[event.task_id].superseded = True
                edits = StandingEdits(event.task_id, event.changes, event.sequence)
                open_intents[event.task_id] = edits
                standing.append(edits)
            case EditsApplied():
                edits = open_intents.pop(event.task_id, None)
                if edits is None or edits.changes != event.changes:
                    edits = StandingEdits(event.task_id, event.changes)
                    standing.append(edits)
                edits.applied = True
                edits.sequence = event.sequence
            case EditsReverted():
                standing = _left_by(event, standing)
                open_intents = {e.task_id: e for e in standing if not (e.applied or e.superseded)}
            case MissionUndone():
                standing = []  # what could not be restored was told, and the person let it be
            case _:
                pass
    return standing


def _left_by(event: EditsReverted, standing: Iterable[StandingEdits]) -> list[StandingEdits]:
    """What still stands after edits were taken back: others', and what could not be restored."""
    left: list[StandingEdits] = []
    for edits in standing:
        if event.task_id in ("", edits.task_id):
            changes = tuple(
                change
                for change in edits.changes
                if any(note.startswith(f"{change.path}: ") for note in event.unrestored)
            )
            if not changes:
                continue
            edits.changes = changes
        left.append(edits)
    return left
