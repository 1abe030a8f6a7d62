"""What happened in a mission, as the journal keeps it and notifications carry it.

Every event is a frozen Struct with its kind as the tag; the mission's state is a fold over
them (``mission.state``). New fields get a default, so that old journals stay readable.
"""

from __future__ import annotations

from msgspec import Struct

from orchestrator_core.records import (
    FileChange,
    MissionStatus,
    Mode,
    Plan,
    Receipt,
    SettledFile,
    Shortage,
    Spent,
    Task,
    TaskState,
)


class Event(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Root of all events.

    Attributes:
        mission_id: the mission that it belongs to.
        sequence: its place in that mission, from 1, without gaps.
        at: when, in seconds since the epoch.
    """

    mission_id: str
    sequence: int = 0
    at: float = 0.0


class MissionAccepted(Event, frozen=True, tag="accepted"):
    """A request became a mission, or one that its budget had stopped goes on with more.

    Attributes:
        plan_file: where its plan came from, if from a file.
        plan_text: what that file held: the base that later edits of it are merged from.
    """

    text: str
    mode: Mode = Mode.NORMAL
    backend: str = "builtin"
    dry_run: bool = False
    plan_file: str = ""
    plan_text: str = ""


class MissionPlanned(Event, frozen=True, tag="planned"):
    """The Planner's plan was accepted."""

    plan: Plan


class TaskDivided(Event, frozen=True, tag="taskDivided"):
    """The Planner divided a task that had not begun; it is done when its ``parts`` are."""

    task_id: str
    parts: tuple[Task, ...]


class TaskStarted(Event, frozen=True, tag="taskStarted"):
    """A worker took the task. ``attempt`` counts from 1."""

    task_id: str
    attempt: int = 1


class EditsIntended(Event, frozen=True, tag="editsIntended"):
    """The edits are about to be applied: written before the first byte changes."""

    task_id: str
    changes: tuple[FileChange, ...]


class EditsApplied(Event, frozen=True, tag="editApplied"):
    """The edits of a task reached the editor or the disk."""

    task_id: str
    changes: tuple[FileChange, ...]


class EditsReverted(Event, frozen=True, tag="editReverted"):
    """Edits of a task were taken back; ``unrestored`` names what could not be."""

    task_id: str
    changes: tuple[FileChange, ...]
    unrestored: tuple[str, ...] = ()


class TaskReviewed(Event, frozen=True, tag="review"):
    """The Reviewer's checks ran."""

    task_id: str
    receipt: Receipt


class TaskFinished(Event, frozen=True, tag="taskFinished"):
    """A task is done, failed or cancelled."""

    task_id: str
    state: TaskState
    reason: str = ""
    notes: tuple[str, ...] = ()


class BudgetSpent(Event, frozen=True, tag="spent"):
    """What the mission has spent on models so far; ``shortage`` is why it is stopped, if it is."""

    spent: Spent
    shortage: Shortage | None = None


class MissionFinished(Event, frozen=True, tag="done"):
    """The mission ended. ``stats`` has the pools' figures at that moment."""

    status: MissionStatus
    reason: str = ""
    duration_s: float = 0.0
    stats: dict[str, object] = {}


class MissionUndone(Event, frozen=True, tag="undone"):
    """A finished mission's edits were taken back on request."""

    unrestored: tuple[str, ...] = ()


class HunksSettled(Event, frozen=True, tag="hunksSettled"):
    """A person accepted hunks of what the mission changed, or had them taken back.

    Attributes:
        changes: what taking them back changed.
    """

    accepted: bool
    files: tuple[SettledFile, ...]
    changes: tuple[FileChange, ...] = ()


AnyEvent = (
    MissionAccepted
    | MissionPlanned
    | TaskDivided
    | TaskStarted
    | EditsIntended
    | EditsApplied
    | EditsReverted
    | TaskReviewed
    | TaskFinished
    | BudgetSpent
    | MissionFinished
    | MissionUndone
    | HunksSettled
)
