"""``run`` in a mission: what its command cannot do to the rest of the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_core.runtime.confinement import Confinement
from orchestrator_core.runtime.programs import tool_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, dict[str, Any]]]

pytestmark = pytest.mark.skipif(
    not Confinement(tool_server()).status().files,
    reason="this kernel has no Landlock",
)


@pytest.fixture
def command(shop: Path, environment: dict[str, str]) -> Command:
    """Runs a task in the trusted workspace; answers the exit code and the report."""
    start = [sys.executable, "-m", "orchestrator_server.cli"]
    end = ["--workspace", str(shop)]
    (shop / ".opencode").mkdir()
    subprocess.run([*start, "trust", *end], env=environment, check=True, capture_output=True)

    def run(text: str, **variables: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [*start, "task", text, "--json", *end],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    return run


def test_the_workspace_is_changed_through_the_mission_only(
    command: Command, shop: Path, tree: Callable[[], dict[str, bytes]]
) -> None:
    before = tree()
    code, report = command(f"run echo x > new.txt; echo x > '{shop}/direct.txt'; true")
    assert code == 0
    assert report["files_changed"] == ["new.txt"]
    assert tree() == {**before, "new.txt": b"x\n"}
    (note,) = report["tasks"][0]["notes"]
    assert "confined: Landlock" in note


def test_what_a_command_links_to_outside_is_not_taken_over(
    command: Command, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret")
    code, report = command(f"run ln -s {tmp_path}/secret a.txt && ln -s {tmp_path} b && echo x > c")
    assert code == 0
    assert report["files_changed"] == ["c"]
    assert not (shop / "a.txt").exists()
    assert b"s3cret" not in b"".join(p.read_bytes() for p in shop.rglob("*") if p.is_file())


def test_no_command_changes_what_rules_the_agents(command: Command, shop: Path) -> None:
    files = (".opencode/orchestrator.toml", ".vscode/settings.json", ".git/hooks/x", ".exrc")
    line = " && ".join(f"mkdir -p $(dirname {file}) && echo x > {file}" for file in files)
    code, report = command(f'run "{line} && echo x > c"')
    assert code == 0
    assert report["files_changed"] == ["c"]
    assert not any((shop / file).exists() for file in files)


def test_a_command_gets_no_secret_and_no_network(command: Command, shop: Path) -> None:
    text = "import socket; socket.create_connection(('127.0.0.1', 9), 5)"
    code, report = command("run env > seen.txt", MY_API_KEY="hunter2secret")
    assert code == 0
    assert "hunter2secret" not in (shop / "seen.txt").read_text()
    assert "PATH=" in (shop / "seen.txt").read_text()
    (shop / "connect.py").write_text(text)
    code, report = command(f"run {sys.executable} connect.py")
    assert code == 1
    details = report["tasks"][0]["receipt"]["checks"][0]["details"]
    assert any("no network" in line for line in details)


def test_strict_mode_runs_where_it_can(command: Command, shop: Path) -> None:
    (shop / ".opencode" / "orchestrator.toml").write_text('confinement = "strict"\n')
    code, report = command("run echo x > c")
    assert code == 0
    assert report["files_changed"] == ["c"]


def test_what_a_failed_command_prints_is_journalled_without_secrets(
    command: Command, shop: Path
) -> None:
    key = "sk-proj-" + "a1B2" * 8
    code, _ = command(f"run echo {key[:12]}{key[12:]} | cat; exit 3")
    assert code == 1
    kept = [path.read_bytes() for path in (shop / ".opencode").rglob("*") if path.is_file()]
    assert any(b"exit 3" in data for data in kept)
    assert not any(key.encode() in data for data in kept)
