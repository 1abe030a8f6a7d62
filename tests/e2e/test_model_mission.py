"""A task in plain words, on a small real project, in an editor, with a scripted model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fake_editor import FIXTURES
from scripted_model import ModelProcess

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from fake_editor import FakeEditor

TASK = "implement authentication with JWT"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the booking service."""
    root = tmp_path / "bookings"
    shutil.copytree(FIXTURES / "workspaces" / "bookings", root)
    return root


@pytest.fixture
def model(tmp_path: Path) -> Generator[ModelProcess]:
    """The model that knows how it is done."""
    script = json.loads((FIXTURES / "models" / "jwt.json").read_text("utf-8"))
    with ModelProcess(tmp_path, *script["rules"]) as process:
        yield process


@pytest.fixture
def environment(environment: dict[str, str], model: ModelProcess) -> dict[str, str]:
    """An environment that names the model."""
    return {
        **environment,
        "OPENCODE_ORCHESTRATOR_MODEL": "openai:scripted",
        "OPENCODE_ORCHESTRATOR_BASE_URL": model.base_url,
    }


async def test_authentication_is_implemented_reviewed_mended_and_works(
    editor: FakeEditor, model: ModelProcess, shop: Path
) -> None:
    unsaved = (shop / "app/api.py").read_text() + "\n# to do: paging\n"
    editor.open("app/api.py", unsaved)
    report = await editor.execute("/task", TASK, {"wait": True})

    assert report["status"] == "done", report["reason"]
    assert sorted(report["filesChanged"]) == [
        "app/api.py",
        "app/tokens.py",
        "app/users.py",
        "tests/test_auth.py",
    ]
    planned = next(e for e in editor.events if e["kind"] == "planned")
    assert [task["id"] for task in planned["plan"]["tasks"]] == ["T1", "T2", "T3", "T4"]
    reviews = [e["receipt"] for e in editor.events if e["kind"] == "review"]
    assert all(review["passed"] for review in reviews)
    log = model.log()
    assert log["most"] >= 2  # T1 and T2 at the same time
    assert log["active"] == 0
    bodies = [str(request["body"]) for request in log["requests"]]
    repairs = [body for body in bodies if "the review failed" in body]
    assert any("an expired token is accepted" in body for body in repairs)
    assert any("add lines around it until it is unique" in body for body in bodies)

    # The edits are the editor's, beside what its person has typed and not saved.
    assert editor.edits
    assert "# to do: paging" in editor.text("app/api.py")
    assert "tokens.verify" in editor.text("app/api.py")
    assert "tokens.verify" not in (shop / "app/api.py").read_text()
    assert "compare_digest" in editor.text("app/tokens.py")

    (shop / "app/api.py").write_text(editor.text("app/api.py"))
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(tests, cwd=shop, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


async def test_undo_takes_all_of_it_back(editor: FakeEditor, shop: Path) -> None:
    before = {p: p.read_text() for p in shop.rglob("*.py")}
    report = await editor.execute("/task", TASK, {"wait": True})
    assert report["status"] == "done", report["reason"]
    await editor.execute("/undo")
    assert {p: p.read_text() for p in shop.rglob("*.py")} == before
