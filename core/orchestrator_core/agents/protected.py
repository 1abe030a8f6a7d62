"""The files that no agent ever writes, whatever the rules say."""

from __future__ import annotations

import posixpath

from orchestrator_core.agents.path_globs import matches_path

PROTECTED = (
    ".opencode",
    "opencode.json",
    "opencode.jsonc",
    ".claude",
    ".gemini",
    ".codex",
    ".mcp.json",
    ".git",
    ".vscode/settings.json",
    "*.code-workspace",
    ".helix/**",
    ".zed/**",
    ".nvim.lua",
    ".nvimrc",
    ".exrc",
    ".dir-locals.el",
    ".dir-locals-2.el",
)
"""What rules the agents themselves, or runs without being asked.

Our own folder and those of agents, git's folder with its hooks and configuration, and the files by which editors
take settings or code from a workspace.
"""


def is_protected(path: str) -> bool:
    """Whether no agent may write a file, by its path in the workspace."""
    name = posixpath.normpath(path)
    return any(matches_path(glob, name) for glob in PROTECTED)
