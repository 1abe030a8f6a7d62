"""The built-in backend: plans from the verb language, works with the code tools, no model.

Planning ends with a preflight: patterns must compile, globs must match something, symbols must
exist. What can be known to fail is refused before anything has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.agents.grammar import check_step, parse_task, plan_from_text, shorten
from orchestrator_core.agents.verb_worker import VerbWorker
from orchestrator_core.agents.verbs import (
    Check,
    Fix,
    Format,
    Rename,
    Replace,
    Rewrite,
    Run,
    describe,
    patterns,
)
from orchestrator_core.errors import PlanError, TaskTextError, ToolRejected
from orchestrator_core.records import Mode, Plan, Problem, Step, Task, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator_core.agents.verbs import Verb
    from orchestrator_core.mission.agent import MissionRequest
    from orchestrator_core.tools.toolbox import Toolbox

NAME = "builtin"


class BuiltinBackend:
    """Planner and Worker of the verb language."""

    name = NAME
    modes = tuple(Mode)
    critic = None

    def __init__(self, toolbox: Toolbox) -> None:
        self.planner = VerbPlanner(toolbox)
        self.worker = VerbWorker()


class VerbPlanner:
    """Turns the verb language into a plan that is known to be able to start."""

    immediate = True

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    check_step = staticmethod(check_step)

    async def plan(self, request: MissionRequest) -> Plan:
        """Parse the request and look ahead; see :class:`~mission.agent.Planner`."""
        plan = request.plan or plan_from_text(request.text)
        if request.mode is Mode.FRACTAL and request.plan is None:
            plan = _as_one_task(plan)
        changed = False
        for task, verb in _verbs(plan):
            # What an earlier verb changes can make a later one possible.
            await self._preflight(task, verb, first=not changed)
            if isinstance(verb, Run):
                named_in = [request.plan_file] if request.plan_file else []
                self._toolbox.shell.require_trust(named_in)
            changed = changed or not isinstance(verb, Check | Format | Fix)
        return plan

    async def divide(self, task: Task, mission_id: str) -> tuple[Task, ...]:
        """One part for each step, or for each statement of a single step, in their order."""
        del mission_id  # it costs nothing
        texts = [step.text for step in task.steps] or [task.title]
        if len(texts) == 1:
            texts = [describe(statement.verb) for statement in parse_task(texts[0])]
        if len(texts) == 1:
            return ()
        return tuple(
            Task(
                id=str(number),
                title=shorten(text),
                steps=(Step(text),),
                depends=(str(number - 1),) if number > 1 else (),
            )
            for number, text in enumerate(texts, 1)
        )

    async def _preflight(self, task: Task, verb: Verb, *, first: bool) -> None:
        code = self._toolbox.code
        globs = verb.globs or task.files
        try:
            if first and globs and not await code.glob(patterns(globs)):
                raise TaskTextError(_no_match(globs))
            match verb:
                case Replace():
                    await code.replace(
                        verb.pattern,
                        verb.replacement,
                        paths=[_PROBE],
                        documents={_PROBE: ""},
                        literal=verb.literal,
                        word=verb.word,
                        ignore_case=verb.ignore_case,
                        multiline=verb.multiline,
                    )
                case Rewrite():
                    await self._preflight_rewrite(verb)
                case Rename() if first:
                    symbol = await self._toolbox.rename.find(verb.old, patterns(globs))
                    await self._toolbox.rename.rename(symbol, verb.new)
                case Fix(rules) if rules:
                    await self._toolbox.lint.fix(_PROBE, "pass\n", rules)
                case _:
                    pass
        except ToolRejected as error:
            raise TaskTextError(f"{task.title}: {error}") from error

    async def _preflight_rewrite(self, verb: Rewrite) -> None:
        await self._toolbox.code.rewrite(
            verb.pattern,
            verb.replacement,
            language=verb.language,
            paths=[_PROBE],
            documents={_PROBE: ""},
        )


_PROBE = "probe.py"
"""An empty text that a pattern is tried on: an error in the pattern shows there."""


def _as_one_task(plan: Plan) -> Plan:
    """All that was asked for as one task, to be divided when it begins."""
    steps = tuple(step for task in plan.tasks for step in task.steps)
    return Plan(title=plan.title, tasks=(Task(id="T1", title=plan.title, steps=steps),))


def _verbs(plan: Plan) -> Iterator[tuple[Task, Verb]]:
    problems: list[Problem] = []
    found: list[tuple[Task, Verb]] = []
    for task in plan.tasks:
        if task.state is TaskState.DONE:
            continue
        texts = [step.text for step in task.steps] or [task.title]
        for text in texts:
            try:
                found += [(task, statement.verb) for statement in parse_task(text)]
            except TaskTextError as error:
                problems.append(Problem(1, 1, f"{task.id}: {error}"))
    if problems:
        raise PlanError(problems)
    yield from found


def _no_match(globs: tuple[str, ...]) -> str:
    shown = ", ".join(globs)
    return (
        f"in {shown}: no file matches. Paths are relative to the workspace; files that "
        ".gitignore names are not looked at."
    )
