"""Owned children and commands: real processes, gone when their owner is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from core.runtime.processes import gone, read_pid
from orchestrator_core.errors import ToolUnavailable
from orchestrator_core.runtime.command import CancelSignal, run_command
from orchestrator_core.runtime.process import Child

if TYPE_CHECKING:
    from pathlib import Path


def test_a_child_echoes_through_its_pipes_and_reports_its_exit_code() -> None:
    with Child(["/bin/sh", "-c", "read line; echo got $line; exit 3"]) as child:
        child.stdin.write(b"this\n")
        assert child.stdout.read() == b"got this\n"
        assert child.wait(5) == 3
        assert child.poll() == 3
    assert not psutil.pid_exists(child.pid)


def test_wait_returns_none_while_the_child_runs() -> None:
    with Child(["/bin/sleep", "60"]) as child:
        assert child.poll() is None
        assert child.wait(0.01) is None
    assert child.poll() == -signal.SIGTERM


def test_close_kills_a_child_that_ignores_sigterm_and_its_descendants(tmp_path: Path) -> None:
    script = f"trap '' TERM; (trap '' TERM; echo $$ >/dev/null; exec sleep 60) & echo $! > {tmp_path}/pid; echo up; wait"
    with Child(["/bin/sh", "-c", script]) as child:
        assert child.stdout.readline() == b"up\n"
        grandchild = read_pid(tmp_path / "pid")
        assert child.close(grace_s=0.1) == -signal.SIGKILL
    assert gone(grandchild)
    assert not psutil.pid_exists(child.pid)


def test_close_kills_descendants_of_a_child_that_has_ended(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid"
    with Child(["/bin/sh", "-c", script]) as child:
        assert child.wait(5) == 0
        grandchild = read_pid(tmp_path / "pid")
    assert gone(grandchild)


def test_closing_twice_and_from_two_threads_is_one_close() -> None:
    child = Child(["/bin/sleep", "60"])
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(child.close())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert codes == [-signal.SIGTERM] * 4


def test_flooding_stderr_does_not_block_and_its_end_is_kept() -> None:
    flood = "import sys; sys.stderr.write('x' * 3_000_000 + 'the end'); print('done')"
    with Child([sys.executable, "-c", flood], stderr_tail_bytes=1000) as child:
        assert child.stdout.read() == b"done\n"
        child.wait(5)
        tail = child.stderr_tail()
    assert tail.endswith("the end")
    assert len(tail) == 1000


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(ToolUnavailable, match=r"no-such-program.*No such file"):
        Child(["/no-such-program"])


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_the_group_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    child_script = f"trap '' TERM HUP; sleep 60 & echo $! > {tmp_path}/grandchild; echo $$ > {tmp_path}/child; wait"
    parent_script = (
        "import sys\n"
        "from orchestrator_core.runtime.process import Child\n"
        f"child = Child(['/bin/sh', '-c', {child_script!r}], stdin=False)\n"
        "print('guarded', flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-c", parent_script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"guarded\n"
        child, grandchild = read_pid(tmp_path / "child"), read_pid(tmp_path / "grandchild")
        parent.kill()
    assert gone(child)
    assert gone(grandchild)


def test_no_file_descriptor_is_left_after_many_children() -> None:
    def cycle() -> None:
        with Child(["/bin/cat"]):
            pass
        run_command("true")

    cycle()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(10):
        cycle()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_a_command_streams_its_output_and_reports_its_end() -> None:
    seen: list[str] = []
    result = run_command("echo out; echo err >&2; exit 4", on_output=seen.append)
    assert (result.outcome, result.exit_code, result.output) == ("exited", 4, "out\nerr\n")
    assert "".join(seen) == "out\nerr\n"
    assert not result.truncated


def test_a_command_runs_in_its_folder_with_its_environment(tmp_path: Path) -> None:
    result = run_command(["/bin/sh", "-c", "pwd; echo $X"], cwd=tmp_path, env={"X": "1"})
    assert result.output == f"{tmp_path}\n1\n"


def test_the_kept_output_is_the_end_and_every_byte_was_streamed() -> None:
    total = 0

    def count(text: str) -> None:
        nonlocal total
        total += len(text)

    result = run_command(
        [sys.executable, "-c", "print('y' * 3_000_000 + 'end')"], on_output=count, keep_bytes=100
    )
    assert total == 3_000_004
    assert result.output.endswith("end\n")
    assert len(result.output) == 100
    assert result.truncated


def test_characters_split_between_two_reads_are_decoded_whole() -> None:
    seen: list[str] = []
    script = "import sys; o = sys.stdout.buffer; o.write(b'\\xc3'); o.flush(); sys.stdin.read(); o.write(b'\\xa9')"
    assert run_command([sys.executable, "-c", script], on_output=seen.append).output == "é"
    assert "".join(seen) == "é"


def test_the_deadline_of_a_command_ends_its_whole_group(tmp_path: Path) -> None:
    result = run_command(
        f"sleep 60 & echo $! > {tmp_path}/pid; echo begun; wait", timeout_s=0.3, grace_s=0.2
    )
    assert result.outcome == "timed out"
    assert result.output == "begun\n"
    assert gone(read_pid(tmp_path / "pid"))


def test_cancelling_ends_the_group_even_if_it_ignores_sigterm(tmp_path: Path) -> None:
    cancel = CancelSignal()

    def on_output(_: str) -> None:
        threading.Thread(target=cancel.cancel).start()

    result = run_command(
        f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; echo begun; while :; do wait; done",
        cancel=cancel,
        on_output=on_output,
        grace_s=0.1,
    )
    assert result.outcome == "cancelled"
    assert result.exit_code == -signal.SIGKILL
    assert gone(read_pid(tmp_path / "pid"))


def test_a_command_that_is_cancelled_before_it_starts_does_not_go_on() -> None:
    cancel = CancelSignal()
    cancel.cancel()
    assert run_command("sleep 60", cancel=cancel).outcome == "cancelled"


def test_what_a_command_left_in_the_background_is_killed(tmp_path: Path) -> None:
    result = run_command(f"yes & echo $! > {tmp_path}/pid", keep_bytes=100)
    assert (result.outcome, result.exit_code) == ("exited", 0)
    assert gone(read_pid(tmp_path / "pid"))


def test_a_daemon_that_holds_the_output_open_does_not_hold_the_command(tmp_path: Path) -> None:
    result = run_command(
        f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 60' & sleep 0.2; echo end"
    )
    daemon = read_pid(tmp_path / "pid")
    os.kill(daemon, signal.SIGKILL)
    assert (result.outcome, result.output) == ("exited", "end\n")


def test_a_command_may_close_its_output_and_go_on() -> None:
    result = run_command("exec >&- 2>&-; sleep 0.2; exit 5")
    assert (result.outcome, result.exit_code) == ("exited", 5)


def test_an_error_in_the_callback_ends_the_command(tmp_path: Path) -> None:
    def refuse(_: str) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        run_command(f"sleep 60 & echo $! > {tmp_path}/pid; echo x; wait", on_output=refuse)
    assert gone(read_pid(tmp_path / "pid"))
