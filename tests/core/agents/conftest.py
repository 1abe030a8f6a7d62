"""What tests of agents share: a small project, its orchestrator, and a scripted model."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from acp_agent import AgentScript
from orchestrator_core.agents.acp_desk import AcpDesk
from orchestrator_core.agents.model_gate import ModelGate
from orchestrator_core.config import AgentSettings, ModelSettings, Settings
from orchestrator_core.primitives.backoff import Backoff
from scripted_backend import opened
from scripted_model import ModelProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.safety import PermissionRule
    from scripted_backend import Recorder

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
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other quickly."""
    for prompted in (AcpDesk, ModelGate):
        defaults = prompted.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "backoff", lambda: Backoff(0.01, 0.02))


@pytest.fixture
def scripted(project: Path, tmp_path: Path) -> OpenWith:
    """Opens the project's orchestrator on a model that answers by these rules."""

    @asynccontextmanager
    async def on_model(
        *rules: dict[str, object],
        listener: Recorder | None = None,
        permissions: tuple[PermissionRule, ...] = (),
        **model: object,
    ) -> AsyncGenerator[tuple[Orchestrator, ModelProcess]]:
        with ModelProcess(tmp_path, *rules) as process:
            defaults = {"name": "openai:scripted", "base_url": process.base_url, "silent_s": 5.0}
            of_model = ModelSettings(**{**defaults, **model})  # pyright: ignore[reportArgumentType]
            settings = Settings(backend="llm", model=of_model, permissions=permissions)
            async with opened(project, settings, listener) as engine:
                yield engine, process

    return on_model


@pytest.fixture
def with_agent(project: Path) -> OpenWithAgent:
    """Opens the project's orchestrator with an agent that follows these rules."""

    @asynccontextmanager
    async def on_agent(
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
            async with opened(project, made, listener, asker=asker) as engine:
                yield engine, script
            left = [pid for pid in script.pids if psutil.pid_exists(pid)]
            assert left == [], "the agent has ended"
            cache = project.parent / "project-state/cache"
            assert not list(cache.rglob("agents/*")), "nothing of it has stayed"

    return on_agent
