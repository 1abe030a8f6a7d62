"""What the tests of the journal share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.events import TaskStarted

if TYPE_CHECKING:
    from orchestrator_core.events import AnyEvent


def event(task: str = "T1", mission: str = "m") -> TaskStarted:
    return TaskStarted(mission_id=mission, task_id=task)


def names(events: tuple[AnyEvent, ...]) -> list[str]:
    return [e.task_id for e in events if isinstance(e, TaskStarted)]
