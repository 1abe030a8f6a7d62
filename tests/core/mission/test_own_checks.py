"""The workspace's own checks are part of every task's gate, where somebody trusts them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_core.config import Settings
from orchestrator_core.mission import own_checks
from orchestrator_core.mission.own_checks import copy_of
from orchestrator_core.records import CheckResult, MissionStatus, Task, TaskReport
from orchestrator_core.workspace.scratch import ScratchCopy
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext

CHECK = "grep -q good value.txt"
LEAVES = "echo ran > ran.txt && grep -q good value.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "value.txt").write_text("good\n")
    (workspace / "other.txt").write_text("as it was\n")
    return workspace


async def carried_out(
    root: Path, path: str, text: str, *checks: str, trusted: bool = True
) -> tuple[MissionStatus, TaskReport]:
    async def work(context: TaskContext) -> None:
        context.draft.write(path, text)

    async with orchestrator(root, work, Settings(checks=checks)) as engine:
        if trusted:
            await engine.trust()
        report = await (await engine.start(request_for(Task("T1", "work")))).wait()
    return report.status, report.tasks[0]


def own(task: TaskReport) -> list[CheckResult]:
    assert task.receipt is not None
    return [check for check in task.receipt.checks if check.name == "run"]


async def test_what_the_checks_pass_is_taken(root: Path) -> None:
    status, task = await carried_out(root, "other.txt", "changed\n", CHECK, LEAVES)
    assert status is MissionStatus.DONE
    assert [(check.command, check.status, check.exit_code) for check in own(task)] == [
        (CHECK, "passed", 0),
        (LEAVES, "passed", 0),
    ]
    assert task.receipt is not None
    assert {check.tree for check in own(task)} == {task.receipt.tree}
    assert (root / "other.txt").read_text() == "changed\n"
    assert not (root / "ran.txt").exists()


async def test_what_they_do_not_pass_never_reaches_the_workspace(root: Path) -> None:
    status, task = await carried_out(root, "value.txt", "bad\n", CHECK)
    assert status is MissionStatus.FAILED
    assert [check.status for check in own(task)] == ["failed"]
    assert "exit code 1" in task.reason
    assert (root / "value.txt").read_text() == "good\n"


async def test_a_check_that_fails_anyway_says_nothing(root: Path) -> None:
    (root / "value.txt").write_text("bad before\n")
    status, task = await carried_out(root, "other.txt", "changed\n", CHECK)
    assert status is MissionStatus.DONE
    assert [check.status for check in own(task)] == ["unverified"]
    assert "without this task's changes" in own(task)[0].details[0]


async def test_nothing_runs_where_nobody_trusts_it(root: Path) -> None:
    status, task = await carried_out(root, "value.txt", "bad\n", CHECK, trusted=False)
    assert status is MissionStatus.DONE
    assert [check.status for check in own(task)] == ["unverified"]


async def test_a_task_that_changes_nothing_needs_no_check(root: Path) -> None:
    status, task = await carried_out(root, "value.txt", "good\n", "exit 1")
    assert status is MissionStatus.DONE
    assert own(task) == []


async def test_the_verb_names_the_texts_that_it_saw(root: Path) -> None:
    async def work(_: TaskContext) -> None:
        """The built-in backend does it."""

    (root / "value.py").write_text("value = 1\n")
    async with orchestrator(root, work, Settings(checks=("true",))) as engine:
        await engine.trust()

        async def seen(text: str = "check in *.py") -> str:
            report = await (
                await engine.start(engine.plans.request(text, backend="builtin"))
            ).wait()
            receipt = report.tasks[0].receipt
            assert receipt is not None
            (tree,) = {check.tree for check in receipt.checks}
            return tree

        first = await seen()
        assert await seen() == first != ""
        engine.workspace.opened("value.py", "value = 2\n", 1)
        unsaved = await seen()
        assert unsaved != first
        (root / "other.txt").write_text("it does not look at this\n")
        assert await seen() == unsaved
        assert await seen("run true") != ""


async def test_a_stop_while_a_copy_is_made_leaves_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, go_on, removed = threading.Event(), threading.Event(), threading.Event()

    class Slow(ScratchCopy):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.set()
            go_on.wait(30)

        def remove(self) -> None:
            super().remove()
            removed.set()

    monkeypatch.setattr(own_checks, "ScratchCopy", Slow)
    scratch: list[Path] = []

    async def work(context: TaskContext) -> None:
        scratch.append(context.scratch)
        async with copy_of(context, {}):
            pass

    async with orchestrator(root, work) as engine:
        mission = await engine.start(request_for(Task("T1", "work")))
        assert await asyncio.to_thread(made.wait, 30)
        mission.stop("enough")
        assert (await mission.wait()).status is MissionStatus.CANCELLED
        assert list(scratch[0].iterdir())
        go_on.set()
        assert await asyncio.to_thread(removed.wait, 30)
        assert not list(scratch[0].iterdir())
