"""Two servers on one workspace: one writes, the other says who, and reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fake_editor import FIXTURES
from server.wire_client import WireClient, request

COMMAND = [sys.executable, "-m", "orchestrator_server.cli"]
SERVE = [*COMMAND, "serve", "--stdio"]
TASKS = ("replace assertEquals -> assertEqual in tests", "replace Basket -> Cart in shop")


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def read(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".opencode" not in path.parts
    }


def begin(server: WireClient, root: Path, task: str) -> int:
    """Say hello and ask for a task without waiting for anything."""
    server.send(
        request(
            "hello",
            "initialize",
            {"capabilities": {}, "processId": None, "rootUri": root.as_uri()},
        )
    )
    server.notify("initialized", {})
    return server.ask_command("/task", task, {"wait": True})


def race(root: Path) -> None:
    shutil.copytree(FIXTURES / "workspaces" / "shop", root)
    before = read(root)
    with WireClient(SERVE) as one, WireClient(SERVE) as two:
        servers = (one, two)
        asked = [begin(server, root, task) for server, task in zip(servers, TASKS, strict=True)]
        answers = [server.answer(number) for server, number in zip(servers, asked, strict=True)]
        winners = [place for place, answer in enumerate(answers) if "result" in answer]
        assert len(winners) == 1, answers
        (won,) = winners
        winner, other, report = servers[won], servers[1 - won], answers[won]["result"]
        assert report["status"] == "done", report
        now = read(root)
        assert sorted(path for path in now if now[path] != before[path]) == sorted(
            report["filesChanged"]
        )

        refusal = answers[1 - won]["error"]["message"]
        assert f"process {winner.process.pid}" in refusal, refusal
        assert "read-only" in refusal
        (seen,) = other.command("/status")
        assert (seen["mission"], seen["status"]) == (report["mission"], "done")
        undo = other.answer(other.ask_command("/undo"))
        assert f"process {winner.process.pid}" in undo["error"]["message"], undo
        assert read(root) == now

        winner.call("shutdown")
        winner.notify("exit")
        assert winner.wait_exit() == 0
        other.command("/undo")  # the workspace is free now
        assert read(root) == before
        other.call("shutdown")
        other.notify("exit")
        assert other.wait_exit() == 0


@pytest.mark.parametrize("attempt", range(2))
def test_of_two_servers_one_writes_and_the_other_reads(tmp_path: Path, attempt: int) -> None:
    race(tmp_path / f"shop {attempt}")


def test_a_command_beside_a_server_reads_and_names_it(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    shutil.copytree(FIXTURES / "workspaces" / "shop", root)

    def command(*line: str) -> subprocess.CompletedProcess[str]:
        arguments = [*COMMAND, *line, "--workspace", str(root)]
        return subprocess.run(arguments, check=False, text=True, capture_output=True, timeout=50)

    with WireClient(SERVE) as server:
        assert server.answer(begin(server, root, TASKS[0]))["result"]["status"] == "done"
        before = read(root)
        refused = command("task", TASKS[1])
        assert refused.returncode == 1
        assert f"process {server.process.pid}" in refused.stderr
        assert read(root) == before
        status = command("status")
        assert status.returncode == 0
        assert "assertEqual" in status.stdout


@pytest.mark.soak
def test_of_two_servers_one_writes_fifty_times(tmp_path: Path) -> None:
    for attempt in range(50):
        race(tmp_path / f"shop {attempt}")
