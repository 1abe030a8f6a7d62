"""What a person sees on a terminal: live progress, the report, missions and figures."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, cast

import msgspec
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table

from orchestrator_core.events import MissionPlanned, TaskFinished, TaskReviewed, TaskStarted
from orchestrator_core.mission.mission import outcome_of
from orchestrator_core.records import MissionStatus, Spent, TaskState

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from rich.console import Console

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import MissionProgress
    from orchestrator_core.mission.history import MissionOverview
    from orchestrator_core.mission_records import LastStats
    from orchestrator_core.records import CheckResult, MissionReport, TaskReport

_MARKS = {
    TaskState.DONE: ("✓", "green"),
    TaskState.FAILED: ("✗", "red"),
    TaskState.CANCELLED: ("-", "yellow"),
    TaskState.RUNNING: ("…", "cyan"),
    TaskState.PENDING: ("·", "dim"),
}
_STATUS_STYLE = {
    MissionStatus.DONE: "bold green",
    MissionStatus.FAILED: "bold red",
    MissionStatus.CANCELLED: "bold yellow",
}
_FILES_SHOWN = 20


class TerminalListener:
    """Shows a mission while it runs: a bar on a terminal, lines where there is none."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._titles: dict[str, str] = {}
        self._bar: Progress | None = None

    @contextlib.contextmanager
    def live(self, title: str) -> Generator[None]:
        """Show progress for as long as the context lasts."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[message]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        bar.add_task(title, total=1.0, message="")
        with bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Take the bar away for as long as the context lasts: the person is asked something."""
        bar = self._bar
        if bar is not None:
            bar.stop()
        try:
            yield
        finally:
            if bar is not None:
                bar.start()

    def on_event(self, event: AnyEvent) -> None:
        """Tell of a task's start, review and end."""
        if self._quiet:
            return
        match event:
            case MissionPlanned():
                self._titles = {task.id: task.title for task in event.plan.tasks}
            case TaskStarted():
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self._say(f"  … {self._name(event.task_id)}{again}", "cyan")
            case TaskReviewed():
                for check in event.receipt.checks:
                    self._say(f"    {describe_check(check)}", "dim")
            case TaskFinished():
                mark, style = _MARKS[event.state]
                why = f": {event.reason}" if event.reason else ""
                self._say(f"  {mark} {self._name(event.task_id)}{why}", style)
            case _:
                pass

    def on_progress(self, progress: MissionProgress) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0], completed=progress.fraction, message=progress.message
            )

    def on_notice(self, text: str) -> None:
        """Tell it, also where the rest is quiet: it goes to standard error."""
        self._say(text, "yellow")

    def on_stats(self, stats: dict[str, object]) -> None:
        """Figures are shown at the end."""

    def _name(self, task_id: str) -> str:
        return f"{task_id} {self._titles.get(task_id, '')}"

    def _say(self, text: str, style: str) -> None:
        self._console.print(text, style=style, markup=False)


def show_report(console: Console, report: MissionReport) -> None:
    """The end of a mission: what changed, what was checked, what the pools did."""
    if report.diff:
        console.print(Syntax(report.diff, "diff", theme="ansi_dark", background_color="default"))
    for task in report.tasks:
        _show_task(console, task)
    style = _STATUS_STYLE.get(report.status, "bold")
    console.print(f"mission {report.mission}: {outcome_of(report)}", style=style, markup=False)
    told = "\n".join(task.reason for task in report.tasks)
    for line in report.reason.splitlines():
        if line.partition("): ")[2] not in told:
            console.print(line, style=style, markup=False)
    if report.status is MissionStatus.DONE and report.files_changed and not report.dry_run:
        console.print(
            f"undo with: opencode-orchestrator undo {report.mission}", style="dim", markup=False
        )
    console.print(_figures(report), style="dim", markup=False)


def show_missions(console: Console, missions: Sequence[MissionOverview]) -> None:
    """The missions of a workspace, the newest first, with tasks and receipts."""
    if not missions:
        console.print("no mission has run here yet")
    for mission in missions:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(mission.started_at))
        style = _STATUS_STYLE.get(mission.status, "bold")
        console.print(f"{mission.mission}  {mission.status}", style=style, markup=False)
        console.print(f"  {when}  {mission.text}", style="dim", markup=False)
        for task in mission.tasks:
            _show_task(console, task)


def show_stats(console: Console, last: LastStats) -> None:
    """Figures as a table, a group a section."""
    if last.live is not None:
        console.print(
            f"a server works here now: {last.live.rss_bytes / 2**20:.0f} MiB, "
            f"{last.live.threads} threads, {last.live.children} child processes"
        )
    if not last.mission:
        console.print("no mission has ended here yet")
        return
    console.print(f"at the end of mission {last.mission}:")
    table = Table(show_header=False, box=None)
    for group, values in last.stats.items():
        if isinstance(values, dict):
            for name, value in cast("dict[str, object]", values).items():
                table.add_row(group, name, str(value))
        else:
            table.add_row(group, "", str(values))
    console.print(table)


def describe_check(check: CheckResult) -> str:
    """One line on a check and its result."""
    counts = ""
    if check.before >= 0:
        counts = f", findings {check.before} → {check.after}"
    by = f" ({check.command})" if check.command else ""
    return f"{check.name}{by}: {check.status}{counts}, {check.duration_s * 1000:.0f} ms"


def _show_task(console: Console, task: TaskReport) -> None:
    mark, style = _MARKS[task.status]
    console.print(f"  {mark} {task.id} {task.title}", style=style, markup=False)
    if task.reason:
        console.print(f"      {task.reason}", style=style, markup=False)
    for check in task.receipt.checks if task.receipt else ():
        console.print(f"      checked: {describe_check(check)}", style="dim", markup=False)
    for path in task.files[:_FILES_SHOWN]:
        console.print(f"      {path}", markup=False)
    if len(task.files) > _FILES_SHOWN:
        console.print(f"      … and {len(task.files) - _FILES_SHOWN} more files")
    for note in task.notes:
        console.print(f"      note: {note}", style="yellow", markup=False)


def _figures(report: MissionReport) -> str:
    workers = cast("dict[str, Any]", report.stats.get("workers", {}))
    tools = cast("dict[str, Any]", report.stats.get("tools", {}))
    spent = report.stats.get("spent")
    model = f"; model: {_spent(msgspec.convert(spent, Spent))}" if spent else ""
    return (
        f"{report.duration_s:.2f} s; pool: {workers.get('executed', 0)} jobs on "
        f"{workers.get('total', 0)} workers, {workers.get('stolen', 0)} stolen; "
        f"tools: {tools.get('calls', 0)} calls in {tools.get('processes', 0)} processes, "
        f"p50 {tools.get('p50Ms', 0)} ms{model}"
    )


def _spent(spent: Spent) -> str:
    """``12 requests, 34,567 tokens, $0.12``; what has no known price is not said to be free."""
    requests = f"{spent.requests} request{'s'[: spent.requests != 1]}"
    money = f", ${spent.money_usd:.2f}" if spent.money_usd else ""
    return f"{requests}, {spent.tokens:,} tokens{money}"
