"""Sessions of one agent: how many, how often they are used, and when they are closed."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from acp_agent import AgentScript, rule, say
from orchestrator_core.agents.acp_connection import AgentConnection
from orchestrator_core.agents.acp_rooms import Rooms
from orchestrator_core.agents.acp_sessions import SESSIONS, USES, SessionPool
from orchestrator_core.agents.acp_turn import Turn
from orchestrator_core.agents.acp_worktree import WorkTree
from orchestrator_core.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from orchestrator_core.safety import ConfinementMode


class House:
    """Starts a scripted agent in a folder."""

    def __init__(self, folder: Path, script: AgentScript) -> None:
        self._folder = folder
        self._script = script
        self._trees = 0
        self.left = 0

    async def connect(self) -> AgentConnection:
        """Start it."""
        argv = shlex.split(self._script.command)
        return await AgentConnection.open("scripted", argv, cwd=self._folder, env=os.environ)

    async def tree(self) -> WorkTree:
        """An empty copy."""
        self._trees += 1
        return WorkTree(self._folder / f"copy{self._trees}")

    async def leave(self) -> None:
        """Count it."""
        self.left += 1

    @property
    def copies(self) -> list[str]:
        """Those that are there."""
        return sorted(path.name for path in self._folder.glob("copy*"))


@asynccontextmanager
async def opened(
    folder: Path, *rules: dict[str, object], **settings: object
) -> AsyncGenerator[tuple[SessionPool, AgentScript, House]]:
    """A pool of sessions with a scripted agent."""
    with AgentScript(*rules) as script:
        house = House(folder, script)
        pool = SessionPool(house, **settings)  # pyright: ignore[reportArgumentType]
        try:
            yield pool, script, house
        finally:
            await pool.close()
        assert not any(psutil.pid_exists(pid) for pid in script.pids)
        assert house.copies == []


async def until(done: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    async with asyncio.timeout(40):
        while not done():
            await asyncio.sleep(0.01)


async def test_a_role_has_five_sessions_in_one_process_and_the_next_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pool, script, _):
        freed = asyncio.Event()
        held: list[str] = []

        async def hold() -> None:
            async with pool.session("worker") as session:
                held.append(session.id)
                await freed.wait()

        holders = [asyncio.create_task(hold()) for _ in range(SESSIONS + 1)]
        await until(lambda: len(held) == SESSIONS)
        async with pool.session("reviewer") as other:  # another role has its own
            assert other.id not in held
        assert len(held) == SESSIONS
        freed.set()
        await asyncio.gather(*holders)
        assert len(held) == SESSIONS + 1
        assert len(set(held)) == SESSIONS
        assert len(script.pids) == 1


async def test_a_session_is_used_ten_times(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pool, script, _):
        used: list[str] = []
        for _ in range(USES + 1):
            async with pool.session("worker") as session:
                used.append(session.id)
        await until(lambda: len(script.results("session/close")) == 1)
        assert script.results("session/close") == [{"sessionId": used[0]}]
    assert len(set(used[:USES])) == 1
    assert used[USES] != used[0]


async def test_a_session_whose_use_failed_is_not_used_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pool, _, house):
        used: list[str] = []

        async def fail() -> None:
            async with pool.session("worker") as session:
                used.append(session.id)
                raise AgentError("no")

        with pytest.raises(AgentError):
            await fail()
        async with pool.session("worker") as second:
            assert second.id != used[0]
            await until(lambda: house.copies == [second.tree.path.name])


async def test_idle_sessions_are_closed_and_the_agent_with_the_last(tmp_path: Path) -> None:
    async with opened(tmp_path, idle_s=0.05) as (pool, script, house):
        async with pool.session("worker"):
            pass
        await until(lambda: house.left == 1)
        assert script.results("session/close")
        assert not psutil.pid_exists(script.pids[0])
        async with pool.session("worker"):  # and started again when it is needed
            assert len(script.pids) == 2


async def test_an_agent_that_does_not_answer_is_found_and_replaced(tmp_path: Path) -> None:
    deaf = rule([{"deaf": "never"}], match=("session/list",))
    async with opened(tmp_path, deaf, health_s=0.05) as (pool, script, _):
        connection: list[object] = []
        async with pool.session("worker") as session:
            session.connection.healthy = _unwell  # it would take its ten seconds
            connection.append(session.connection)
        await until(lambda: pool.connection is not None and not pool.connection.alive)
        async with pool.session("worker") as session:
            assert session.connection is not connection[0]
            assert len(script.pids) == 2


async def test_an_agent_that_is_busy_is_left_alone(tmp_path: Path) -> None:
    looks = 0

    def clock_s() -> float:
        nonlocal looks
        looks += 1
        return time.monotonic()

    deaf = rule([{"deaf": "never"}], match=("session/list",))
    async with opened(tmp_path, deaf, health_s=0.01, clock_s=clock_s) as (pool, script, _):
        async with pool.session("worker") as session:
            session.connection.healthy = _unwell
            await until(lambda: looks > 5)
            assert session.connection.alive
        assert len(script.pids) == 1


async def _unwell(within_s: float) -> bool:
    del within_s
    return False


async def test_health_is_asked_of_the_agent(tmp_path: Path) -> None:
    deaf = rule([{"deaf": "never"}], match=("session/list",))
    async with opened(tmp_path, deaf) as (pool, _, _), pool.session("worker") as session:
        assert not await session.connection.healthy(0.2)
        assert await session.connection.healthy(20.0)


async def test_several_turns_in_one_process_do_not_mix(tmp_path: Path) -> None:
    rules = [rule([say(f"{n}" * 3), say(f"{n}")], match=(f"turn {n}",)) for n in range(5)]
    async with opened(tmp_path, *rules) as (pool, script, _):

        async def ask(n: int) -> str:
            async with pool.session("worker") as session:
                turn = Turn()
                await session.connection.prompt(session.id, f"turn {n}", turn, silent_s=40)
                return turn.text

        said = await asyncio.gather(*map(ask, range(5)))
        assert len(script.pids) == 1
    assert said == [f"{n}" * 4 for n in range(5)]


@pytest.mark.parametrize(("mode", "processes"), [("strict", SESSIONS), ("on", 1)])
async def test_sessions_at_work_have_processes_of_their_own_where_that_is_wanted(
    tmp_path: Path, mode: ConfinementMode, processes: int
) -> None:
    with AgentScript() as script:
        houses: list[House] = []

        def make() -> House:
            folder = tmp_path / str(len(houses))
            folder.mkdir()
            houses.append(House(folder, script))
            return houses[-1]

        rooms = Rooms(make, lambda: mode)
        freed, begun, ended = asyncio.Event(), list[str](), list[int]()

        async def use(role: str) -> None:
            async with rooms.session(role) as (house, session):
                begun.append(role)
                assert session.tree.path.name in house.copies
                await freed.wait()
            ended.append(session.connection.pid)

        users = [asyncio.create_task(use("worker")) for _ in range(SESSIONS + 1)]
        await until(lambda: len(begun) == SESSIONS)
        assert len(set(script.pids)) == processes
        freed.set()
        await asyncio.gather(*users, use("reviewer"))
        assert len(ended) == SESSIONS + 2
        assert set(ended) == set(script.pids)
        assert len(script.pids) == processes, "those that are free are used again"
        await rooms.close()
        assert not any(psutil.pid_exists(pid) for pid in script.pids)
        assert not any(house.copies for house in houses)
