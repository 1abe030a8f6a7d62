"""The report of each task, kept up with every event rather than made from all when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from orchestrator_core.events import (
    EditsApplied,
    EditsIntended,
    MissionAccepted,
    MissionPlanned,
    TaskDivided,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.records import TaskReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.state import MissionState
    from orchestrator_core.mission.task_store import TaskStatus
    from orchestrator_core.records import Receipt


class TaskReports:
    """The reports of one mission's tasks. Not thread-safe.

    To note an event takes constant time, but for plans; to answer takes time for the tasks that
    events were about since the last answer.

    Args:
        dry_run: files that would have changed count as changed.
    """

    def __init__(self, *, dry_run: bool = False) -> None:
        changing = EditsIntended if dry_run else EditsApplied
        changed: Callable[..., None] = TaskReports._changed
        self._noted = {**self._NOTED, changing: changed}
        self._reports: dict[str, TaskReport] = {}
        self._stale: dict[str, None] = {}
        self._files: dict[str, dict[str, None]] = {}
        self._receipts: dict[str, Receipt] = {}
        self._all_files: dict[str, None] = {}
        self._sorted_files: tuple[str, ...] = ()

    def note(self, event: AnyEvent) -> None:
        """Take note of what happened to a task."""
        noted = self._noted.get(type(event))
        if noted is not None:
            noted(self, event)

    def _moved(self, event: TaskStarted | TaskFinished) -> None:
        self._stale[event.task_id] = None

    def _reviewed(self, event: TaskReviewed) -> None:
        self._receipts[event.task_id] = event.receipt
        self._stale[event.task_id] = None

    def _planned(self, event: MissionPlanned) -> None:
        self._reports = {
            task.id: self._reports.get(task.id) or TaskReport(task.id, task.title, task.state)
            for task in event.plan.tasks
        }
        self._stale = dict.fromkeys(name for name in self._stale if name in self._reports)

    def _accepted(self, _: MissionAccepted) -> None:
        self._stale = dict.fromkeys(self._reports)  # what was cancelled is so no more

    def _divided(self, event: TaskDivided) -> None:
        reports: dict[str, TaskReport] = {}
        for task_id, report in self._reports.items():
            reports[task_id] = report
            if task_id == event.task_id:
                for part in event.parts:
                    reports[part.id] = TaskReport(part.id, part.title, part.state)
        self._reports = reports

    def _changed(self, event: EditsIntended | EditsApplied) -> None:
        files = self._files.setdefault(event.task_id, {})
        for change in event.changes:
            path = change.new_path or change.path
            files[path] = self._all_files[path] = None
        self._stale[event.task_id] = None

    def all(self, state: MissionState) -> tuple[TaskReport, ...]:
        """Each task of the plan, in its order, as ``state`` and the events noted have it."""
        for task_id in self._stale:
            self._reports[task_id] = _report(
                state.tasks[task_id], self._files.get(task_id, ()), self._receipts.get(task_id)
            )
        self._stale = {}
        return tuple(self._reports.values())

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that a task changed, sorted."""
        if len(self._sorted_files) != len(self._all_files):
            self._sorted_files = tuple(sorted(self._all_files))
        return self._sorted_files

    _NOTED: ClassVar[dict[type[AnyEvent], Callable[..., None]]] = {
        TaskStarted: _moved,
        TaskFinished: _moved,
        TaskReviewed: _reviewed,
        MissionPlanned: _planned,
        MissionAccepted: _accepted,
        TaskDivided: _divided,
    }


def task_reports(
    state: MissionState, events: Iterable[AnyEvent], *, dry_run: bool = False
) -> tuple[TaskReport, ...]:
    """Each task with the files that it changed (would change, in a dry run) and its receipt."""
    reports = TaskReports(dry_run=dry_run)
    for event in events:
        reports.note(event)
    return reports.all(state)


def report_now(task: TaskStatus, now: float) -> TaskReport:
    """One task of a mission that runs, as it is ``now`` (seconds since the epoch)."""
    files = (change.new_path or change.path for change in task.applied)
    return _report(task, files, task.receipt, now)


def _report(
    task: TaskStatus, files: Iterable[str], receipt: Receipt | None, now: float = 0.0
) -> TaskReport:
    ended = task.finished_at or now
    return TaskReport(
        id=task.id,
        title=task.title,
        status=task.state,
        files=tuple(sorted(files)),
        receipt=receipt,
        reason=task.reason,
        notes=task.notes,
        duration_s=round(max(0.0, ended - task.started_at), 3) if task.started_at else 0.0,
    )
