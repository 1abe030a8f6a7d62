"""``doctor``: what is installed, what answers, and which flags are on."""

from __future__ import annotations

import asyncio
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core import __version__
from orchestrator_core.agents.builtin import NAME as BUILTIN
from orchestrator_core.agents.choice import AUTO, preferred, survey
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.places import Places, own_settings
from orchestrator_core.runtime.confinement import Confinement
from orchestrator_core.runtime.programs import beside_python, tool_server
from orchestrator_core.runtime.tool_pool import RustToolPool
from orchestrator_core.settings_sources import FLAG_VARIABLES, load
from orchestrator_core.tools.trust import TrustStore
from orchestrator_core.workspace.documents import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator_core.agents.choice import Offer
    from orchestrator_core.config import Settings

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
    findings.append(await asyncio.to_thread(_confinement, settings))
    trust = TrustStore(Places.of(root).trust)
    offers = await asyncio.to_thread(survey, settings, root, trust, os.environ)
    return findings + list(_backends(offers, settings.backend))


def _backends(offers: Sequence[Offer], setting: str) -> Iterator[Finding]:
    """What there is to plan and work with, and what will be used."""
    for offer in offers:
        there = "" if offer.usable else "not used: "
        yield Finding(f"backend {offer.name}", True, there + offer.detail)
    chosen = preferred(offers, setting)
    if setting == AUTO and chosen.name == BUILTIN:
        detail = "builtin: tasks in the verb language; any other text needs a model"
    elif setting == AUTO:
        detail = f"builtin for the verb language, {chosen.name} for any other text"
    else:
        detail = f"{chosen.name}: {chosen.detail}"
    yield Finding("backend in use", chosen.usable, f"orchestrator.backend = {setting}: {detail}")


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


def _confinement(settings: Settings) -> Finding:
    """What keeps commands from the rest of the system."""
    program = beside_python("opencode-tool-server")
    if program is None:
        return Finding("confinement", False, "needs opencode-tool-server")
    held = Confinement(program, settings.confinement, network=settings.network)
    status = held.status()
    able = status.files and bool(settings.network or status.network)
    return Finding("confinement", able or held.mode != "strict", f"{held.mode}: {held.in_force()}")


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
