"""Which agent that speaks ACP (the Agent Client Protocol) is there, and whether it may be used.

A setting names one that is known here, or any command line; otherwise the first that is found on
``PATH`` is taken. Nothing is started to find out.
"""

from __future__ import annotations

import os
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.agents.known_agents import KNOWN, STRANGER, KnownAgent, Manners
from orchestrator_core.settings_sources import files_that_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator_core.config import AgentSettings

AGENT_VARIABLE = "OPENCODE_ORCHESTRATOR_AGENT"

PROVIDERS = (
    *("ANTHROPIC", "OPENAI", "OPENROUTER", "GEMINI", "GOOGLE", "AZURE_OPENAI", "MISTRAL", "GROQ"),
    *("DEEPSEEK", "XAI", "CEREBRAS", "TOGETHER", "FIREWORKS", "OPENCODE", "CODEX", "CLAUDE_CODE"),
)
_KEYS = frozenset(
    f"{provider}_{kind}"
    for provider in PROVIDERS
    for kind in ("API_KEY", "AUTH_TOKEN", "ACCESS_TOKEN", "OAUTH_TOKEN")
)
"""The variables with keys that an agent gets: it needs one to talk to its model."""


class Agent(Struct, frozen=True):
    """An agent's command, and what it is given.

    Attributes:
        writes: its own files and folders, which it may write besides its copy of the workspace.
        makes: those of them that it makes itself when it first runs, which it cannot here.
        passed: variables that it gets although their names sound like secrets.
        environment: variables that it gets unless the person has set them.
        manners: how it is spoken to.
    """

    name: str
    argv: tuple[str, ...]
    writes: tuple[Path, ...] = ()
    makes: tuple[Path, ...] = ()
    passed: frozenset[str] = _KEYS
    environment: Mapping[str, str] = {}
    manners: Manners = STRANGER

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.name}: {shlex.join(self.argv)}"


def found(
    settings: AgentSettings,
    root: Path,
    trusts: Callable[[Sequence[str]], bool],
    environment: Mapping[str, str],
) -> Agent | str:
    """The agent that will be used, or why there is none. Blocks on the disk.

    The environment goes before the settings. A command that a workspace's own files name is run
    only if the person trusts these files.

    Args:
        settings: of the agent.
        root: the workspace.
        trusts: whether the word of these files of the workspace counts.
        environment: has ``PATH``, and the person's folders.
    """
    named = environment.get(AGENT_VARIABLE, "")
    if not named and settings.command:
        named = settings.command
        if (named_in := files_that_set(root, "agent")) and not trusts(named_in):
            return (
                f"{' and '.join(named_in)} of this workspace names an agent, but is not trusted: "
                "look at it, then run `opencode-orchestrator trust`"
            )
    agent = _named(named, environment) if named else _on_path(environment)
    if isinstance(agent, Agent) and find_spec("acp") is None:
        return f"{agent.shown}: a part is missing: pip install 'opencode-orchestrator[acp]'"
    return agent


def _on_path(environment: Mapping[str, str]) -> Agent | str:
    for known in KNOWN:
        for argv in known.commands:
            if (program := _program(argv[0], environment)) is not None:
                return _agent(known, (program, *argv[1:]), environment)
    names = ", ".join(known.commands[0][0] for known in KNOWN)
    return f"no agent is on PATH ({names}), and orchestrator.agent.command names none"


def _named(named: str, environment: Mapping[str, str]) -> Agent | str:
    for known in KNOWN:
        if known.name == named:
            for argv in known.commands:
                if (program := _program(argv[0], environment)) is not None:
                    return _agent(known, (program, *argv[1:]), environment)
            return f"{named} is not on PATH: {' or '.join(argv[0] for argv in known.commands)}"
    try:
        argv = shlex.split(named)
    except ValueError as error:
        return f"orchestrator.agent.command {named!r} cannot be read: {error}"
    program = _program(argv[0], environment) if argv else None
    if program is None:
        return f"orchestrator.agent.command {named!r} names no program that is there"
    name = Path(program).stem
    for known in KNOWN:
        if any(command[0] == name for command in known.commands):
            return _agent(known, (program, *argv[1:]), environment)
    unknown = KnownAgent(name, (), folders=(name,), home=(f".{name}",))
    return _agent(unknown, (program, *argv[1:]), environment)


def _program(name: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environment.get("PATH", os.defpath))


def _agent(known: KnownAgent, argv: tuple[str, ...], environment: Mapping[str, str]) -> Agent:
    writes = tuple(_own_places(known, environment))
    makes = tuple(place for place in writes if known in KNOWN and not place.suffix)
    return Agent(
        known.name,
        argv,
        writes,
        makes,
        environment=known.environment,
        manners=known.manners,
    )


def _own_places(known: KnownAgent, environment: Mapping[str, str]) -> Iterator[Path]:
    """Where an agent keeps its sessions, caches and keys."""
    home = Path(environment.get("HOME") or Path.home())
    for variable, usual in (
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_CACHE_HOME", ".cache"),
    ):
        folder = Path(environment.get(variable) or home / usual)
        yield from (folder / name for name in known.folders)
    if moved := environment.get(known.moved, ""):
        yield Path(moved)
    else:
        yield from (home / name for name in known.home)
