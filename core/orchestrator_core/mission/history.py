"""The missions of a workspace as its journal tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import RequestError
from orchestrator_core.events import (
    EditsIntended,
    MissionAccepted,
    MissionFinished,
    MissionUndone,
    TaskDivided,
)
from orchestrator_core.mission.agent import MissionRequest
from orchestrator_core.mission.fold import fold, replay
from orchestrator_core.mission.standing import standing_edits
from orchestrator_core.mission.state import MissionState
from orchestrator_core.mission.task_reports import TaskReports
from orchestrator_core.records import MissionStatus, TaskReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator_core.events import AnyEvent


class MissionOverview(Struct, frozen=True):
    """A mission in ``status``.

    Attributes:
        started_at: seconds since the epoch.
        duration_s: 0 while it runs, or when it was cut short.
        plan_file: where its plan came from; empty if from a text.
    """

    mission: str
    text: str
    status: MissionStatus
    started_at: float
    duration_s: float
    reason: str
    tasks: tuple[TaskReport, ...]
    files_changed: tuple[str, ...]
    plan_file: str = ""


class TaskRecord(Struct, frozen=True):
    """What the newest mission that had a task says of it."""

    mission: str
    status: MissionStatus
    task: TaskReport


def by_mission(events: Iterable[AnyEvent]) -> dict[str, list[AnyEvent]]:
    """The events of each mission, missions in the order of their beginning."""
    missions: dict[str, list[AnyEvent]] = {}
    for event in events:
        missions.setdefault(event.mission_id, []).append(event)
    return missions


def overview(events: list[AnyEvent]) -> MissionOverview:
    """What a mission's events say of it."""
    accepted = events[0]
    assert isinstance(accepted, MissionAccepted)
    state, reports = MissionState(accepted.mission_id), TaskReports()
    for event in events:
        state = fold(state, event)
        reports.note(event)
    return overview_of(accepted, state, reports)


def overview_of(
    accepted: MissionAccepted, state: MissionState, reports: TaskReports
) -> MissionOverview:
    """What is known of a mission whose events are folded already."""
    return MissionOverview(
        mission=accepted.mission_id,
        text=accepted.text,
        status=state.status,
        started_at=accepted.at,
        duration_s=state.duration_s,
        reason=state.reason,
        tasks=reports.all(state),
        files_changed=reports.files,
        plan_file=accepted.plan_file,
    )


def request_of(events: Sequence[AnyEvent]) -> MissionRequest:
    """What a mission was asked to do, from its events."""
    accepted = events[0]
    assert isinstance(accepted, MissionAccepted)
    return MissionRequest(
        text=accepted.text,
        plan_file=accepted.plan_file,
        plan_text=accepted.plan_text,
        mode=accepted.mode,
        backend=accepted.backend,
        mission_id=accepted.mission_id,
    )


def to_undo(events: Iterable[AnyEvent], mission_id: str | None) -> list[AnyEvent]:
    """The events of the mission that an undo is about; by default the newest with edits.

    Raises:
        RequestError: there is no such mission, or it changed nothing.
    """
    missions = by_mission(events)
    if mission_id is not None:
        if mission_id not in missions:
            raise RequestError(f"there is no mission {mission_id}: `status` lists them")
        if not _has_edits(missions[mission_id]):
            raise RequestError(f"mission {mission_id} has no edits to take back")
        return missions[mission_id]
    for candidate in reversed(missions.values()):
        if _has_edits(candidate):
            return candidate
    raise RequestError("no mission has edits to take back")


def to_undo_in_turn(events: Iterable[AnyEvent], task_id: str) -> list[str]:
    """A task and its parts, if it was divided, as far as they changed something: the last first."""
    family, changed = {task_id}, dict[str, None]()
    for event in events:
        if isinstance(event, TaskDivided) and event.task_id in family:
            family.update(part.id for part in event.parts)
        elif isinstance(event, EditsIntended) and event.task_id in family:
            changed.pop(event.task_id, None)
            changed[event.task_id] = None
    return list(reversed(changed))


def state_of(events: Iterable[AnyEvent]) -> MissionState:
    """The state that the events of one mission lead to; there is at least one."""
    (state,) = replay(events).values()
    return state


def to_resume(
    events: Iterable[AnyEvent], mission_id: str | None, running: Iterable[str] = ()
) -> list[AnyEvent]:
    """The events of the mission that a resume is about.

    By default it is the newest that was cut short, or stopped by its budget.

    Raises:
        RequestError: there is none.
    """
    missions = by_mission(events)
    if mission_id is not None:
        missions = {name: each for name, each in missions.items() if name == mission_id}
    for name, candidate in reversed(missions.items()):
        if name not in running and (not _has_ended(candidate) or state_of(candidate).out_of_budget):
            return candidate
    raise RequestError(
        "no mission was cut short, or stopped by its budget"
        if mission_id is None
        else f"no mission {mission_id} was cut short, or stopped by its budget: `status` lists "
        "what there is"
    )


def to_retry(events: Iterable[AnyEvent], mission_id: str | None) -> MissionAccepted:
    """The mission that a retry is about; by default the newest that did not end well.

    Raises:
        RequestError: there is none.
    """
    for candidate in reversed(by_mission(events).values()):
        accepted, found = candidate[0], overview(candidate)
        assert isinstance(accepted, MissionAccepted)
        ended_badly = found.status in (MissionStatus.FAILED, MissionStatus.CANCELLED)
        if found.mission == mission_id or (mission_id is None and ended_badly):
            return accepted
    raise RequestError(
        "no mission failed or was stopped" if mission_id is None else f"no mission {mission_id}"
    )


def _has_ended(events: list[AnyEvent]) -> bool:
    """Whether a mission's events have its end, and none after which it goes on."""
    for event in reversed(events):
        if isinstance(event, MissionFinished | MissionUndone):
            return True
        if isinstance(event, MissionAccepted):
            return False
    return False


def _has_edits(events: list[AnyEvent]) -> bool:
    """Whether edits were made, or begun, that nobody took back."""
    return bool(standing_edits(events))
