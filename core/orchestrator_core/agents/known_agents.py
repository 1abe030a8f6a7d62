"""The agents that are known by name: how each is started, and what it needs to be told.

Seen with opencode 1.18, claude-agent-acp 0.101, gemini-cli 0.61 and codex-acp 2.6; docs/agents.md
says how people set them up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Manners(Struct, frozen=True):
    """How an agent is spoken to, where the protocol leaves that open.

    Attributes:
        modes: its session modes in which it asks before it acts, the one to prefer first; in its
            usual one it may decide for itself.
        keys: its ways to authenticate that need a person to do nothing, each with the variables
            of which one must be set.
        login: how a person logs in to it.
        hint: what it is told at the beginning of each task.
    """

    modes: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = {}
    login: str = ""
    hint: str = ""

    def method(self, offered: Collection[str], environment: Mapping[str, str]) -> str | None:
        """The way to authenticate for which there is a key; None if there is none."""
        for method, variables in self.keys.items():
            if method in offered and any(environment.get(variable) for variable in variables):
                return method
        return None

    def mode(self, offered: Collection[str], now: str) -> str | None:
        """The session mode to change to; None if it is right as it is, or none is known."""
        mode = next((mode for mode in self.modes if mode in offered), now)
        return None if mode == now else mode


STRANGER = Manners()
"""Of an agent of which nothing is known."""


class KnownAgent(Struct, frozen=True):
    """An agent that is known by name.

    Attributes:
        commands: its command lines, the one to prefer first.
        folders: what it calls its folders in the person's config, data, state and cache folders.
        home: its files and folders in the person's home.
        moved: the variable that names another place for all of these.
        environment: what makes it ask before it runs a command.
        manners: how it is spoken to.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    moved: str = ""
    environment: Mapping[str, str] = {}
    manners: Manners = STRANGER


KNOWN = (
    KnownAgent(
        "opencode",
        (("opencode", "acp"),),
        folders=("opencode",),
        environment={
            "OPENCODE_PERMISSION": '{"edit":"allow","bash":"ask","webfetch":"ask"}',
            "OPENCODE_DISABLE_AUTOUPDATE": "true",
        },
        manners=Manners(login="run `opencode auth login`"),
    ),
    KnownAgent(
        "claude-code",
        (("claude-agent-acp",), ("claude-code-acp",)),
        folders=("claude", "claude-cli-nodejs"),
        home=(".claude", ".claude.json"),
        moved="CLAUDE_CONFIG_DIR",
        manners=Manners(
            modes=("default",), login="run `claude` and log in, or set ANTHROPIC_API_KEY"
        ),
    ),
    KnownAgent(
        "gemini",
        (("gemini", "--acp"),),
        home=(".gemini",),
        manners=Manners(
            modes=("default",),
            keys={"gemini-api-key": ("GEMINI_API_KEY",)},
            login="run `gemini` and log in, or set GEMINI_API_KEY",
        ),
    ),
    KnownAgent(
        "codex",
        (("codex-acp",),),
        home=(".codex",),
        moved="CODEX_HOME",
        manners=Manners(
            modes=("read-only",),
            keys={"api-key": ("CODEX_API_KEY", "OPENAI_API_KEY")},
            login="run `codex login`, or set OPENAI_API_KEY",
            # Bubblewrap cannot be set up inside of Landlock, and it reads files by commands.
            hint=(
                "Your own command sandbox does not work here: commands are confined by other "
                "means. Run every command with `sandbox_permissions` set to `require_escalated`."
            ),
        ),
    ),
)
