"""A mission as a page that people read: what was asked, what was done, and the proof of it.

Everything on it is in the journal, which has the steps of a mission and no conversations: what a
model said, and which tools it called on the way, is not kept, and the page says so.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.events import (
    EditsApplied,
    EditsReverted,
    MissionAccepted,
    TaskDivided,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.mission.history import overview, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.history import MissionOverview
    from orchestrator_core.records import CheckResult, Receipt, Spent, Task, TaskReport

BUILTIN = "builtin"
# No more than what would be read as Markdown, for many read the page as it is written.
_SIGN = re.compile(
    r"(\\(?=[!-/:-@\[-`{-~])|[`*\[|]|(?<!\w)_|_(?!\w)|<(?=[A-Za-z/!?])|~(?=~)|&(?=#?\w+;))"
)
_TITLE = 100


class Transcript(Struct, frozen=True):
    """The page of a mission."""

    mission: str
    text: str


def page(events: Sequence[AnyEvent], task_id: str = "") -> str:
    """One mission, or one of its tasks, as Markdown.

    Args:
        events: the mission's, in order; the first accepted it.
        task_id: only this task; it is one of the mission's.
    """
    accepted = events[0]
    assert isinstance(accepted, MissionAccepted)
    mission, state = overview(list(events)), state_of(events)
    tasks = {task.id: task for task in state.plan.tasks} if state.plan else {}
    lines = [f"# {_plain(_first_line(mission.text))}", "", *_head(mission, accepted, state.spent)]
    for report in mission.tasks:
        if task_id in ("", report.id):
            own = [event for event in events if getattr(event, "task_id", None) == report.id]
            lines += ["", *_task(report, tasks.get(report.id), own)]
    if not task_id:
        whole = [each for each in events if isinstance(each, EditsReverted) and not each.task_id]
        lines += [f"\nThe mission was undone: {_step(each)}" for each in whole]
    if accepted.backend != BUILTIN:
        lines += ["", "*What the model said, and which tools it called, is not on record.*"]
    return "\n".join(lines) + "\n"


def _head(
    mission: MissionOverview, accepted: MissionAccepted, spent: Spent | None
) -> Iterator[str]:
    took = f" in {mission.duration_s:.1f} s" if mission.duration_s else ""
    begun = datetime.fromtimestamp(mission.started_at).astimezone()
    yield f"**{mission.status}**{took}, begun {begun:%Y-%m-%d %H:%M:%S %z}"
    yield ""
    yield f"- mission {_code(mission.mission)}, backend {accepted.backend}, mode {accepted.mode}"
    if accepted.plan_file:
        yield f"- plan {_code(accepted.plan_file)}"
    if mission.reason:
        yield f"- why: {_plain(mission.reason)}"
    if mission.files_changed:
        yield f"- changed {_paths(mission.files_changed)}"
    if spent is not None:
        yield (
            f"- spent {spent.tokens} tokens in {spent.requests} requests, {spent.money_usd:.4f} USD"
        )
    if "\n" in mission.text.strip():
        yield from ("", *_fenced(mission.text))


def _task(report: TaskReport, task: Task | None, events: Sequence[AnyEvent]) -> Iterator[str]:
    attempts = max((e.attempt for e in events if isinstance(e, TaskStarted)), default=0)
    title = f": {_plain(report.title)}" if report.title != report.id else ""
    yield f"## {_plain(report.id)}{title}"
    yield ""
    told = [f"**{report.status}**"]
    if report.duration_s:
        told.append(f"{report.duration_s:.1f} s")
    if attempts:
        told.append(f"{attempts} attempt{'s' * (attempts > 1)}")
    if task is not None and task.depends:
        told.append(f"after {', '.join(map(_plain, task.depends))}")
    yield " · ".join(told)
    yield ""
    yield from (f"- to do: {_code(step.text)}" for step in (task.steps if task else ()))
    if report.files:
        yield f"- changed {_paths(report.files)}"
    if report.reason:
        yield f"- why: {_plain(report.reason)}"
    yield from (f"- note: {_plain(note)}" for note in report.notes)
    first = next((event.at for event in events if isinstance(event, TaskStarted)), 0.0)
    for event in events:
        at = f"{max(0.0, event.at - first):.2f} s"
        if (step := _step(event)) is not None:
            yield f"- {at}: {step}"
        if isinstance(event, TaskReviewed):
            yield from _receipt(event.receipt)


def _step(event: AnyEvent) -> str | None:
    match event:
        case TaskStarted():
            return f"attempt {event.attempt} began"
        case TaskReviewed():
            tree = f", on the tree {_code(event.receipt.tree)}" if event.receipt.tree else ""
            return f"the checks {'passed' if event.receipt.passed else 'did not pass'}{tree}"
        case EditsApplied():
            return f"edited {_paths(change.new_path or change.path for change in event.changes)}"
        case EditsReverted():
            lost = f"; could not take back {_paths(event.unrestored)}" if event.unrestored else ""
            return f"took back {_paths(change.path for change in event.changes)}{lost}"
        case TaskDivided():
            return f"divided into {', '.join(_plain(part.id) for part in event.parts)}"
        case TaskFinished():
            return f"{event.state}{f': {_plain(event.reason)}' if event.reason else ''}"
        case _:
            return None


def _receipt(receipt: Receipt) -> Iterator[str]:
    if not receipt.checks:
        return
    yield ""
    yield "  | check | result | findings | time |"
    yield "  | --- | --- | --- | --- |"
    for check in receipt.checks:
        row = (_name(check), check.status, _counts(check), f"{check.duration_s * 1e3:.0f} ms")
        yield f"  | {' | '.join(row)} |"
    yield ""
    for check in receipt.checks:
        if check.details and check.status != "passed":
            yield f"  {_plain(check.name)}:"
            yield from (f"  {line}" for line in ("", *_fenced("\n".join(check.details)), ""))


def _name(check: CheckResult) -> str:
    ran = f" ({_code(check.command)})" if check.command else ""
    return f"{_plain(check.name)}{ran}"


def _counts(check: CheckResult) -> str:
    if check.exit_code:
        return f"exit code {check.exit_code}"
    return f"{check.before} → {check.after}" if check.before >= 0 else str(check.after)


def _paths(paths: Iterable[str]) -> str:
    return ", ".join(map(_code, paths)) or "nothing"


def _first_line(text: str) -> str:
    first = next(iter(text.strip().splitlines()), "")
    return first if len(first) <= _TITLE else first[: _TITLE - 1].rstrip() + "…"


def _plain(text: str) -> str:
    """Text of others on one line, none of it Markdown."""
    return _SIGN.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Text of others as a code span, which no backtick in it can end."""
    line = " ".join(text.split()).replace("|", "¦")
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _fenced(text: str) -> Iterator[str]:
    fence = "`" * max(3, _longest_run(text) + 1)
    yield f"{fence}text"
    yield from text.strip("\n").splitlines()
    yield fence


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
