"""Where settings come from, and what is said of those that are not allowed.

Sources, the later one wins: the defaults, ``[tool.opencode-orchestrator]`` in
``pyproject.toml``, ``.opencode/orchestrator.toml``, the person's own file, the editor
(``initializationOptions`` and ``workspace/didChangeConfiguration``), and the feature flags of the
environment. What concerns safety is different (:mod:`orchestrator_core.safety`): a workspace's
files can only tighten it.

A value that is not allowed is reported as an :class:`InvalidSetting` and replaced by its
default: a mistake in one setting never stops the server.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import Struct

from orchestrator_core.config import (
    SETTINGS_FILES,
    AgentSettings,
    CleanupLimits,
    Flags,
    Limits,
    ModelSettings,
    Settings,
)
from orchestrator_core.decoding import LEARNING
from orchestrator_core.safety import BudgetLimits, PermissionRule, stricter_mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class InvalidSetting(Struct, frozen=True):
    """A setting that was replaced by its default.

    Attributes:
        source: the file, ``editor`` or the environment variable that it came from.
        key: dotted name below ``orchestrator``.
    """

    source: str
    key: str
    message: str


_SECTIONS: dict[str, type[Struct]] = {
    "limits": Limits,
    "flags": Flags,
    "cleanup": CleanupLimits,
    "model": ModelSettings,
    "agent": AgentSettings,
}

FLAG_VARIABLES = {
    "RUST_POOL": "rust_pool",
    "ENABLE_WORK_STEALING": "work_stealing",
    "ADAPTIVE_POLLING": "adaptive_polling",
    "TASK_POOLING": "task_pooling",
}


def _flags_from_environment(environment: Mapping[str, str], flags: Flags) -> Flags:
    """Switch off what the environment sets to ``false``; any other value leaves a flag on."""
    states = {
        name: environment[variable].strip().lower() != "false"
        for variable, name in FLAG_VARIABLES.items()
        if variable in environment
    }
    return msgspec.structs.replace(flags, **states)


def load(
    root: Path | None,
    *,
    editor: Mapping[str, Any] | None = None,
    person: Path | None = None,
    environment: Mapping[str, str],
) -> tuple[Settings, list[InvalidSetting]]:
    """Read the settings of a workspace from all their sources.

    Args:
        root: the workspace's folder, or None where none is open.
        editor: the ``orchestrator`` section that the editor sent, if any.
        person: the person's own settings file, for all workspaces.
        environment: usually ``os.environ``.

    Returns:
        Valid settings, and what was wrong on the way.
    """
    with LEARNING:
        settings, invalid = _load(root, editor, person)
    flags = _flags_from_environment(environment, settings.flags)
    return msgspec.structs.replace(settings, flags=flags), invalid


def _load(
    root: Path | None, editor: Mapping[str, Any] | None, person: Path | None
) -> tuple[Settings, list[InvalidSetting]]:
    invalid: list[InvalidSetting] = []
    merged: dict[str, Any] = {}
    cautions: list[dict[str, Any]] = []
    for source, values in _file_sources(root, invalid):
        cautious: dict[str, Any] = {}
        _merge_valid(cautious, {k: v for k, v in values.items() if k in _SAFETY}, source, invalid)
        cautions.append(cautious)
        others = {k: v for k, v in values.items() if k not in _SAFETY}
        _merge_valid(merged, others, source, invalid)
    for source, values in (("your own settings", _read_toml(person, invalid)), ("editor", editor)):
        _merge_valid(merged, dict(values or {}), source, invalid)
    settings = msgspec.convert(merged, Settings)
    for cautious in cautions:
        settings = _tightened(settings, cautious)
    return settings, invalid


def files_that_set(root: Path, key: str) -> list[str]:
    """The workspace's files that set ``orchestrator.<key>``: whoever wrote them decides it."""
    return [name for name, table in _file_sources(root, []) if key in table]


_SAFETY = frozenset({"permissions", "confinement", "network", "passEnvironment", "budget"})


def _tightened(settings: Settings, cautious: Mapping[str, Any]) -> Settings:
    """The settings with what a workspace's file says about safety, where that is stricter.

    It cannot grant what the person's settings and the defaults do not: not the network, not a
    variable, not a higher limit. Its rules are kept apart until it is known whether the person
    trusts the file.
    """
    rules = msgspec.convert(cautious.get("permissions", ()), tuple[PermissionRule, ...])
    limits = BudgetLimits.unlimited() | cautious.get("budget", {})
    return msgspec.structs.replace(
        settings,
        workspace_permissions=(*settings.workspace_permissions, *rules),
        confinement=stricter_mode(
            settings.confinement, cautious.get("confinement", settings.confinement)
        ),
        network=settings.network and cautious.get("network", True),
        budget=settings.budget.tightened(msgspec.convert(limits, BudgetLimits)),
    )


def _file_sources(
    root: Path | None, invalid: list[InvalidSetting]
) -> list[tuple[str, Mapping[str, Any]]]:
    if root is None:
        return []
    found: list[tuple[str, Mapping[str, Any]]] = []
    sections = (("tool", "opencode-orchestrator"), ())
    for name, section in zip(SETTINGS_FILES, sections, strict=True):
        table = _read_toml(root / name, invalid, name)
        for key in section:
            table = _table(table).get(key, {})
        found.append((name, _table(table)))
    return found


def _read_toml(file: Path | None, invalid: list[InvalidSetting], name: str = "") -> dict[str, Any]:
    """A file's table; empty if there is none, or it cannot be read, which is noted."""
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        invalid.append(InvalidSetting(name or str(file), "", f"cannot be read: {error}"))
        return {}


def _table(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _merge_valid(
    merged: dict[str, Any],
    values: dict[str, Any],
    source: str,
    invalid: list[InvalidSetting],
    path: tuple[str, ...] = (),
) -> None:
    """Put each value that the schema allows into ``merged``; note the others."""
    for key, value in values.items():
        here = (*path, key)
        if path == () and key in _SECTIONS and isinstance(value, dict):
            _merge_valid(
                merged.setdefault(key, {}), cast("dict[str, Any]", value), source, invalid, here
            )
            continue
        problem = _problem(here, value)
        if problem is None:
            merged[key] = value
        else:
            invalid.append(InvalidSetting(source, ".".join(here), problem))


def _problem(path: Sequence[str], value: object) -> str | None:
    owner = _SECTIONS.get(path[0], Settings)
    names = msgspec.structs.fields(owner)
    known = sorted(field.encode_name for field in names if field.name != "workspace_permissions")
    if path[-1] not in known or (len(path) == 1 and path[0] in _SECTIONS):
        return f"there is no such setting; known here: {', '.join(known)}"
    try:
        msgspec.convert({path[-1]: value}, owner)
    except msgspec.ValidationError as error:
        return str(error)
    return None
