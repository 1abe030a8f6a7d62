"""The agents that are tested: how a person sets each up, here for a scripted model on loopback.

What is told here is what docs/agents.md tells people, but for the model's address, and for the
switches that keep an agent from calling home: nothing but loopback is to be asked.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from scripted_model import call, rule, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Answer = dict[str, Any]
    SetUp = Callable[[Path, str], dict[str, str]]

OLD, NEW = "sum(items)", "sum(items, 0)"


class Vendor(Struct, frozen=True):
    """One agent.

    Attributes:
        name: what the settings call it.
        set_up: writes its configuration into a home, for a model server at an address; answers
            the variables that it needs.
        edit: the model's calls that change a file, with the agent's own tools.
        run: the model's call that runs a command.
        chores: what else it asks of its model, answered.
        reads: the commands that it reads files with, where it has no other tool for it.
        keyless: sets it up as for somebody who has not logged in; None where that is not told
            apart.
    """

    name: str
    set_up: SetUp
    edit: Callable[[str], tuple[Answer, ...]]
    run: Callable[[str], Answer]
    chores: tuple[Answer, ...] = ()
    keyless: SetUp | None = None
    reads: tuple[str, ...] = ()

    def without_key(self) -> Vendor:
        """The same for somebody who has not logged in."""
        assert self.keyless is not None
        return msgspec.structs.replace(self, set_up=self.keyless)


def _opencode(home: Path, address: str) -> dict[str, str]:
    model = {"name": "S", "limit": {"context": 32000, "output": 4000}, "tool_call": True}
    options = {"baseURL": f"{address}/v1", "apiKey": "x"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options}
    configuration = {
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
    file = home / "opencode.json"
    file.write_text(json.dumps(configuration))
    return {
        "OPENCODE_CONFIG": str(file),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "npm_config_offline": "true",  # it would look for plugins that nobody needs
        "npm_config_fetch_retries": "0",
    }


def _claude_code(home: Path, address: str) -> dict[str, str]:
    del home
    return {
        "ANTHROPIC_BASE_URL": address,
        "ANTHROPIC_API_KEY": "sk-scripted",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def _claude_code_without_key(home: Path, address: str) -> dict[str, str]:
    return {**_claude_code(home, address), "ANTHROPIC_API_KEY": ""}


def _gemini(home: Path, address: str) -> dict[str, str]:
    folder = home / ".gemini"
    folder.mkdir(exist_ok=True)
    silent = {"privacy": {"usageStatisticsEnabled": False}, "telemetry": {"enabled": False}}
    (folder / "settings.json").write_text(
        json.dumps({**silent, "general": {"enableAutoUpdate": False}})
    )
    return {
        "GOOGLE_GEMINI_BASE_URL": address,
        "GEMINI_API_KEY": "scripted",
        "GEMINI_MODEL": "gemini-2.5-pro",
    }


def _gemini_without_key(home: Path, address: str) -> dict[str, str]:
    _gemini(home, address)
    return {}


_CODEX = """
model = "gpt-6-sol"
model_provider = "loop"
check_for_update_on_startup = false
[model_providers.loop]
name = "loop"
base_url = "{address}/v1"
wire_api = "responses"
[analytics]
enabled = false
[features]
plugins = false
"""


def _codex(home: Path, address: str) -> dict[str, str]:
    folder = home / "codex"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(_CODEX.format(address=address))
    return {"CODEX_HOME": str(folder)}


def _codex_without_login(home: Path, address: str) -> dict[str, str]:
    del address
    folder = home / "codex"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text("".join(_CODEX.partition("[analytics]")[1:]))
    return {"CODEX_HOME": str(folder), "NO_BROWSER": "1"}


def _command(line: str) -> Answer:
    """As it is told to run commands: its own sandbox does not work inside of ours."""
    why = {"sandbox_permissions": "require_escalated", "justification": "May I?"}
    return call("exec_command", cmd=line, **why)


def _patch(name: str) -> str:
    return (
        f"*** Begin Patch\n*** Update File: {name}\n@@\n-    return {OLD}\n+    return {NEW}\n"
        "*** End Patch\n"
    )


VENDORS = (
    Vendor(
        "opencode",
        _opencode,
        lambda name: (
            call("read", filePath=name),
            call("edit", filePath=name, oldString=OLD, newString=NEW),
        ),
        lambda line: call("bash", command=line, description="run it"),
        (rule(say("A title"), match=("title generator",), again=True),),
    ),
    Vendor(
        "claude-code",
        _claude_code,
        lambda name: (
            call("Read", file_path=name),
            call("Edit", file_path=name, old_string=OLD, new_string=NEW),
        ),
        lambda line: call("Bash", command=line, description="run it"),
        (rule(say('{"title": "A title"}'), match=("Write the title in",), again=True),),
        _claude_code_without_key,
    ),
    Vendor(
        "gemini",
        _gemini,
        lambda name: (
            call("read_file", file_path=name),
            call("replace", file_path=name, instruction="x", old_string=OLD, new_string=NEW),
        ),
        lambda line: call("run_shell_command", command=line, description="run it"),
        keyless=_gemini_without_key,
    ),
    Vendor(
        "codex",
        _codex,
        lambda name: (
            _command(f"cat {name}"),
            {"calls": [{"name": "apply_patch", "arguments": _patch(name)}]},
        ),
        _command,
        (rule(say('{"title": "A title"}'), match=("generate a very short title",), again=True),),
        _codex_without_login,
        ("cat *",),
    ),
)
