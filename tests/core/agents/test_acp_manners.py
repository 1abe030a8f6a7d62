"""How agents that are known are spoken to: their modes, their ways to authenticate, their notices."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from acp_agent import AgentScript, rule, say
from core.agents.acp_tasks import WORK, run, working
from orchestrator_core.agents.acp_connection import AgentConnection
from orchestrator_core.agents.agent_choice import found
from orchestrator_core.agents.known_agents import KNOWN, STRANGER, Manners
from orchestrator_core.config import AgentSettings
from orchestrator_core.errors import LoginNeeded
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from core.agents.conftest import OpenWithAgent

HELLO = {"protocolVersion": 1, "agentCapabilities": {}, "authMethods": [{"id": "key", "name": "K"}]}
GREETS = rule([{"answer": HELLO}], match=("initialize",))
WANTS = {"error": {"code": -32000, "message": "Authentication required"}}
NONE: Mapping[str, str] = {}
MANNERS = Manners(("careful", "default"), {"key": ("A_KEY", "B_KEY")}, "run `agent login`")


def begins(mode: str, *offered: str) -> dict[str, Any]:
    """What an agent answers that begins a session in a mode."""
    modes = [{"id": name, "name": name} for name in offered]
    state = {"currentModeId": mode, "availableModes": modes}
    return {"answer": {"sessionId": "s1", "modes": state}}


@asynccontextmanager
async def connected(
    tmp_path: Path,
    *rules: dict[str, Any],
    manners: Manners = MANNERS,
    env: Mapping[str, str] = NONE,
) -> AsyncGenerator[tuple[AgentConnection, AgentScript]]:
    """A connection to an agent that follows these rules."""
    with AgentScript(*rules) as script:
        connection = await AgentConnection.open(
            "scripted",
            script.command.split(),
            cwd=tmp_path,
            env={**os.environ, **env},
            manners=manners,
        )
        try:
            yield connection, script
        finally:
            await connection.close()


@pytest.mark.parametrize(
    ("now", "offered", "wanted"),
    [
        ("auto", ("auto", "default", "careful"), "careful"),
        ("auto", ("auto", "default"), "default"),
        ("careful", ("auto", "careful"), None),
        ("auto", ("auto", "yolo"), None),
    ],
)
async def test_a_session_is_put_into_a_mode_in_which_the_agent_asks(
    tmp_path: Path, now: str, offered: tuple[str, ...], wanted: str | None
) -> None:
    new = rule([begins(now, *offered)], match=("session/new",))
    async with connected(tmp_path, new) as (connection, script):
        assert await connection.new_session(tmp_path) == "s1"
        chosen = [params["modeId"] for params in script.results("session/set_mode")]
    assert chosen == ([wanted] if wanted else [])


async def test_an_agent_of_which_nothing_is_known_keeps_its_mode(tmp_path: Path) -> None:
    new = rule([begins("auto", "auto", "default")], match=("session/new",))
    async with connected(tmp_path, new, manners=STRANGER) as (connection, script):
        await connection.new_session(tmp_path)
        assert script.results("session/set_mode") == []


async def test_a_key_of_the_environment_is_used_where_the_agent_wants_a_login(
    tmp_path: Path,
) -> None:
    new = rule([WANTS], [begins("default")], match=("session/new",))
    async with connected(tmp_path, GREETS, new, env={"B_KEY": "secret"}) as (connection, script):
        assert await connection.new_session(tmp_path) == "s1"
        assert script.results("authenticate") == [{"methodId": "key"}]


@pytest.mark.parametrize("keys", [{}, {"A_KEY": ""}, {"OTHER_KEY": "secret"}])
async def test_without_a_key_it_is_told_how_to_log_in(tmp_path: Path, keys: dict[str, str]) -> None:
    new = rule([WANTS], match=("session/new",), again=True)
    async with connected(tmp_path, GREETS, new, env=keys) as (connection, script):
        with pytest.raises(LoginNeeded, match="log in first: run `agent login`"):
            await connection.new_session(tmp_path)
        assert script.results("authenticate") == []


async def test_a_way_that_the_agent_does_not_offer_is_not_taken(tmp_path: Path) -> None:
    new = rule([WANTS], match=("session/new",), again=True)
    async with connected(tmp_path, new, env={"A_KEY": "secret"}) as (connection, script):
        with pytest.raises(LoginNeeded):
            await connection.new_session(tmp_path)
        assert script.results("authenticate") == []


@pytest.mark.parametrize("code", [-32000, 401, 403])
async def test_a_model_that_knows_nobody_is_asked_once(
    with_agent: OpenWithAgent, code: int
) -> None:
    unknown = {"error": {"code": code, "message": "invalid key"}}
    async with with_agent(*working([unknown])) as (engine, script):
        report = await run(engine)
        assert len([p for p in script.prompts if p["what"] == "prompt"]) == 1
    assert report.status is MissionStatus.FAILED
    assert "log in first" in report.reason


async def test_agents_are_told_that_notices_are_no_part_of_the_answer(
    with_agent: OpenWithAgent,
) -> None:
    notice = {"notice": "Model metadata not found"}
    async with with_agent(*working([notice, say("CANNOT: no such app")])) as (engine, script):
        report = await run(engine)
        hello = script.results("hello")[0]
    assert hello["clientCapabilities"]["session"] == {"notices": {}}
    assert "no such app" in report.reason


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"quota": {"token_count": {"input_tokens": 4000, "output_tokens": 21}}}, 4021),
        ({"quota": {"token_count": {"input_tokens": "many"}}}, None),
    ],
)
async def test_tokens_that_an_agent_does_not_count_are_reckoned(
    with_agent: OpenWithAgent, told: dict[str, Any], tokens: int | None
) -> None:
    end = {"answer": {"stopReason": "end_turn", "_meta": told}}
    async with with_agent(*working([*WORK, end]), review=False) as (engine, script):
        report = await run(engine)
        sent = len(next(p["text"] for p in script.prompts if p["what"] == "prompt"))
    spent: Any = report.stats["spent"]
    assert spent["tokens"] == tokens if tokens else 0 < spent["tokens"] < sent


async def test_an_agent_that_gives_up_when_it_is_refused_is_told_to_do_without(
    with_agent: OpenWithAgent, project: Path
) -> None:
    asks = {"ask": "Run", "kind": "execute", "command": "make test", "gives_up": True}
    rules = (rule(WORK, match=("You were refused",)), *working([asks, *WORK]))
    async with with_agent(*rules, review=False) as (engine, script):
        report = await run(engine)
        told = [entry["text"] for entry in script.prompts if entry["what"] == "prompt"]
    assert report.status is MissionStatus.DONE, report.reason
    assert "You were refused" in told[-1]
    assert "greet" in (project / "app.py").read_text()


@pytest.mark.parametrize(
    ("name", "variable"), [("claude-code", "CLAUDE_CONFIG_DIR"), ("codex", "CODEX_HOME")]
)
def test_an_agent_may_write_where_its_folder_was_moved(
    tmp_path: Path, name: str, variable: str
) -> None:
    program = next(known.commands[0][0] for known in KNOWN if known.name == name)
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    moved = tmp_path / "elsewhere"
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), variable: str(moved)}
    agent = found(AgentSettings(name), tmp_path, lambda _: True, environment)
    assert not isinstance(agent, str)
    assert moved in agent.writes
    assert moved in agent.makes
    assert not [place for place in agent.writes if place.parent == tmp_path and place != moved]
