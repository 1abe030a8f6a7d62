from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a journal will be made."""
    return tmp_path / "root" / ".opencode"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with one module, ``a.py``."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.py").write_text("value = 0\n")
    return folder
