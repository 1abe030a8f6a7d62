"""The real OpenCode through our ACP backend, on a scripted model. By ``make test-agents``."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from orchestrator_core.config import AgentSettings, Settings
from orchestrator_core.events import TaskStarted
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.records import MissionStatus, TaskState
from orchestrator_core.safety import BudgetLimits
from orchestrator_core.services import Services
from scripted_backend import Recorder
from scripted_model import ModelProcess, call, rule, say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator_core.records import MissionReport

INSTALLED = Path(os.environ["TEST_AGENTS"]).absolute()
PROGRAMS = INSTALLED / "npm" / "node_modules" / "opencode-linux-x64" / "bin"
DEADLINE_S = 500
"""It works with low priority: beside much other work it takes minutes."""

BEFORE = "def total(items):\n    return sum(items)\n"
PLAN = """# Mission: Two
### T1: One | depends: - | files: one.py
- [ ] change one
### T2: Two | depends: - | files: two.py
- [ ] change two
"""
WORKER = ("You are a Worker",)
TITLES = rule(say("A title"), match=("title generator",), again=True)
PLANS = rule(say(PLAN), match=("You are the Planner",))
PASSES = rule(say("PASS"), match=("You are the Reviewer",), again=True)


def work(task: str, name: str, *more: dict[str, Any]) -> dict[str, Any]:
    """What a Worker does, with OpenCode's own tools."""
    edit = call("edit", filePath=name, oldString="sum(items)", newString="sum(items, 0)")
    answers = (call("read", filePath=name), edit, *more, say("Changed."))
    return rule(*answers, match=(*WORKER, f"Task {task}:"))


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, with OpenCode on its path."""
    if not PROGRAMS.is_dir() and shutil.which("opencode") is None:
        pytest.skip("OpenCode is not installed: there is no package of it for this system")
    home = tmp_path / "home"
    for variable, folder in {
        "HOME": "",
        "XDG_CONFIG_HOME": ".config",
        "XDG_DATA_HOME": ".local/share",
        "XDG_STATE_HOME": ".local/state",
        "XDG_CACHE_HOME": ".cache",
    }.items():
        (home / folder).mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(variable, str(home / folder))
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OPENCODE_CONFIG", str(home / "opencode.json"))
    monkeypatch.setenv("OPENCODE_DISABLE_MODELS_FETCH", "1")
    monkeypatch.setenv("npm_config_offline", "true")  # it would look for plugins that nobody needs
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    return home


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("one.py", "two.py"):
        (folder / name).write_text(BEFORE)
    return folder


@asynccontextmanager
async def opened(
    root: Path,
    home: Path,
    process: ModelProcess,
    *,
    budget: BudgetLimits | None = None,
    listener: Recorder | None = None,
) -> AsyncGenerator[Orchestrator]:
    """The project's orchestrator, on OpenCode, on the scripted model; nothing may be left of it."""
    (home / "opencode.json").write_text(json.dumps(_configuration(process.base_url)))
    settings = Settings(
        backend="acp", agent=AgentSettings(command="opencode"), budget=budget or BudgetLimits()
    )
    places = Places.of(root, state=root.parent / "state", cache=root.parent / "cache")
    services = await Services.open(root, settings, listener or Recorder(), places=places)
    engine = Orchestrator(services)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        yield engine
    finally:
        await engine.close()
    left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert not left, [child.cmdline() for child in left]
    assert not [path for path in places.scratch.rglob("*") if path.is_file()]
    assert process.log()["active"] == 0


def _configuration(base_url: str) -> dict[str, Any]:
    model = {"name": "S", "limit": {"context": 32000, "output": 4000}, "tool_call": True}
    options = {"baseURL": base_url, "apiKey": "x"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options}
    return {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "model": "loop/scripted",
        "small_model": "loop/scripted",
        "enabled_providers": ["loop"],
        "provider": {"loop": {**provider, "models": {"scripted": model}}},
        "lsp": False,
        "formatter": False,
    }


async def run(engine: Orchestrator) -> MissionReport:
    """A mission, to its end."""
    mission = await engine.start(engine.plans.request("change both"))
    return await asyncio.wait_for(mission.wait(), DEADLINE_S)


def bodies(process: ModelProcess, *texts: str) -> list[str]:
    """The requests in which all these texts occur."""
    sent = [json.dumps(request["body"]) for request in process.requests]
    return [body for body in sent if all(text in body for text in texts)]


async def test_it_plans_works_side_by_side_and_reviews(
    tmp_path: Path, root: Path, house: Path
) -> None:
    rules = (TITLES, PLANS, work("T1", "one.py"), work("T2", "two.py"), PASSES)
    with ModelProcess(tmp_path, *rules) as process:
        async with opened(root, house, process) as engine:
            report = await run(engine)
    print(f"\n{report.status} in {report.duration_s:.1f} s; {report.stats.get('spent')}")
    for task in report.tasks:
        print(task.id, task.status, task.notes)
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("one.py", "two.py")
    assert all("sum(items, 0)" in (root / name).read_text() for name in ("one.py", "two.py"))
    for task in report.tasks:
        assert task.receipt is not None
        assert task.receipt.checks[-1].name == "review"
        assert task.receipt.checks[-1].status == "passed"


async def test_what_it_asks_to_run_is_refused_where_nobody_allows_it(
    tmp_path: Path, root: Path, house: Path
) -> None:
    mark = tmp_path / "ran"
    runs = call("bash", command=f"touch {mark}", description="leave a mark")
    rules = (TITLES, PLANS, work("T1", "one.py", runs), work("T2", "two.py"), PASSES)
    with ModelProcess(tmp_path, *rules) as process:
        async with opened(root, house, process) as engine:
            report = await run(engine)
    print(f"\n{report.status}: {report.reason}")
    assert not mark.exists()
    assert report.status in (MissionStatus.DONE, MissionStatus.FAILED)
    if report.status is MissionStatus.FAILED:
        assert {(root / name).read_text() for name in ("one.py", "two.py")} == {BEFORE}


async def test_stopping_in_mid_stream_leads_to_silence(
    tmp_path: Path, root: Path, house: Path
) -> None:
    talk = rule(say("word " * 5000, chunk_s=0.01), match=WORKER, again=True)
    listener = Recorder()
    with ModelProcess(tmp_path, TITLES, PLANS, talk) as process:
        async with opened(root, house, process, listener=listener) as engine:
            mission = await engine.start(engine.plans.request("change both"))
            await listener.until(TaskStarted, DEADLINE_S)
            async with asyncio.timeout(DEADLINE_S):
                while not bodies(process, *WORKER):
                    await asyncio.sleep(0.05)
            mission.stop("enough")
            report = await asyncio.wait_for(mission.wait(), 30)
            async with asyncio.timeout(30):
                while process.log()["active"]:
                    await asyncio.sleep(0.01)
    assert report.status is MissionStatus.CANCELLED
    assert {task.status for task in report.tasks} == {TaskState.CANCELLED}
    assert {(root / name).read_text() for name in ("one.py", "two.py")} == {BEFORE}


async def test_its_turns_are_held_by_the_budget(tmp_path: Path, root: Path, house: Path) -> None:
    rules = (TITLES, PLANS, work("T1", "one.py"), work("T2", "two.py"), PASSES)
    with ModelProcess(tmp_path, *rules) as process:
        async with opened(root, house, process, budget=BudgetLimits(requests=1)) as engine:
            report = await run(engine)
        async with opened(root, house, process) as engine:
            again = await asyncio.wait_for((await engine.resume()).wait(), DEADLINE_S)
    print(f"\n{report.reason}\n{again.stats.get('spent')}")
    assert report.status is MissionStatus.CANCELLED, report.reason
    assert "budget of 1 requests" in report.reason
    assert again.mission == report.mission
    assert again.status is MissionStatus.DONE, again.reason
