"""The built-in backend in the modes race and fractal, end to end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.agents.grammar import parse_task
from orchestrator_core.records import MissionStatus, Mode, TaskState
from scripted_backend import orchestrator

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.records import MissionReport

PLAN = """\
# Mission: Two things
### T1: Both
- [ ] replace "one" -> "two" in a.py then replace "two" -> "three" in a.py
- [ ] replace "b" -> "c" in b.py
### T2: After | depends: T1
- [ ] replace "three" -> "four" in a.py
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.py").write_text('value = "one"\n')
    (folder / "b.py").write_text('other = "b"\n')
    return folder


async def nobody(_: TaskContext) -> None:
    raise AssertionError("the built-in worker works")


async def run(root: Path, mode: Mode, text: str = "", *, dry_run: bool = False) -> MissionReport:
    async with orchestrator(root, nobody) as engine:
        if text:
            request = engine.plans.request(text, mode=mode, backend="builtin", dry_run=dry_run)
        else:
            request = await engine.plans.request_from_file("plan.md", mode=mode, backend="builtin")
        mission = await engine.start(request)
        async with asyncio.timeout(60):
            return await mission.wait()


@pytest.mark.parametrize("mode", Mode)
async def test_every_mode_leads_to_the_same_texts(root: Path, mode: Mode) -> None:
    text = 'replace "one" -> "two" in a.py then replace "two" -> "three" then format'
    report = await run(root, mode, text)
    assert report.status is MissionStatus.DONE, report.reason
    assert (root / "a.py").read_text() == 'value = "three"\n'


async def test_a_text_with_several_verbs_is_one_task_divided_into_their_steps(root: Path) -> None:
    report = await run(root, Mode.FRACTAL, "fix F in a.py then format in a.py then check")
    assert report.status is MissionStatus.DONE, report.reason
    assert [task.id for task in report.tasks] == ["T1", "T1/1", "T1/2", "T1/3"]
    assert all(parse_task(task.title) for task in report.tasks[1:])


async def test_a_rehearsal_divides_too(root: Path) -> None:
    text = 'replace "one" -> "two" then replace "two" -> "three"'
    report = await run(root, Mode.FRACTAL, text, dry_run=True)
    assert report.status is MissionStatus.DONE, report.reason
    assert '+value = "three"' in report.diff
    assert len(report.tasks) == 3


async def test_a_plan_files_task_is_divided_twice_and_ticked_as_a_whole(root: Path) -> None:
    (root / "plan.md").write_text(PLAN)
    report = await run(root, Mode.FRACTAL)
    assert report.status is MissionStatus.DONE, report.reason
    assert [task.id for task in report.tasks] == ["T1", "T1/1", "T1/1/1", "T1/1/2", "T1/2", "T2"]
    assert {task.status for task in report.tasks} == {TaskState.DONE}
    assert (root / "a.py").read_text() == 'value = "four"\n'
    assert (root / "b.py").read_text() == 'other = "c"\n'
    assert (root / "plan.md").read_text() == PLAN.replace("[ ]", "[x]")
