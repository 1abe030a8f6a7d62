"""How the services are wired: what none of them shows by itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from core.runtime.pools import WAIT_S
from orchestrator_core.config import Limits, Settings
from orchestrator_core.runtime.polling import StuckWatch
from scripted_backend import Recorder, orchestrator

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext


async def nothing(_: TaskContext) -> None:
    """No mission runs here."""


async def test_a_stuck_task_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    listener = Recorder()
    started, release = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        release.wait(WAIT_S)

    async with orchestrator(tmp_path / "tree", nothing, listener=listener) as subject:
        services = subject._services
        services.figures._stuck = StuckWatch(services.engine.pool.running, after_s=0.0)
        hanging = services.engine.pool.submit(hang)
        started.wait(WAIT_S)
        await services.figures._tell()
        await services.figures._tell()
        release.set()
        await hanging
    stuck = [notice for notice in listener.notices if "may be stuck" in notice]
    assert len(stuck) == 1
    assert "hang has run for 0 s" in stuck[0]


async def test_limits_that_nobody_set_follow_success_and_those_set_do_not(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    settings = Settings(limits=Limits(reviewer=4))
    async with orchestrator(tmp_path / "tree", nothing, settings) as subject:
        concurrency = subject._services.engine.concurrency
        for role in ("commander", "worker", "reviewer"):
            for _ in range(3):
                async with concurrency.acquire(role):
                    pass
        limits = {role: stats.limit for role, stats in concurrency.stats().items()}
    assert limits == {"commander": 1, "planner": 10, "worker": 11, "reviewer": 4}
