"""Who plans and works: the protocols that every backend implements.

A backend brings a Planner and a Worker. The Planner turns a request into a plan; the Worker
carries out one task by changing a draft, never the workspace. Whether the draft's changes
count is not for an agent to say: the Reviewer checks them and the Commander applies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from orchestrator_core.records import CheckResult, Mode, Plan, Receipt, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator_core.errors import TaskTextError
    from orchestrator_core.runtime.worker_pool import WorkStealingPool
    from orchestrator_core.tools.toolbox import Toolbox
    from orchestrator_core.workspace.draft import Draft
    from orchestrator_core.workspace.edits import Change


class MissionRequest(Struct, frozen=True, kw_only=True):
    """What a person asks for.

    Attributes:
        text: the task in the verb language or plain words; empty where ``plan`` is given.
        plan: a plan that is carried out as it is.
        plan_file: where ``plan`` came from, relative to the workspace; its ticks are kept there.
        plan_text: what that file held when it was read.
        dry_run: nothing is changed; the report carries the diff.
        mission_id: the mission whose budget planning is charged to; empty for a plan alone.
    """

    text: str = ""
    plan: Plan | None = None
    plan_file: str = ""
    plan_text: str = ""
    mode: Mode = Mode.NORMAL
    backend: str = "builtin"
    dry_run: bool = False
    mission_id: str = ""


class Outcome(Struct, frozen=True):
    """What a Worker says of a task that it carried out.

    Attributes:
        notes: what the person should know: files left alone, mentions not renamed.
        checks: checks that ran as part of the work, for the receipt.
    """

    notes: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a Worker has for one task.

    Attributes:
        draft: the task's own view of the workspace; all changes go there.
        pool: where blocking work on single files goes.
        progress: tells how far the task is: files done, files in all.
        say: tells in a few words what the worker is doing.
        originals: the files that the mission has changed so far, with their texts from before
            it began; None for a file that it created. Blocks on the disk.
        scratch: the folder where commands get their copy of the workspace.
        plan_file: the workspace's file that the task was read from; empty if a person typed it.
        checks: the workspace's own check commands, each a shell line.
        timeout_s: how long a command may take.
        runner: which of several that do the same task side by side, from 0.
    """

    mission_id: str
    task: Task
    draft: Draft
    toolbox: Toolbox
    pool: WorkStealingPool
    progress: Callable[[int, int], None]
    originals: Callable[[], dict[str, str | None]]
    scratch: Path
    plan_file: str = ""
    checks: tuple[str, ...] = ()
    timeout_s: float = 600.0
    runner: int = 0
    say: Callable[[str], None] = lambda _: None


class Planner(Protocol):
    """Turns a request into a plan."""

    @property
    def immediate(self) -> bool:
        """Whether planning is quick enough to be done before the request is accepted."""
        ...

    def check_step(self, text: str) -> TaskTextError | None:
        """What is wrong with the text of a plan's step, or None."""
        ...

    async def divide(self, task: Task, mission_id: str) -> tuple[Task, ...]:
        """The tasks that together do what ``task`` is to do; asked in mode ``fractal`` only.

        Args:
            task: a task of the mission that has not begun.
            mission_id: the mission whose budget it is charged to.

        Returns:
            Empty where it is better done as one. Ids, and ``depends`` that name them, are the
            planner's own: the engine puts them below the task's id.

        Raises:
            AgentError: the planner itself failed.
        """
        ...

    async def plan(self, request: MissionRequest) -> Plan:
        """Make the plan.

        Raises:
            RequestError: the request cannot be carried out as written; nothing was changed.
            AgentError: the planner itself failed.
        """
        ...


class Worker(Protocol):
    """Carries out one task."""

    async def perform(self, context: TaskContext) -> Outcome:
        """Change ``context.draft`` until the task is done.

        Cancelling the coroutine stops the work, its tool calls included.

        Raises:
            AgentError: the task cannot be done; the message says why.
            ToolError: a tool failed.
        """
        ...

    async def repair(self, context: TaskContext, receipt: Receipt) -> bool:
        """Mend what the Reviewer did not pass, on the same draft.

        Returns:
            Whether the draft was changed, so that another review is worth it.

        Raises:
            AgentError, ToolError: as ``perform``.
        """
        ...


class Critic(Protocol):
    """Gives an opinion on work that the checks have passed."""

    async def judge(
        self, context: TaskContext, changes: Sequence[Change], receipt: Receipt
    ) -> CheckResult:
        """Read the diff and the receipt of its checks.

        Returns:
            A check: ``failed`` fails the task; ``unverified`` where no opinion could be had.

        Raises:
            AgentError: the critic itself failed.
        """
        ...


class Backend(Protocol):
    """A planner and a worker under one name, and perhaps a critic."""

    @property
    def name(self) -> str:
        """What ``--backend`` and ``orchestrator.backend`` call it."""
        ...

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that it knows."""
        ...

    @property
    def planner(self) -> Planner:
        """Who plans."""
        ...

    @property
    def worker(self) -> Worker:
        """Who works."""
        ...

    @property
    def critic(self) -> Critic | None:
        """Who reads what the checks have passed; None: the checks alone decide."""
        ...
