from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a journal will be made."""
    return tmp_path / "root" / ".opencode"
