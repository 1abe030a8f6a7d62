"""What the tests of the tools share: a workspace, and the tool server beside the interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator_core.runtime.programs import tool_server
from orchestrator_core.runtime.tool_pool import RustToolPool
from orchestrator_core.tools.code import CodeTools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def pool(root: Path) -> Iterator[RustToolPool]:
    """The real tool server, for the workspace."""
    with RustToolPool(tool_server(), root) as pool:
        yield pool


@pytest.fixture
def code(pool: RustToolPool) -> CodeTools:
    """The typed tools of the workspace."""
    return CodeTools(pool)
