"""``doctor``: what is installed, what answers, and which flags are on."""

from __future__ import annotations

import asyncio
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core import __version__
from orchestrator_core.config import FLAG_VARIABLES, load
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.places import own_settings
from orchestrator_core.runtime.tool_pool import RustToolPool
from orchestrator_core.services import beside_python, tool_server
from orchestrator_core.workspace.documents import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DISTRIBUTIONS = ("pygls", "lsprotocol", "msgspec", "psutil")


class Finding(Struct, frozen=True):
    """One line of the diagnosis."""

    name: str
    ok: bool
    detail: str


async def diagnose(root: Path) -> list[Finding]:
    """Look at everything that a mission needs. Changes nothing."""
    findings = [
        Finding("orchestrator", True, f"{__version__}, Python {platform.python_version()}"),
        *_distributions(),
        *[await _program(name) for name in ("ruff", "ty", "git")],
        await _tool_server(),
        _workspace(root),
    ]
    settings, invalid = load(root, person=own_settings(), environment=os.environ)
    flags = settings.flags
    on = [variable for variable, name in FLAG_VARIABLES.items() if getattr(flags, name)]
    off = [variable for variable in FLAG_VARIABLES if variable not in on]
    findings.append(Finding("flags", True, f"on: {', '.join(on)}; off: {', '.join(off) or '-'}"))
    findings.append(
        Finding(
            "settings",
            not invalid,
            "; ".join(f"{p.source} {p.key}: {p.message}" for p in invalid) or "valid",
        )
    )
    findings.append(Finding("backend builtin", True, "answers; needs no model and no network"))
    return findings


def _distributions() -> Iterator[Finding]:
    for name in _DISTRIBUTIONS:
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, "not installed: install opencode-orchestrator again")


async def _program(name: str) -> Finding:
    path = beside_python(name)
    if path is None:
        return Finding(
            name,
            name == "git",
            "not found"
            + (
                ": git_status and git_diff will say so"
                if name == "git"
                else f": reinstall opencode-orchestrator, which depends on {name}"
            ),
        )
    process = await asyncio.create_subprocess_exec(
        path, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return Finding(name, process.returncode == 0, output.decode(errors="replace").strip())


async def _tool_server() -> Finding:
    path = tool_server()
    try:
        with RustToolPool(path, path.parent) as pool:
            tools = await pool.list_tools(timeout_s=10)
    except OrchestratorError as error:
        return Finding("tool server", False, f"{path}: {error}")
    return Finding("tool server", True, f"{path.name}: {len(tools)} tools answer")


def _workspace(root: Path) -> Finding:
    try:
        Workspace(root)
    except OrchestratorError as error:
        return Finding("workspace", False, str(error))
    writable = os.access(root, os.W_OK)
    return Finding("workspace", writable, f"{root}{'' if writable else ' cannot be written to'}")
