"""The real agents through our ACP backend, on a scripted model. By ``make test-agents``.

Whoever wants to talk to anything but loopback is sent to the scripted model as its proxy, which
refuses and tells.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from agents.conftest import BEFORE, FILES
from agents.vendors import NEW, VENDORS, Vendor
from orchestrator_core.agents.agent_choice import found
from orchestrator_core.config import AgentSettings, ModelSettings, Settings
from orchestrator_core.events import TaskStarted
from orchestrator_core.records import MissionStatus, TaskState
from orchestrator_core.safety import BudgetLimits, Effect, PermissionRule
from scripted_backend import Recorder, opened
from scripted_model import ModelProcess, rule, say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.records import MissionReport

    Answer = dict[str, Any]
    Opened = tuple[Orchestrator, ModelProcess]

DEADLINE_S = 1000
"""An agent works with low priority: beside much other work it takes minutes."""

FOUR = """# Mission: Four
### T1: One | depends: - | files: one.py
- [ ] change it
### T2: Two | depends: - | files: two.py
- [ ] change it
### T3: Three | depends: - | files: three.py
- [ ] change it
### T4: Four | depends: - | files: four.py
- [ ] change it
### T5: Five | depends: T1, T2, T3, T4 | files: five.py
- [ ] change it
"""
ONE = "# Mission: One\n### T1: One | depends: - | files: one.py\n- [ ] change it\n"
WORKER = ("You are a Worker",)
PLANNER = ("You are the Planner",)
PASSES = rule(say("PASS"), match=("You are the Reviewer",), again=True)


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.name)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Each agent in turn."""
    chosen: Vendor = request.param
    if isinstance(found(AgentSettings(chosen.name), Path("/"), lambda _: True, os.environ), str):
        pytest.skip(f"{chosen.name} is not installed: there is no package of it for this system")
    return chosen


@pytest.fixture(autouse=True)
def _installed(home: Path) -> None:
    """The agents are on the path before any is looked for."""
    del home


def work(vendor: Vendor, task: str, name: str, *first: Answer) -> Answer:
    """What a Worker does, with the agent's own tools."""
    return rule(*first, *vendor.edit(name), say("Changed."), match=(*WORKER, f"Task {task}:"))


@asynccontextmanager
async def mission_room(
    vendor: Vendor,
    root: Path,
    home: Path,
    *rules: Answer,
    listener: Recorder | None = None,
    review: bool = True,
    allowed: tuple[str, ...] = (),
    **settings: Any,
) -> AsyncGenerator[Opened]:
    """The project's orchestrator on an agent on a scripted model; nothing may be left of it."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with (
        ModelProcess(root.parent, *vendor.chores, *rules) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        address = process.base_url.removesuffix("/v1")
        for name, value in vendor.set_up(home, address).items():
            patch.setenv(name, value)
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
            patch.setenv(name, address)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1")
        agent = found(AgentSettings(vendor.name), root, lambda _: True, os.environ)
        assert not isinstance(agent, str), agent
        made = Settings(
            backend="acp",
            agent=AgentSettings(command=vendor.name),
            model=ModelSettings(review=review),
            permissions=tuple(
                PermissionRule(Effect.ALLOW, tool="run", command=command)
                for command in (*vendor.reads, *allowed)
            ),
            **settings,
        )
        async with opened(root, made, listener) as engine:
            await engine.trust()
            yield engine, process
        children = psutil.Process().children(recursive=True)
        left = [child.cmdline() for child in children if child.pid not in before]
        assert [line for line in left if "scripted_model.py" not in " ".join(line)] == []
        async with asyncio.timeout(30):
            while process.log()["active"]:
                await asyncio.sleep(0.01)
        assert process.log()["outside"] == []
    strays = [file for file in home.rglob("*") if file.is_file() and not _of(agent.writes, file)]
    assert [file for file in strays if file.name != "opencode.json"] == []
    assert not list((root.parent / f"{root.name}-state/cache").rglob("agents/*"))


def _of(places: Iterable[Path], file: Path) -> bool:
    return any(file == place or file.is_relative_to(place) for place in places)


async def run(engine: Orchestrator) -> MissionReport:
    """A mission, to its end."""
    mission = await engine.start(engine.plans.request("change it all"))
    report = await asyncio.wait_for(mission.wait(), DEADLINE_S)
    print(f"\n{report.status} {report.reason} {report.duration_s:.1f} s {report.stats['spent']}")
    for task in report.tasks:
        print(task.id, task.status, task.notes)
    return report


def bodies(process: ModelProcess, *texts: str) -> list[str]:
    """The requests in which all these texts occur."""
    sent = [json.dumps(request["body"]) for request in process.requests]
    return [body for body in sent if all(text in body for text in texts)]


def at_work(process: ModelProcess, vendor: Vendor) -> bool:
    """Whether a Worker's turn has reached the model; its chores may come before."""
    chores = [text for chore in vendor.chores for text in chore["match"]]
    return any(not any(text in body for text in chores) for body in bodies(process, *WORKER))


async def until(held: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not held():
            await asyncio.sleep(0.05)


def test_doctor_finds_it(vendor: Vendor, root: Path) -> None:
    (root / "pyproject.toml").write_text('[tool.opencode-orchestrator]\nbackend = "acp"\n')
    line = [Path(sys.executable).with_name("opencode-orchestrator"), "doctor", "--json"]
    environment = {**os.environ, "OPENCODE_ORCHESTRATOR_AGENT": vendor.name}
    done = subprocess.run(
        line, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    findings = {entry["name"]: entry for entry in json.loads(done.stdout)["checks"]}
    print(findings["backend in use"])
    assert findings["backend in use"]["ok"]
    assert f"acp: {vendor.name}: " in findings["backend in use"]["detail"]


async def test_it_plans_works_side_by_side_and_reviews(
    vendor: Vendor, root: Path, home: Path
) -> None:
    names = dict(zip(("T1", "T2", "T3", "T4", "T5"), FILES, strict=True))
    works = [work(vendor, task, name) for task, name in names.items()]
    rules = (rule(say(FOUR), match=PLANNER), *works, PASSES)
    async with mission_room(vendor, root, home, *rules) as (engine, process):
        report = await run(engine)
        # Four work at once; the fifth task is done in a session that has been used before.
        assert bodies(process, "This is a new task", "Task T5:")
        assert bodies(process, *WORKER, "def total(items):"), "it could read a file"
    assert report.status is MissionStatus.DONE, report.reason
    assert set(report.files_changed) == set(FILES)
    assert all(NEW in (root / name).read_text() for name in FILES)
    for task in report.tasks:
        assert task.receipt is not None
        assert task.receipt.checks[-1].name == "review"
        assert task.receipt.checks[-1].status == "passed"
    spent: Any = report.stats["spent"]
    assert spent["tokens"] > 1000


@pytest.mark.parametrize("allowed", [False, True])
async def test_what_it_asks_to_run_is_for_the_rules_to_say(
    vendor: Vendor, root: Path, home: Path, allowed: bool
) -> None:
    rules = (work(vendor, "T1", "one.py", vendor.run("chmod -v 644 one.py")), rule(say(ONE)))
    may = ("chmod *",) if allowed else ()
    async with mission_room(vendor, root, home, *rules, review=False, allowed=may) as (
        engine,
        process,
    ):
        report = await run(engine)
        assert bool(bodies(process, "as 0644 (rw-r--r--)")) == allowed
    assert report.status is MissionStatus.DONE, report.reason
    refused = "run chmod -v 644 one.py was not allowed"
    assert any(refused in note for note in report.tasks[0].notes) != allowed


async def test_stopping_in_mid_stream_leads_to_silence(
    vendor: Vendor, root: Path, home: Path
) -> None:
    talk = rule(say("word " * 5000, chunk_s=0.01), match=WORKER, again=True)
    listener = Recorder()
    rules = (rule(say(FOUR), match=PLANNER), talk)
    async with mission_room(vendor, root, home, *rules, listener=listener) as (engine, process):
        mission = await engine.start(engine.plans.request("change it all"))
        await listener.until(TaskStarted, DEADLINE_S)
        await until(lambda: at_work(process, vendor))
        mission.stop("enough")
        report = await asyncio.wait_for(mission.wait(), 60)
        await until(lambda: not process.log()["active"])
    assert report.status is MissionStatus.CANCELLED
    assert {task.status for task in report.tasks} == {TaskState.CANCELLED}
    assert {(root / name).read_text() for name in FILES} == {BEFORE}


async def test_an_agent_that_is_killed_in_mid_turn_is_started_anew(
    vendor: Vendor, root: Path, home: Path
) -> None:
    talk = rule(say("word " * 5000, chunk_s=0.01), match=(*WORKER, "Task T1:"))
    rules = (talk, work(vendor, "T1", "one.py"), rule(say(ONE)))
    async with mission_room(vendor, root, home, *rules, review=False) as (engine, process):
        mission = await engine.start(engine.plans.request("change it all"))
        await until(lambda: at_work(process, vendor))
        agents = [
            child
            for child in psutil.Process().children()
            if "theirs" in child.cwd() and child.status() != psutil.STATUS_ZOMBIE
        ]
        assert len(agents) == 1
        agents[0].send_signal(signal.SIGKILL)
        report = await asyncio.wait_for(mission.wait(), DEADLINE_S)
    assert report.status is MissionStatus.DONE, report.reason
    assert NEW in (root / "one.py").read_text()


async def test_without_a_key_it_says_how_to_log_in(vendor: Vendor, root: Path, home: Path) -> None:
    if not vendor.keyless:
        pytest.skip("it takes its key from its configuration")
    async with mission_room(vendor.without_key(), root, home, rule(say(ONE))) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert "wants you to log in first: run `" in report.reason


async def test_its_turns_are_held_by_the_budget(vendor: Vendor, root: Path, home: Path) -> None:
    rules = (rule(say(ONE), match=PLANNER), work(vendor, "T1", "one.py"), PASSES)
    limits = BudgetLimits(requests=1)
    async with mission_room(vendor, root, home, *rules, budget=limits) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.CANCELLED, report.reason
    assert "budget of 1 requests" in report.reason
    async with mission_room(vendor, root, home, *rules[1:]) as (engine, _):
        again = await asyncio.wait_for((await engine.resume()).wait(), DEADLINE_S)
    assert again.mission == report.mission
    assert again.status is MissionStatus.DONE, again.reason
