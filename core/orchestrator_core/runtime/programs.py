"""Where the programs are that this one runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from orchestrator_core.errors import ToolUnavailable


def beside_python(name: str) -> Path | None:
    """A program that was installed with this one, or one on PATH; None if there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return Path(found) if found else None


def tool_server() -> Path:
    """The Rust tool server.

    Raises:
        ToolUnavailable: it is not installed.
    """
    path = beside_python("opencode-tool-server")
    if path is None:
        raise ToolUnavailable(
            "opencode-tool-server is not installed: install opencode-orchestrator again "
            "(its wheel has it; building from source needs Rust)"
        )
    return path
