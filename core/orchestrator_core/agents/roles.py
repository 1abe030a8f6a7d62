"""The roles that a model plays: their prompts, and the workspace's own conventions.

A person may replace a prompt by ``.opencode/agents/<role>.md`` (a front matter is not part of it).
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from orchestrator_core.agents.conventions import Conventions
from orchestrator_core.errors import WorkspaceError

if TYPE_CHECKING:
    from orchestrator_core.agents.untrusted import Marker
    from orchestrator_core.workspace.documents import Workspace

Role = Literal["planner", "worker", "reviewer"]

OVERRIDES = ".opencode/agents"


def system_prompt(
    role: Role,
    workspace: Workspace,
    marker: Marker,
    usual: str = "",
    *,
    conventions: Conventions = Conventions(),  # noqa: B008 - immutable
) -> str:
    """What a model is told of its role. Blocks on the disk.

    Args:
        role: its role.
        workspace: has the rules, and perhaps a prompt of its own.
        marker: marks data.
        usual: the prompt that the workspace's own replaces; by default that of the role.
        conventions: those that concern it; by default the root's.
    """
    own = _read(workspace, f"{OVERRIDES}/{role}.md")
    prompt = _without_front_matter(own) if own else _prompt(usual or role)
    parts = [prompt, marker.rule, conventions.told(workspace, marker)]
    return "\n\n".join(part.strip() for part in parts).strip()


def _prompt(name: str) -> str:
    return files("orchestrator_core.agents").joinpath("prompts", f"{name}.md").read_text("utf-8")


def _read(workspace: Workspace, path: str) -> str:
    """A file of the workspace; empty where there is none, or none that can be read."""
    try:
        return workspace.read(path).text
    except WorkspaceError:
        return ""


def _without_front_matter(text: str) -> str:
    if text.startswith("---\n"):
        _, mark, rest = text[4:].partition("\n---\n")
        if mark:
            return rest
    return text
