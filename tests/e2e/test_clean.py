"""``clean`` as people run it, and ``/clean`` from an editor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from generated_folder import Desk
from orchestrator_core.cleanup.age_clock import AgeClock
from orchestrator_core.cleanup.entries import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_editor import FakeEditor

    Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(shop: Path, environment: dict[str, str]) -> Command:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "orchestrator_server.cli", *arguments]
        line += ["--workspace", str(shop)]
        return subprocess.run(
            line, env=environment, capture_output=True, text=True, timeout=50, check=False
        )

    return run


def old_folder(shop: Path) -> Desk:
    """A state folder with a session that is eight days old by the real clock."""
    first = AgeClock().read(None)
    desk = Desk(shop, clock=AgeClock(lambda: first.at_s - 8 * 86_400, first.boot))
    desk.put("sessions/a/state.json", Kind.SESSION, b"{}").chmod(0o640)
    desk.put("node_modules/x/index.js", None, b"export {}")
    desk.put("agents/mine.md", None, b"mine")
    desk.manifest.close()
    return desk


def test_clean_shows_does_and_takes_back_the_same(command: Command, shop: Path) -> None:
    desk = old_folder(shop)
    before = desk.tree()

    preview = command("clean", "--dry-run")
    assert preview.returncode == 0, preview.stderr
    assert desk.tree() == before
    lines = [line for line in preview.stdout.splitlines() if line.startswith(("quar", "delete"))]
    assert len(lines) == 2

    done = command("clean")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line in lines] == lines
    assert "freed 9 bytes, 2 files gone, 1 file of these in the quarantine" in done.stdout
    assert "agents/mine.md" in desk.tree()

    restore_id = done.stdout.split()[-1]
    restored = command("clean", "--restore", restore_id)
    assert restored.returncode == 0, restored.stderr
    assert "1 file restored" in restored.stdout
    assert desk.tree() == {k: v for k, v in before.items() if "node_modules" not in k}

    again = command("clean", "--json")
    assert json.loads(again.stdout)["steps"] == []


def test_clean_leaves_nothing_where_there_is_nothing(command: Command, shop: Path) -> None:
    done = command("clean")
    assert (done.returncode, done.stdout) == (0, "nothing to clean up\n")
    assert not (shop / ".opencode").exists()


def test_wrong_use_is_refused(command: Command, environment: dict[str, str], shop: Path) -> None:
    assert command("clean", "--restore", "nothing").returncode == 2
    assert command("clean", "--restore", "a", "--dry-run").returncode == 2
    environment["HOME"] = str(shop)
    refused = command("clean", "--json")
    assert refused.returncode == 2
    assert json.loads(refused.stdout)["kind"] == "CleanupRefused"


def test_a_full_disk_refuses_missions_and_says_so(command: Command, shop: Path) -> None:
    (shop / ".opencode").mkdir()
    (shop / ".opencode/orchestrator.toml").write_text(f"[cleanup]\nfreeBytes = {10**18}\n")
    done = command("task", "rename load -> read_all", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["kind"] == "DiskFull"
    assert "nothing is written until there is room" in report["error"]
    assert [p.name for p in (shop / ".opencode").iterdir()] == ["orchestrator.toml"]


async def test_an_editor_cleans_and_restores(editor: FakeEditor, shop: Path) -> None:
    desk = old_folder(shop)
    preview: Any = await editor.execute("/clean", {"dryRun": True})
    assert preview["dryRun"]
    report: Any = await editor.execute("/clean")
    assert report["steps"] == preview["steps"]
    assert report["quarantined"] == 1
    restored: Any = await editor.execute("/clean", {"restore": report["restoreId"]})
    assert restored["restored"] == ["sessions/a/state.json"]
    assert os.stat(desk.folder / "sessions/a/state.json").st_mode & 0o777 == 0o640


def test_a_mission_cleans_up_when_it_ends(command: Command, shop: Path) -> None:
    desk = old_folder(shop)
    done = command("task", r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py")
    assert done.returncode == 0, done.stderr
    assert "sessions/a/state.json" not in desk.tree()
    assert not (desk.folder / "node_modules").exists()
    desk.assert_agrees()
