"""What tests of agents share: a small project, its orchestrator, and a scripted model."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from acp_agent import AgentScript
from orchestrator_core.config import AgentSettings, ModelSettings, Settings
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.services import Services
from scripted_backend import Recorder
from scripted_model import ModelProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.safety import PermissionRule

    OpenWith = Callable[..., AbstractAsyncContextManager[tuple[Orchestrator, ModelProcess]]]
    OpenWithAgent = Callable[..., AbstractAsyncContextManager[tuple[Orchestrator, AgentScript]]]

FILES = {
    "app.py": "def total(items):\n    return sum(items)\n",
    "auth.py": 'def check(user):\n    return user == "admin"\n',
    "notes.md": "# Notes\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    root = tmp_path / "project"
    root.mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text, "utf-8")
    return root


@pytest.fixture
def scripted(project: Path, tmp_path: Path) -> OpenWith:
    """Opens the project's orchestrator on a model that answers by these rules."""

    @asynccontextmanager
    async def opened(
        *rules: dict[str, object],
        listener: Recorder | None = None,
        permissions: tuple[PermissionRule, ...] = (),
        **model: object,
    ) -> AsyncGenerator[tuple[Orchestrator, ModelProcess]]:
        with ModelProcess(tmp_path, *rules) as process:
            defaults = {"name": "openai:scripted", "base_url": process.base_url, "silent_s": 5.0}
            of_model = ModelSettings(**{**defaults, **model})  # pyright: ignore[reportArgumentType]
            settings = Settings(backend="llm", model=of_model, permissions=permissions)
            state = tmp_path / "state"
            places = Places.of(project, state=state, cache=state / "cache")
            services = await Services.open(project, settings, listener or Recorder(), places=places)
            engine = Orchestrator(services)
            try:
                yield engine, process
            finally:
                await engine.close()

    return opened


@pytest.fixture
def with_agent(project: Path, tmp_path: Path) -> OpenWithAgent:
    """Opens the project's orchestrator with an agent that follows these rules."""

    @asynccontextmanager
    async def opened(
        *rules: dict[str, object],
        listener: Recorder | None = None,
        asker: Asker | None = None,
        silent_s: float = 40.0,
        review: bool = True,
        **settings: object,
    ) -> AsyncGenerator[tuple[Orchestrator, AgentScript]]:
        with AgentScript(*rules) as script:
            made = Settings(
                backend="acp",
                agent=AgentSettings(command=script.command, silent_s=silent_s),
                model=ModelSettings(review=review),
                **settings,  # pyright: ignore[reportArgumentType]
            )
            state = tmp_path / "state"
            places = Places.of(project, state=state, cache=state / "cache")
            services = await Services.open(project, made, listener or Recorder(), places=places)
            engine = Orchestrator(services, asker=asker)
            try:
                yield engine, script
            finally:
                await engine.close()
            left = [pid for pid in script.pids if psutil.pid_exists(pid)]
            assert left == [], "the agent has ended"
            assert not list((state / "cache").rglob("agents/*")), "nothing of it has stayed"

    return opened
