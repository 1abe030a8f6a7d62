"""Undo through the editor gives files back whole: bytes and permission bits."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_editor import FakeEditor


@pytest.fixture
def script(shop: Path, environment: dict[str, str]) -> Path:
    """An executable file of a workspace that is trusted."""
    file = shop / "tool.sh"
    file.write_bytes(b"#!/bin/sh\r\necho tool\r\n")
    file.chmod(0o750)
    trust = [sys.executable, "-m", "orchestrator_server.cli", "trust", "--workspace", str(shop)]
    subprocess.run(trust, env=environment, check=True, capture_output=True)
    return file


@pytest.mark.parametrize(
    "editor", ["vscode-1.139.1", "neovim-0.11.4", "helix-25.01.1"], indirect=True
)
async def test_a_deleted_script_comes_back_executable(
    script: Path, editor: FakeEditor, tree: Callable[[], dict[str, bytes]]
) -> None:
    before = tree()
    report = await editor.execute("/task", "run rm tool.sh", {"wait": True})
    assert report["status"] == "done", report
    assert not script.exists()

    undone = await editor.execute("/undo")

    assert undone["unrestored"] == []
    assert tree() == before
    assert script.stat().st_mode & 0o777 == 0o750
