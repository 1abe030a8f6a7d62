"""The records that journal, engine and front ends share: typed, frozen, without behaviour.

All are msgspec Structs: small, quick to encode, and free of reference cycles. Paths are
relative to the workspace with forward slashes. Offsets into text count characters (code
points); lines and columns that people see are 1-based.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct


class TaskState(StrEnum):
    """Where a task stands. ``done``, ``failed`` and ``cancelled`` are final within one attempt."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class MissionStatus(StrEnum):
    """Where a mission stands."""

    PLANNING = "planning"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDONE = "undone"


class Mode(StrEnum):
    """How tasks are carried out: once; k times with the first good one taken; or split further."""

    NORMAL = "normal"
    RACE = "race"
    FRACTAL = "fractal"


class Problem(Struct, frozen=True, gc=False):
    """Something wrong in a text, at a place (1-based; ``end_column`` is exclusive)."""

    line: int
    column: int
    message: str
    end_line: int = 0
    end_column: int = 0
    severity: Literal["error", "warning"] = "error"


class Step(Struct, frozen=True, gc=False):
    """One line of work in a task, in the verb language or in plain words for a model."""

    text: str
    state: TaskState = TaskState.PENDING


class Task(Struct, frozen=True, gc=False):
    """A node of the plan.

    Attributes:
        id: unique in the plan, matched whole.
        depends: ids of tasks that must be done before.
        files: globs that the task is limited to; empty means the whole workspace.
        agent: the role that carries it out.
        group: tasks with the same group were marked as parallel by the plan's author.
        parts: ids of the tasks that it was divided into: it is done when they are.
        depth: how often tasks were divided to get to it.
    """

    id: str
    title: str
    steps: tuple[Step, ...] = ()
    depends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    agent: str = "worker"
    milestone: str = ""
    group: str = ""
    state: TaskState = TaskState.PENDING
    parts: tuple[str, ...] = ()
    depth: int = 0


class Plan(Struct, frozen=True):
    """What a mission will do: tasks in a graph of dependencies."""

    title: str
    tasks: tuple[Task, ...]


class FoundAt(Struct, frozen=True, gc=False):
    """Where a failed check found something, in the text that the file had before the task.

    Attributes:
        line: 1-based, as is ``column``, which counts characters.
        sha256: the hash of that text, where the task would have changed it; what was found is not
            in the workspace then, for the change was not made.
    """

    path: str
    line: int
    column: int
    message: str
    sha256: str = ""


class CheckResult(Struct, frozen=True, gc=False):
    """One check that the server itself ran.

    Attributes:
        status: ``unverified`` when the check could not run; never counted as passed.
        before: findings in the baseline, or -1 where there is none.
        after: findings after the change.
        tree: hash of the texts that the check saw.
        found: the places among ``details``, where it failed.
    """

    name: str
    status: Literal["passed", "failed", "unverified"]
    command: str = ""
    exit_code: int = 0
    before: int = -1
    after: int = 0
    duration_s: float = 0.0
    tree: str = ""
    details: tuple[str, ...] = ()
    found: tuple[FoundAt, ...] = ()


class Receipt(Struct, frozen=True, gc=False):
    """The proof that a task was reviewed: the checks that ran, on which tree."""

    task_id: str
    passed: bool
    checks: tuple[CheckResult, ...]
    tree: str = ""


class FileChange(Struct, frozen=True, gc=False):
    """One applied change, as the journal keeps it.

    Attributes:
        kind: ``rename`` has ``new_path`` and may change the text as well.
        before: SHA-256 of the file's bytes before; empty for a created file.
        after: SHA-256 of the file's bytes after; empty for a deleted file.
        mode: permission bits before; None for a created file, or where they are not known.
        new_mode: permission bits that the change sets; None where it leaves them.
        made_folders: how many of the folders above a new place are made for it.
    """

    path: str
    kind: Literal["modify", "create", "delete", "rename"]
    before: str = ""
    after: str = ""
    new_path: str = ""
    mode: int | None = None
    new_mode: int | None = None
    made_folders: int = 0


class Spent(Struct, frozen=True, rename="camel", gc=False):
    """What a mission has spent on models, and what is reserved by calls that have not ended.

    Attributes:
        tokens: sent and received together.
        money_usd: in US dollars, as far as prices are known.
        requests: calls of a model.
        seconds: in which it was carried out.
        agents: at work now.
        peak_agents: the most that were at work at once.
    """

    tokens: int = 0
    money_usd: float = 0.0
    requests: int = 0
    seconds: float = 0.0
    agents: int = 0
    peak_agents: int = 0
    reserved_tokens: int = 0
    reserved_money_usd: float = 0.0


class Shortage(Struct, frozen=True, gc=False):
    """What a budget lacked when it stopped a mission.

    Attributes:
        measure: as in the settings: ``tokens``, ``moneyUsd``, ``seconds`` …
        more: how much of it, beyond what was spent, the call needed that was not made.
    """

    measure: str
    more: float = 0.0


class SettledFile(Struct, frozen=True, gc=False):
    """Hunks of one file that a person accepted or rejected.

    Attributes:
        path: where the file was; for one that the mission had deleted, where it had been.
        before: SHA-256 of its bytes at the time; empty where there was none.
        after: SHA-256 of its bytes afterwards; empty where there is none.
        spans: the lines of each hunk in what it held before, from 0, the end exclusive.
        whole: what the mission had done to the file as a whole, if that was settled.
    """

    path: str
    before: str = ""
    after: str = ""
    spans: tuple[tuple[int, int], ...] = ()
    whole: Literal["", "create", "delete", "rename"] = ""


class TaskReport(Struct, frozen=True, gc=False):
    """A task in a mission's result.

    Attributes:
        duration_s: of its latest attempt; 0 where none has begun, or one was cut short.
    """

    id: str
    title: str
    status: TaskState
    files: tuple[str, ...] = ()
    receipt: Receipt | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    duration_s: float = 0.0


class MissionReport(Struct, frozen=True):
    """A mission's result: what ``task --json`` prints and ``/task`` with ``wait`` answers."""

    mission: str
    status: MissionStatus
    tasks: tuple[TaskReport, ...]
    files_changed: tuple[str, ...]
    duration_s: float
    stats: dict[str, object]
    reason: str = ""
    dry_run: bool = False
    diff: str = ""
