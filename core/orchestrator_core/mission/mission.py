"""A mission as its callers hold it: identity, state, stop, and the report at its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator_core.mission.fold import fold
from orchestrator_core.mission.state import MissionState
from orchestrator_core.mission.task_reports import TaskReports
from orchestrator_core.mission.task_store import TaskStore
from orchestrator_core.records import MissionReport, MissionStatus, Task, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import MissionRequest
    from orchestrator_core.mission.task_pool import TaskPool
    from orchestrator_core.mission.task_store import TaskStatus

TITLE_LENGTH = 60


class Mission:
    """One mission. Lives on the event loop; not thread-safe.

    Attributes:
        id: unique in the workspace.
        title: the first line of what was asked, shortened.
        state: the fold of its events; its tasks' records are given back at the end.
        events: all of them, in order.
        reports: of its tasks, as the events tell them.
    """

    def __init__(self, mission_id: str, request: MissionRequest, tasks: TaskPool) -> None:
        self.id = mission_id
        self.request = request
        self.title = _shorten(request.plan.title if request.plan else request.text)
        self.state = MissionState(mission_id)
        self.events: list[AnyEvent] = []
        self.reports = TaskReports(dry_run=request.dry_run)
        self.stop_reason: str | None = None
        self.on_stop: Callable[[str], None] | None = None
        self._pool = tasks
        self._records: dict[int, TaskStatus] = {}
        self._report: asyncio.Future[MissionReport] = asyncio.get_running_loop().create_future()

    def add(self, event: AnyEvent) -> None:
        """Take note of an event."""
        self.events.append(event)
        self.state = fold(self.state, event, self._new_tasks)
        self.reports.note(event)
        if event.at:
            self.state.tasks.archive(event.at, self._give_back)

    def stop(self, reason: str) -> bool:
        """Ask the mission to end; it is over when :meth:`wait` returns.

        Returns:
            Whether it was still running.
        """
        if self.ended or self.stop_reason is not None:
            return False
        self.stop_reason = reason
        if self.on_stop is not None:
            self.on_stop(reason)
        return True

    @property
    def ended(self) -> bool:
        """Whether the report is there."""
        return self._report.done()

    @property
    def report(self) -> MissionReport:
        """The report; only once the mission has ended."""
        return self._report.result()

    async def wait(self) -> MissionReport:
        """Wait for the end. Cancelling the wait does not stop the mission."""
        return await asyncio.shield(self._report)

    async def over(self) -> None:
        """Wait for the end, with or without a report."""
        await asyncio.wait([self._report])

    def finish(self, report: MissionReport) -> None:
        """Set the report, once."""
        self._report.set_result(report)
        self._let_go()

    def crash(self, error: BaseException) -> None:
        """The mission ended without a report; whoever waits for it gets the error."""
        self._report.set_exception(error)
        self._let_go()

    def _new_tasks(self, tasks: Sequence[Task]) -> list[TaskStatus]:
        records = self._pool.new(tasks)
        self._records.update((id(record), record) for record in records)
        return records

    def _let_go(self) -> None:
        """Give the tasks' records back: what is told of the mission from now on is its report."""
        records, self._records = self._records, {}
        self.state.tasks = TaskStore()
        self._pool.take_back(list(records.values()))

    def _give_back(self, record: TaskStatus) -> None:
        """A record whose task was archived; one that came back from there is not the pool's."""
        if self._records.pop(id(record), None) is not None:
            self._pool.take_back([record])

    @property
    def outcome(self) -> str:
        """How it went, to be shown beside its title."""
        if not self.ended:
            return "running"
        if (error := self._report.exception()) is not None:
            return f"failed: {error}"
        line = outcome_of(self.report)
        return f"{line}: {self.report.reason}" if self.report.reason else line


def build_report(
    mission: Mission, *, duration_s: float, stats: dict[str, object], diff: str = ""
) -> MissionReport:
    """The result that front ends show, from the mission's events."""
    state = mission.state
    tasks = mission.reports.all(state)
    changed = () if state.status is MissionStatus.FAILED else tasks
    return MissionReport(
        mission=mission.id,
        status=state.status,
        tasks=tasks,
        files_changed=tuple(sorted({path for task in changed for path in task.files})),
        duration_s=duration_s,
        stats=stats,
        reason=state.reason,
        dry_run=mission.request.dry_run,
        diff=diff,
    )


def outcome_of(report: MissionReport) -> str:
    """How a mission went, without its title and its reason."""
    files = len(report.files_changed)
    counted = f"{files} file{'s' if files != 1 else ''}"
    match report.status:
        case MissionStatus.DONE if report.dry_run:
            return f"would change {counted}"
        case MissionStatus.DONE:
            return f"done, {counted} changed"
        case MissionStatus.CANCELLED:
            return f"stopped, {counted} changed before"
        case _:
            undone = any(task.status is TaskState.DONE and task.files for task in report.tasks)
            return f"failed{', its edits were undone' if undone else ''}"


def _shorten(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "")
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"
