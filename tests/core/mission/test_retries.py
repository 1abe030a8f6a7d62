"""What may pass is tried again, with pauses; what gets no better ends with that reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.config import Limits, Settings
from orchestrator_core.errors import AgentError, ToolCrashed, ToolRejected, ToolUnavailable
from orchestrator_core.events import TaskReviewed, TaskStarted
from orchestrator_core.records import MissionStatus, Task
from scripted_backend import Recorder, ScriptedBackend, orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.errors import OrchestratorError
    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.records import MissionReport

BROKEN = "def broken(:\n"


async def run(
    root: Path,
    backend: ScriptedBackend,
    limits: Limits | None = None,
    recorder: Recorder | None = None,
) -> tuple[MissionReport, list[float]]:
    """The report, and the pauses that were made."""
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    settings = Settings(limits=limits or Limits())
    async with orchestrator(root, backend, settings, recorder) as engine:
        engine._services.engine.sleep = sleep
        engine._services.engine.dice.seed(1)
        mission = await engine.start(request_for(Task("T1", "try")))
        async with asyncio.timeout(60):
            return await mission.wait(), pauses


async def breaks(context: TaskContext) -> None:
    context.draft.write("a.py", BROKEN)


@pytest.mark.parametrize(
    "error",
    [AgentError("busy", transient=True), ToolUnavailable("busy", transient=True), ToolCrashed("!")],
)
async def test_an_error_that_may_pass_is_tried_again(root: Path, error: OrchestratorError) -> None:
    tried = 0

    async def act(context: TaskContext) -> None:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise error
        context.draft.write("a.py", "value = 1\n")

    recorder = Recorder()
    report, pauses = await run(root, ScriptedBackend(act), recorder=recorder)
    assert report.status is MissionStatus.DONE, report.reason
    assert len(pauses) == 2
    attempts = [event.attempt for event in recorder.events if isinstance(event, TaskStarted)]
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("error", [AgentError("cannot"), ToolRejected("wrong")])
async def test_an_error_that_will_not_pass_is_not(root: Path, error: OrchestratorError) -> None:
    async def act(context: TaskContext) -> None:
        raise error

    report, pauses = await run(root, ScriptedBackend(act))
    assert report.status is MissionStatus.FAILED
    assert str(error) in report.reason
    assert pauses == []


async def test_pauses_grow_up_to_the_cap_and_attempts_end(root: Path) -> None:
    async def act(context: TaskContext) -> None:
        raise AgentError("still busy", transient=True)

    limits = Limits(attempts=5, retry_first_s=1.0, retry_cap_s=4.0)
    report, pauses = await run(root, ScriptedBackend(act), limits)
    assert report.status is MissionStatus.FAILED
    assert "still busy" in report.reason
    ceilings = [1, 2, 4, 4]
    assert len(pauses) == len(ceilings)
    assert all(0 <= pause <= most for pause, most in zip(pauses, ceilings, strict=True))
    assert len(set(pauses)) == len(pauses), "they are jittered"


async def test_work_is_mended_until_it_passes(root: Path) -> None:
    rounds = 0

    async def mend(context: TaskContext) -> bool:
        nonlocal rounds
        rounds += 1
        context.draft.write(f"b{rounds}.py", BROKEN)  # another finding: it does not stand still
        if rounds == 3:
            for path in ("a.py", "b1.py", "b2.py", "b3.py"):
                context.draft.write(path, "value = 1\n")
        return True

    report, _ = await run(root, ScriptedBackend(breaks, mend=mend), Limits(iterations=5))
    assert report.status is MissionStatus.DONE, report.reason
    assert rounds == 3
    assert (root / "a.py").read_text() == "value = 1\n"


async def test_no_more_rounds_than_are_set(root: Path) -> None:
    rounds = 0

    async def mend(context: TaskContext) -> bool:
        nonlocal rounds
        rounds += 1
        context.draft.write(f"b{rounds}.py", BROKEN)
        return True

    report, _ = await run(root, ScriptedBackend(breaks, mend=mend), Limits(iterations=4))
    assert report.status is MissionStatus.FAILED
    assert rounds == 3
    assert "stagnation" not in report.reason


@pytest.mark.parametrize("text", [BROKEN, "\n\n" + BROKEN])
async def test_the_same_findings_or_texts_twice_in_a_row_are_stagnation(
    root: Path, text: str
) -> None:
    rounds = 0

    async def mend(context: TaskContext) -> bool:
        nonlocal rounds
        rounds += 1
        context.draft.write("a.py", text)
        return True

    recorder = Recorder()
    backend = ScriptedBackend(breaks, mend=mend)
    report, _ = await run(root, backend, Limits(iterations=9), recorder)
    assert report.status is MissionStatus.FAILED
    assert rounds == 1
    assert "stagnation" in report.reason
    assert sum(isinstance(event, TaskReviewed) for event in recorder.events) == 1
    assert (root / "a.py").read_text() == "value = 0\n"
