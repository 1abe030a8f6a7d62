"""What tests of real agents share: a home of their own, a project, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROGRAMS = Path(os.environ.get("TEST_AGENTS", ".")).absolute() / "npm" / "node_modules"
KEYS = ("ANTHROPIC", "GEMINI", "GOOGLE", "OPENAI", "CODEX")
FILES = ("one.py", "two.py", "three.py", "four.py", "five.py")
BEFORE = "def total(items):\n    return sum(items)\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, with the agents on its path."""
    folder = tmp_path / "home"
    for variable, name in {
        "HOME": "",
        "XDG_CONFIG_HOME": ".config",
        "XDG_DATA_HOME": ".local/share",
        "XDG_STATE_HOME": ".local/state",
        "XDG_CACHE_HOME": ".cache",
    }.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(variable, str(folder / name))
    for name in ("IS_SANDBOX", *(f"{name}_API_KEY" for name in KEYS)):
        monkeypatch.delenv(name, raising=False)
    places = (PROGRAMS / ".bin", PROGRAMS / "opencode-linux-x64" / "bin")
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, places), os.environ["PATH"]]))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of some files."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(BEFORE)
    return folder
