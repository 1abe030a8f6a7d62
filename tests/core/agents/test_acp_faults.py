"""What goes wrong on an agent's side: got over, or failed with a reason; nothing half changed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from acp_agent import rule, say, write
from orchestrator_core.agents.acp_desk import AcpDesk
from orchestrator_core.agents.permission_gate import Answer
from orchestrator_core.mission import plan_language
from orchestrator_core.mission.agent import MissionRequest
from orchestrator_core.primitives.backoff import Backoff
from orchestrator_core.records import MissionStatus, Mode, TaskState
from orchestrator_core.safety import Effect, PermissionRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from acp_agent import AgentScript
    from orchestrator_core.agents.permissions import Decision, ToolCall
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.records import MissionReport

    WithAgent = Callable[..., AbstractAsyncContextManager[tuple[Orchestrator, AgentScript]]]

WORKER = ("You are a Worker",)
PLAN = """# Mission: Greet
### T1: Add greet | depends: - | files: app.py, bin.dat, .opencode/**, .claude/**
- [ ] add a function greet
"""
BEFORE = "def total(items):\n    return sum(items)\n"
GREET = BEFORE + "\n\ndef greet(name):\n    return name\n"
WORK = [write("app.py", GREET), say("done")]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other quickly."""
    defaults = AcpDesk.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "backoff", lambda: Backoff(0.01, 0.02))


async def run(engine: Orchestrator) -> MissionReport:
    """A mission, to its end."""
    mission = await engine.start(request())
    return await asyncio.wait_for(mission.wait(), 50)


def request(mode: Mode = Mode.NORMAL) -> MissionRequest:
    """A request that needs no Planner."""
    return MissionRequest(plan=plan_language.parse(PLAN).plan, backend="acp", mode=mode)


def working(*answers: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """A script whose Worker answers so, the last answer for ever."""
    return (rule(*answers, match=WORKER, again=True),)


def some_in_soak(cases: Iterable[str], first: int) -> list[object]:
    """All cases, of which those after the first few are for `make soak`."""
    return [
        name if place < first else pytest.param(name, marks=pytest.mark.soak)
        for place, name in enumerate(cases)
    ]


PASSING: dict[str, list[dict[str, Any]]] = {
    "dies": [write("app.py", "half"), {"die": 3}],
    "writes garbage": [write("app.py", "half"), {"garbage": 1000}, {"pause": "never"}],
    "answers nonsense": [{"answer": {"stopReason": "because"}}],
    "dies at once": [{"die": 0}],
    "answers what is no object": [{"answer": 7}],
    "fails in passing": [{"error": {"code": -32603, "message": "overloaded"}}],
}


@pytest.mark.parametrize("fault", some_in_soak(PASSING, 3))
async def test_an_agent_that_fails_in_passing_is_asked_again(
    with_agent: WithAgent, project: Path, fault: str
) -> None:
    async with with_agent(*working(PASSING[fault], WORK), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_an_agent_that_falls_silent_is_given_up_and_asked_again(
    with_agent: WithAgent, project: Path
) -> None:
    rules = working([write("app.py", "half"), {"pause": "never"}], WORK)
    async with with_agent(*rules, review=False, silent_s=1.5) as (engine, script):
        report = await run(engine)
        assert len(script.pids) == 1
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_an_agent_that_hangs_for_good_is_replaced(
    with_agent: WithAgent, project: Path
) -> None:
    rules = working([{"deaf": "never"}], WORK)
    async with with_agent(*rules, review=False, silent_s=1.5) as (engine, script):
        report = await run(engine)
        assert len(script.pids) == 2
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_a_flood_on_stderr_blocks_nothing_and_takes_no_memory(
    with_agent: WithAgent,
) -> None:
    flood = [{"stderr": 20_000_000}, *WORK]
    before = psutil.Process().memory_info().rss
    async with with_agent(*working(flood), review=False) as (engine, _):
        report = await run(engine)
        grown = psutil.Process().memory_info().rss - before
    assert report.status is MissionStatus.DONE, report.reason
    assert grown < 300_000_000  # the SDK is imported; 20 MB more would not show, 2 GB would


async def test_an_agent_that_always_dies_fails_the_task_with_its_last_words(
    with_agent: WithAgent, project: Path
) -> None:
    dying = rule([{"stderr": 2000}, {"die": 9}], match=WORKER, again=True)
    async with with_agent(dying) as (engine, script):
        report = await run(engine)
        assert len(script.pids) >= 3
    assert report.status is MissionStatus.FAILED
    assert "ended with exit code 9" in report.reason
    assert "tried 3 times" in report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_an_agent_that_does_not_shake_hands_fails_the_mission(with_agent: WithAgent) -> None:
    dying = rule([{"die": 1}], match=("initialize",), again=True)
    async with with_agent(dying) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert "ended with exit code 1" in report.reason


async def test_an_agent_of_another_version_is_told_apart(with_agent: WithAgent) -> None:
    other = rule([{"answer": {"protocolVersion": 9}}], match=("initialize",), again=True)
    async with with_agent(other) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert "speaks version 9" in report.reason


async def test_an_agent_that_wants_a_login_says_so(with_agent: WithAgent) -> None:
    wants = {"error": {"code": -32000, "message": "Authentication required"}}
    async with with_agent(rule([wants], match=("session/new",), again=True)) as (engine, script):
        report = await run(engine)
        assert len(script.pids) == 1
    assert report.status is MissionStatus.FAILED
    assert "log in first" in report.reason


FINAL: dict[str, tuple[list[dict[str, Any]], str]] = {
    "refuses": ([say("I will not."), {"stop": "refusal"}], "refused the task: I will not."),
    "cannot": ([write("app.py", "half"), say("CANNOT: no such app")], "no such app"),
    "gives up": ([{"stop": "cancelled"}], "of its own accord"),
    "rejects": ([{"error": {"code": -32602, "message": "bad"}}], "failed (the turn): bad"),
}


@pytest.mark.parametrize("fault", some_in_soak(FINAL, 2))
async def test_what_will_not_go_well_fails_at_once(
    with_agent: WithAgent, project: Path, fault: str
) -> None:
    steps, reason = FINAL[fault]
    async with with_agent(*working(steps), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert reason in report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_an_agent_that_does_and_says_nothing_is_asked_again(with_agent: WithAgent) -> None:
    rules = (rule(WORK, match=("did and said nothing",)), *working([]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason


async def test_an_agent_that_stopped_at_a_limit_goes_on(
    with_agent: WithAgent, project: Path
) -> None:
    rules = (rule(WORK, match=("Go on where you stopped",)), *working([{"stop": "max_tokens"}]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_no_agent_writes_outside_its_copy(
    with_agent: WithAgent, project: Path, tmp_path: Path
) -> None:
    outside = [
        write(str(project / "app.py"), "broken"),
        write(str(tmp_path / "elsewhere"), "x"),
        {"run": f"rm -f {project / 'auth.py'}; ln {project / 'app.py'} here; echo x > ../../stray"},
    ]
    async with with_agent(*working([*outside, *WORK]), review=False) as (engine, script):
        await engine.trust()
        confined = "Landlock" in engine._services.engine.toolbox.shell.confinement.in_force()
        if not confined:
            pytest.skip("this system cannot confine an agent")
        report = await run(engine)
        writes = script.results("write")
    assert all("PermissionError" in result for result in writes[:2])
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET
    assert (project / "auth.py").exists()
    assert not (tmp_path / "elsewhere").exists()
    assert any("Landlock" in note for note in report.tasks[0].notes)


async def test_an_agent_that_works_on_the_workspace_itself_is_stopped(
    with_agent: WithAgent, project: Path
) -> None:
    target = str(project / "app.py")
    strays = [{"tool": "Edit", "kind": "edit", "path": target}, {"pause": "never"}]
    async with with_agent(*working(strays), review=False) as (engine, script):
        report = await run(engine)
        assert script.results("cancel")
    assert report.status is MissionStatus.FAILED
    assert "outside its copy of the workspace" in report.reason
    assert (project / "app.py").read_text() == BEFORE


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "a file of another task": (write("auth.py", "x = 1\n"), "auth.py"),
    "rules of agents": (write(".claude/settings.json", "{}"), "rules the agents themselves"),
    "a link in place of a file": ({"link": "app.py", "to": "/etc/passwd"}, "no regular file"),
    "settings of the editor": (write(".vscode/settings.json", "{}"), ".vscode/settings.json"),
    "a file that is gone": ({"delete": "auth.py"}, "auth.py"),
}


@pytest.mark.parametrize("change", some_in_soak(CHANGES, 3))
async def test_what_the_task_must_not_change_fails_it(
    with_agent: WithAgent, project: Path, change: str
) -> None:
    step, named = CHANGES[change]
    told = ("You changed what this task must not",)
    rules = (rule([say("I insist.")], match=told), *working([step, say("done")]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert "changed what it must not" in report.reason
    assert named in report.reason
    assert not (project / ".claude").exists()
    assert (project / "app.py").read_text() == BEFORE
    assert (project / "auth.py").exists()


async def test_what_an_agent_leaves_in_our_own_folder_is_dropped(
    with_agent: WithAgent, project: Path
) -> None:
    steps = [write(".opencode/agents/worker.md", "Obey."), *WORK]
    async with with_agent(*working(steps), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)
    assert not (project / ".opencode/agents").exists()
    assert any("not kept: .opencode" in note for note in report.tasks[0].notes)


async def test_what_was_changed_too_much_can_be_taken_back(
    with_agent: WithAgent, project: Path
) -> None:
    auth = (project / "auth.py").read_text()
    back = rule([write("auth.py", auth), say("done")], match=("Take that back", "auth.py"))
    rules = (back, *working([write("auth.py", "x = 1\n"), *WORK]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)


async def test_what_is_no_text_is_left_out_and_told(with_agent: WithAgent, project: Path) -> None:
    steps = [write("bin.dat", "a\0b"), *WORK]
    async with with_agent(*working(steps), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert not (project / "bin.dat").exists()
    assert any("bin.dat is binary" in note for note in report.tasks[0].notes)


@pytest.mark.parametrize(
    ("theirs", "after", "tries"),
    [
        ("# Theirs.\n" + BEFORE, "# Theirs.\n" + GREET, 1),
        (BEFORE + "\n\ntheirs = 1\n", GREET + "\n\ntheirs = 1\n", 2),
    ],
    ids=["elsewhere", "in the same place"],
)
async def test_what_others_change_meanwhile_is_merged_or_has_the_task_done_anew(
    with_agent: WithAgent, project: Path, theirs: str, after: str, tries: int
) -> None:
    wait = [{"pause": "edited"}, write("app.py", GREET), say("done")]
    again = [write("app.py", GREET + "\n\ntheirs = 1\n"), say("done")]
    async with with_agent(*working(wait, again), review=False) as (engine, script):
        running = asyncio.create_task(run(engine))
        await asyncio.to_thread(script.wait_for, "pause")
        (project / "app.py").write_text(theirs)
        script.release("edited")
        report = await running
        prompts = [p for p in script.prompts if p["what"] == "prompt"]
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == after
    assert len(prompts) == tries


class Person:
    """Answers questions, and keeps them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        """Answer."""
        del decision
        self.asked.append(call.summary)
        return self.answer


ASK = {"ask": "Run the tests", "kind": "execute", "command": "make test"}


@pytest.mark.parametrize("answer", [Answer.ONCE, Answer.NO])
async def test_the_person_is_asked_what_the_rules_do_not_settle(
    with_agent: WithAgent, answer: Answer
) -> None:
    person = Person(answer)
    async with with_agent(*working([ASK, *WORK], WORK), asker=person) as (engine, script):
        await engine.trust()
        await run(engine)
        said = script.results("ask")
    assert person.asked[0] == "run make test"
    assert (said[0] == "yes") == (answer is Answer.ONCE)


async def test_nobody_to_ask_means_no_and_the_agent_does_without(
    with_agent: WithAgent, project: Path
) -> None:
    async with with_agent(*working([ASK, *WORK]), review=False) as (engine, script):
        await engine.trust()
        report = await run(engine)
        said = script.results("ask")
    assert "reject_once" in said[0]
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_no_command_is_allowed_where_nobody_trusts_the_workspace(
    with_agent: WithAgent,
) -> None:
    allow = PermissionRule(Effect.ALLOW, tool="run", command="make *")
    rules = working([ASK, *WORK])
    async with with_agent(*rules, review=False, permissions=(allow,)) as (engine, script):
        report = await run(engine)
        said = script.results("ask")
    assert "reject_once" in said[0]
    assert any("nobody has trusted" in note for note in report.tasks[0].notes)


async def test_files_are_served_from_the_copy_and_under_the_rules(
    with_agent: WithAgent, project: Path
) -> None:
    (project / ".env").write_text("TOKEN=x\n")
    steps = [
        {"fs_read": "app.py"},
        {"fs_read": ".env"},
        {"read": ".env"},
        {"fs_read": str(project / "app.py")},
        {"fs_write": "app.py", "text": GREET},
        {"fs_write": "auth.py", "text": "x"},
        {"fs_write": "../stray.py", "text": "x"},
        {"fs_write": ".git/config", "text": "x"},
        say("done"),
    ]
    async with with_agent(*working(steps), review=False) as (engine, script):
        report = await run(engine)
        read, wrote = script.results("fs_read"), script.results("fs_write")
        on_disk = script.results("read")
    assert read[0] == BEFORE
    assert ".env is not" in read[1] or "was not allowed" in read[1]
    assert on_disk[0].startswith("FileNotFoundError"), "what it may not read is not in its copy"
    assert "outside the copy" in read[2]
    assert wrote[0] == "written"
    assert "not allowed" in wrote[1]
    assert all("outside the copy" in result for result in wrote[2:])
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)


async def test_a_task_fails_where_no_copy_can_be_made(
    with_agent: WithAgent, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orchestrator_core.agents.acp_worktree.WorkTree.fill", full)
    async with with_agent(*working(WORK), review=False) as (engine, script):
        report = await run(engine)
        assert not any(p["what"] == "prompt" for p in script.prompts)
    assert report.status is MissionStatus.FAILED
    assert "works nowhere else: [Errno 28] No space left on device" in report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_strict_mode_starts_no_agent_that_cannot_be_confined(
    with_agent: WithAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator_core.runtime.confinement import Confinement, ConfinementStatus

    def nothing(_: Confinement) -> ConfinementStatus:
        return ConfinementStatus()

    monkeypatch.setattr(Confinement, "_ask", nothing)
    async with with_agent(*working(WORK), confinement="strict") as (engine, script):
        report = await run(engine)
        assert script.pids == []
    assert report.status is MissionStatus.FAILED
    assert "cannot keep commands from" in report.reason


async def test_an_agent_that_dies_takes_what_it_started_with_it(with_agent: WithAgent) -> None:
    leaves = [{"run": "sleep 1000 >/dev/null 2>&1 & echo $!"}, {"die": 1}]
    async with with_agent(*working(leaves, WORK), review=False) as (engine, script):
        report = await run(engine)
        child = int(script.results("run")[0].split()[1])
    assert report.status is MissionStatus.DONE, report.reason
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(child).status() == psutil.STATUS_ZOMBIE


async def test_a_race_gives_each_runner_a_copy_and_keeps_one(
    with_agent: WithAgent, project: Path
) -> None:
    rules = working([{"pause": "never"}], WORK, [{"pause": "never"}])
    async with with_agent(*rules, review=False) as (engine, script):
        mission = await engine.start(request(Mode.RACE))
        report = await asyncio.wait_for(mission.wait(), 50)
        folders = {p["cwd"] for p in script.prompts if "You are a Worker" in p["text"]}
    assert report.status is MissionStatus.DONE, report.reason
    assert report.tasks[0].status is TaskState.DONE
    assert len(folders) >= 2
    assert (project / "app.py").read_text() == GREET
