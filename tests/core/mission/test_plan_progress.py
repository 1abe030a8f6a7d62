"""The plan file shows how far its mission is, and what a person writes into it stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.config import Settings
from orchestrator_core.errors import AgentError, RequestError, StaleEdit
from orchestrator_core.mission.journal import Journal
from orchestrator_core.records import MissionStatus, Step, Task
from orchestrator_core.tools.trust import TrustStore
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.records import MissionReport
    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_core.workspace.edits import Change
    from scripted_backend import Act

PLAN = "# Mission: three\n### T1\n- [ ] one\n### T2 | depends: T1\n- [ ] two\n### T10\n- [ ] ten\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "plan.md").write_text(PLAN)
    return folder


async def run(root: Path, act: Act) -> MissionReport:
    async with orchestrator(root, act) as engine:
        request = await engine.plans.request_from_file("plan.md", backend="script")
        mission = await engine.start(request)
        async with asyncio.timeout(60):
            return await mission.wait()


async def until_written(file: Path, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in file.read_text():
            await asyncio.sleep(0.01)


async def test_tasks_are_ticked_while_it_runs_and_a_persons_lines_stay(root: Path) -> None:
    file = root / "plan.md"

    async def act(context: TaskContext) -> None:
        if context.task.id == "T2":
            await until_written(file, "### T1\n- [x] one\n### T2 | depends: T1\n- [/] two")
            file.write_text(file.read_text() + "\nA person's line.\n### T11\n- [ ] eleven\n")

    report = await run(root, act)

    assert report.status is MissionStatus.DONE, report.reason
    assert file.read_text() == (
        PLAN.replace("[ ]", "[x]") + "\nA person's line.\n### T11\n- [ ] eleven\n"
    )
    assert "T11 was added meanwhile" in report.reason


async def test_what_a_person_wrote_while_the_server_was_down_is_seen_when_it_resumes(
    root: Path,
) -> None:
    file = root / "plan.md"
    reached = asyncio.Event()

    async def act(context: TaskContext) -> None:
        if context.task.id == "T2" and not reached.is_set():
            await until_written(file, "### T1\n- [x] one\n### T2 | depends: T1\n- [/] two")
            reached.set()
            await asyncio.Event().wait()

    recorder = Recorder()
    async with orchestrator(root, act, listener=recorder) as engine:
        request = await engine.plans.request_from_file("plan.md", backend="script")
        mission = await engine.start(request)
        async with asyncio.timeout(60):
            await reached.wait()
        events, shown = list(recorder.events), file.read_text()
        mission.stop("cut")
        await mission.wait()

    for kept in (root / ".opencode").glob("state.db*"):
        kept.unlink()
    with Journal(root / ".opencode") as journal:
        for event in events:
            journal.append(event)
        journal.flush()
    file.write_text(shown.replace("### T10\n- [x] ten\n", "### T11\n- [ ] eleven\n") + "A line.\n")

    async with orchestrator(root, act) as engine:
        mission = await engine.resume()
        async with asyncio.timeout(60):
            report = await mission.wait()

    assert report.status is MissionStatus.DONE, report.reason
    assert "T11 was added meanwhile" in report.reason
    assert "T10 was taken out meanwhile" in report.reason
    assert "by hand" not in report.reason, "what was rendered before is nobody's edit"
    assert file.read_text().endswith("- [x] two\n### T11\n- [ ] eleven\nA line.\n")


async def test_a_plan_that_an_editor_has_open_is_ticked_there(root: Path) -> None:
    typed = PLAN + "\nTyped, not saved.\n"

    async def act(context: TaskContext) -> None:
        if context.task.id == "T2":
            async with asyncio.timeout(20):
                while "- [x] one" not in engine.workspace.read("plan.md").text:
                    await asyncio.sleep(0.01)
            text = engine.workspace.read("plan.md").text + "Typed meanwhile.\n"
            engine.workspace.changed("plan.md", text, 50)

    async with orchestrator(root, act) as engine:
        engine.workspace.opened("plan.md", typed, 1)
        engine._services.engine.applier = BufferApplier(engine.workspace)
        request = await engine.plans.request_from_file("plan.md", backend="script")
        mission = await engine.start(request)
        async with asyncio.timeout(60):
            report = await mission.wait()
        in_buffer = engine.workspace.read("plan.md").text

    assert report.status is MissionStatus.DONE, report.reason
    assert in_buffer == typed.replace("[ ]", "[x]") + "Typed meanwhile.\n"
    assert (root / "plan.md").read_text() == PLAN, "the file behind it is the person's to save"


async def test_a_new_plan_goes_into_the_buffer_and_what_was_typed_into_the_archive(
    root: Path,
) -> None:
    async def act(_: TaskContext) -> None:
        """Nothing is carried out."""

    plan_file = root / Settings().plan_file
    plan_file.parent.mkdir()
    plan_file.write_text(PLAN)
    typed = PLAN + "\nTyped, not saved.\n"
    async with orchestrator(root, act) as engine:
        applier = TypedMeanwhile(engine.workspace, "Typed meanwhile.\n")
        engine._services.engine.applier = applier
        engine.workspace.opened(engine.settings.plan_file, typed, 1)
        written = await engine.plans.write(request_for(Task("T9", "nine", (Step("nine"),))))
        in_buffer = engine.workspace.read(engine.settings.plan_file).text

    assert "### T9: nine | depends: -\n- [ ] nine\n" in in_buffer
    assert "Typed" not in in_buffer
    assert plan_file.read_text() == PLAN, "the file behind it is the person's to save"
    assert (root / written.replaced).read_text() == typed + "Typed meanwhile.\n"
    kept = {file.read_text() for file in (root / ".opencode" / "archive").iterdir()}
    assert kept == {typed, typed + "Typed meanwhile.\n"}


class BufferApplier:
    """An editor that has every file open; it refuses what was computed from an older text."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._version = 100

    async def apply(self, changes: Sequence[Change], *, label: str, confirm: bool = False) -> None:
        """Take the texts."""
        for change in changes:
            now = self._workspace.find(change.path)
            if now != change.before:
                raise StaleEdit(change.path)
            assert change.after_text is not None
            self._version += 1
            self._workspace.changed(change.path, change.after_text, self._version)


class TypedMeanwhile(BufferApplier):
    """An editor in which somebody types once, just before the first edit arrives."""

    def __init__(self, workspace: Workspace, text: str) -> None:
        super().__init__(workspace)
        self._text = text

    async def apply(self, changes: Sequence[Change], *, label: str, confirm: bool = False) -> None:
        """Take the texts, if nothing was typed."""
        text, self._text = self._text, ""
        if text:
            path = changes[0].path
            self._workspace.changed(path, self._workspace.read(path).text + text, 2)
        await super().apply(changes, label=label, confirm=confirm)


async def test_what_a_failed_mission_took_back_is_not_ticked(root: Path) -> None:
    async def act(context: TaskContext) -> None:
        if context.task.id == "T2":
            raise AgentError("cannot")
        context.draft.write(f"{context.task.id}.txt", "made")

    report = await run(root, act)

    assert report.status is MissionStatus.FAILED
    text = (root / "plan.md").read_text()
    assert text.startswith(PLAN.partition("### T10")[0].replace("[ ] two", "[!] two"))


async def test_only_what_is_not_done_is_run(root: Path) -> None:
    file = root / "plan.md"
    file.write_text(PLAN.replace("[ ] one", "[x] one").replace("[ ] two", "[!] two"))
    ran: list[str] = []

    async def act(context: TaskContext) -> None:
        ran.append(context.task.id)

    report = await run(root, act)

    assert report.status is MissionStatus.DONE, report.reason
    assert sorted(ran) == ["T10", "T2"]
    assert file.read_text() == PLAN.replace("[ ]", "[x]")
    with pytest.raises(RequestError, match="all tasks are done"):
        await run(root, act)


def test_ticks_do_not_end_the_trust_in_a_plan(tmp_path: Path) -> None:
    store, file = TrustStore(tmp_path / "trust.json"), tmp_path / "plan.md"
    file.write_text(PLAN)
    store.trust(tmp_path, ["plan.md"])
    file.write_text(PLAN.replace("[ ] one", "[x] one").replace("### T1\n", "### [/] T1\n"))
    assert store.is_trusted(tmp_path, ["plan.md"])
    file.write_text(PLAN.replace("one", "run rm -r ."))
    assert not store.is_trusted(tmp_path, ["plan.md"])
