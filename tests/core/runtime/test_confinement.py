"""Confined commands, run for real: what they cannot do, and what they still can."""

from __future__ import annotations

import http.server
import os
import shlex
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.errors import Unconfined
from orchestrator_core.runtime.command import run_command, shell_argv
from orchestrator_core.runtime.confinement import Confinement, filtered_environment
from orchestrator_core.runtime.programs import tool_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator_core.safety import ConfinementMode

BINARY = tool_server()
STATUS = Confinement(BINARY).status()

pytestmark = pytest.mark.skipif(not STATUS.files, reason="this kernel has no Landlock")
needs_namespaces = pytest.mark.skipif(
    STATUS.network != "namespace", reason="this system gives no namespaces to ordinary users"
)


class Cell:
    """A workspace in which commands run confined, beside files that are none of theirs."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self.outside = folder / "outside"
        self.home = folder / "home"
        for made in (self.workspace, self.outside, self.home / ".ssh", self.home / ".config"):
            made.mkdir(parents=True)
        (self.outside / "file").write_text("theirs\n")
        (self.home / ".ssh" / "id").write_text("PRIVATE\n")
        (self.home / ".profile").write_text("public\n")
        (self.home / "way").symlink_to(self.home / ".ssh")
        (self.workspace / "link").symlink_to(self.outside)
        self.hidden = [self.home / ".ssh"]

    def run(
        self,
        line: str | list[str],
        *,
        network: bool = False,
        mode: ConfinementMode = "strict",
        read_only: tuple[Path, ...] = (),
    ) -> tuple[int, str]:
        confinement = Confinement(BINARY, mode, network=network, hidden=self.hidden)
        argv = shell_argv(line) if isinstance(line, str) else line
        wrapped = confinement.wrap(argv, [self.workspace], read_only)
        result = run_command(wrapped, cwd=self.workspace, timeout_s=30)
        return result.exit_code, result.output

    def python(self, text: str, *, network: bool = False) -> tuple[int, str]:
        return self.run([sys.executable, "-c", text], network=network)


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Cell(tmp_path)


def test_a_confined_command_works_in_its_workspace(cell: Cell) -> None:
    line = "mkdir a && echo hi > a/b && mv a c && ln -s c d && cat d/b > /dev/null && rm -r c && ls"
    assert cell.run(line) == (0, "d\nlink\n")


WRITES = {
    "a new file": "echo x > {outside}/new",
    "an old file": "echo x > {outside}/file",
    "appending": "echo x >> {outside}/file",
    "truncating": f"{shlex.quote(sys.executable)} -c 'import os; os.truncate(\"{{outside}}/file\", 0)'",
    "through a link": "echo x > link/file",
    "through a link of its own": "ln -s {outside} mine && echo x > mine/file",
    "through proc": "echo x > /proc/self/root{outside}/file",
    "by hard link": "ln {outside}/file mine && echo x > mine",
    "by rename into": "mv {outside}/file .",
    "by rename out": "touch a && mv a {outside}/file",
    "by deleting": "rm -f {outside}/file; test -e {outside}/file && exit 1",
    "by a new folder": "mkdir {outside}/new",
    "in a shell of a shell": "sh -c 'sh -c \"echo x > {outside}/file\"'",
    "in the background": "(echo x > {outside}/file) & wait $!",
    "in a session of its own": "setsid -w sh -c 'echo x > {outside}/file'",
    "as a temporary file": "echo x > /tmp/escape-{pid}",
    "to the home": "echo x >> {home}/.profile",
    "by mount": "mount --bind {outside} . ",
    "by remount": "mount -o remount,rw / ",
}


@pytest.mark.parametrize("line", WRITES.values(), ids=WRITES)
def test_a_confined_command_writes_nowhere_else(cell: Cell, line: str) -> None:
    code, _ = cell.run(line.format(outside=cell.outside, home=cell.home, pid=os.getpid()))
    assert code != 0
    assert [path.name for path in cell.outside.iterdir()] == ["file"]
    assert (cell.outside / "file").read_text() == "theirs\n"
    assert (cell.home / ".profile").read_text() == "public\n"
    assert not os.path.exists(f"/tmp/escape-{os.getpid()}")


READS = {
    "by name": "cat {home}/.ssh/id",
    "through a link": "cat {home}/way/id",
    "through a link of its own": "ln -s {home}/.ssh s && cat s/id",
    "through proc": "cat /proc/self/root{home}/.ssh/id",
    "by hard link": "ln {home}/.ssh/id id && cat id",
    "by copy": "cp -r {home}/.ssh copy && cat copy/id",
    "by its parent's environment": "cat /proc/{pid}/environ",
    "by its parent's memory": "head -c1 /proc/{pid}/mem",
    "by its parent's root": "cat /proc/{pid}/root{home}/.ssh/id",
    "by its parent's open files": "cat /proc/{pid}/fd/{fd}",
}


@pytest.mark.parametrize("line", READS.values(), ids=READS)
def test_a_confined_command_reads_nothing_hidden(cell: Cell, line: str) -> None:
    with (cell.home / ".ssh" / "id").open() as file:
        code, output = cell.run(line.format(home=cell.home, pid=os.getpid(), fd=file.fileno()))
    assert code != 0
    assert "PRIVATE" not in output
    assert "PATH=" not in output


def test_what_is_not_hidden_can_be_read(cell: Cell) -> None:
    assert cell.run(f"cat {cell.home}/.profile {cell.outside}/file") == (0, "public\ntheirs\n")
    assert cell.run(f"ls -A {cell.home}")[0] == 0


@needs_namespaces
def test_parts_of_the_workspace_can_be_read_only(cell: Cell) -> None:
    rules = cell.workspace / ".git"
    rules.mkdir()
    (rules / "config").write_text("old")
    for line in ("echo x > .git/config", "mv .git b", "rm -rf .git", "umount .git", "touch .git/a"):
        assert cell.run(line, read_only=(rules,))[0] != 0
    assert cell.run("echo x > a; cat .git/config", read_only=(rules,)) == (0, "old")
    assert [path.name for path in rules.iterdir()] == ["config"]


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server of this machine, outside of any confinement."""
    served = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served.server_port
    served.shutdown()
    thread.join()
    served.server_close()


CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 5)"


@pytest.mark.parametrize("namespaces", [True, False])
def test_a_confined_command_has_no_network(cell: Cell, server: int, namespaces: bool) -> None:
    argv = [BINARY, "confine", "--strict", *(["--no-namespaces"] * (not namespaces)), "--"]
    texts = (
        CONNECT.format(port=server),
        "import socket; socket.create_connection(('10.1.2.3', 80), 5)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.1.2.3', 53))",
        f"import socket; socket.socket(socket.AF_INET6).connect(('::1', {server}))",
    )
    for text in texts:
        done = subprocess.run(
            [*argv, sys.executable, "-c", text], capture_output=True, timeout=30, check=False
        )
        assert done.returncode == 1, text
        assert b"Error" in done.stderr


def test_the_network_can_be_allowed(cell: Cell, server: int) -> None:
    assert cell.python(CONNECT.format(port=server), network=True) == (0, "")
    assert cell.run(f"echo x > {cell.outside}/file", network=True)[0] != 0


@needs_namespaces
def test_a_confined_command_has_a_loopback_of_its_own(cell: Cell) -> None:
    text = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
"""
    assert cell.python(text) == (0, "")


@needs_namespaces
@pytest.mark.parametrize("network", [True, False])
def test_sockets_of_other_programs_are_out_of_reach(cell: Cell, network: bool) -> None:
    path = cell.outside / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        text = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        code, output = cell.python(text, network=network)
        assert code == 1
        assert "Error" in output
        subprocess.run([sys.executable, "-c", text], check=True)  # without confinement it is there


@needs_namespaces
def test_semaphores_and_pools_of_processes_work(cell: Cell) -> None:
    text = "import multiprocessing as m; print(m.Pool(2).map(abs, [-1, -2]))"
    assert cell.python(text) == (0, "[1, 2]\n")


def test_no_program_outside_gets_a_signal(cell: Cell) -> None:
    if not STATUS.signals:
        pytest.skip("this kernel's Landlock knows no signals")
    with subprocess.Popen(["sleep", "60"]) as other:
        code, _ = cell.run(f"kill -9 {other.pid}")
        assert code != 0
        assert other.poll() is None
        other.kill()


def test_what_a_command_starts_is_confined_and_ends_with_it(cell: Cell) -> None:
    code, _ = cell.run("(sleep 60; echo x > late) & exit 3")
    assert code == 3
    assert not (cell.workspace / "late").exists()


def test_the_exit_code_is_the_commands_own(cell: Cell) -> None:
    assert cell.run("exit 7")[0] == 7
    code, output = cell.run(["/no/such/program"])
    assert code == 125
    assert "/no/such/program cannot be started" in output


def test_strict_mode_refuses_to_run_without_confinement(cell: Cell, tmp_path: Path) -> None:
    unable = tmp_path / "tool-server"
    unable.write_text("#!/bin/sh\nexit 1\n")
    unable.chmod(0o755)
    with pytest.raises(Unconfined, match="strict"):
        Confinement(unable, "strict").wrap(["true"], [])
    on = Confinement(unable, "on")
    assert on.wrap(["true"], []) == ["true"]
    assert on.in_force() == "not confined: this system cannot"
    off = Confinement(BINARY, "off")
    assert off.wrap(["true"], []) == ["true"]
    assert "off" in off.in_force()


def test_what_is_in_force_is_said(cell: Cell) -> None:
    said = Confinement(BINARY).in_force()
    assert f"Landlock {STATUS.landlock}" in said
    assert "no network" in said
    assert "network allowed" in Confinement(BINARY, network=True).in_force()


def test_the_environment_has_no_secret_and_no_way_out() -> None:
    given = {
        "PATH": "/bin",
        "HOME": "/home/x",
        "LANG": "C",
        "KEYMAP": "de",
        "PWD": "/x",
        "OPENAI_API_KEY": "1",
        "GITHUB_TOKEN": "1",
        "AWS_SECRET_ACCESS_KEY": "1",
        "PGPASSWORD": "1",
        "DATABASE_URL": "1",
        "SSH_AUTH_SOCK": "1",
        "LD_PRELOAD": "1",
        "DOCKER_HOST": "1",
        "my_password": "1",
        "NPM_TOKEN": "1",
        "DJANGO_SECRET": "1",
        "BASH_ENV": "1",
    }
    kept = {"PATH", "HOME", "LANG", "KEYMAP", "PWD"}
    assert set(filtered_environment(given)) == kept
    assert set(filtered_environment(given, ["NPM_TOKEN"])) == {*kept, "NPM_TOKEN"}
