"""What is logged, where, for whom, and what is never."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.redaction import MASK
from orchestrator_server.log import FILE_BYTES, FILES, Logfmt, ServerLog, WorkspaceLog
from server.real_server import RealServer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-ghi-123",
        "https://me:hunter2hunter2@host/path",
        "the key sk-proj-0123456789abcdefghij",
        "the value s3cr3t-of-mine is known from the environment",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    formatter = Logfmt({"OPENAI_API_KEY": "s3cr3t-of-mine", "HOME": "environment"})
    masked = formatter.redact(text)
    for secret in ("abc.def-ghi", "hunter2hunter2", "0123456789abcdef", "s3cr3t-of-mine"):
        assert secret not in masked
    assert MASK in masked
    assert ("environment" in masked) == ("environment" in text)


def test_a_line_can_be_read_by_a_program() -> None:
    record = logging.LogRecord("a.b", logging.WARNING, "", 0, 'two words, "quoted"\n%d', (7,), None)
    line = Logfmt({}).format(record)
    assert "\n" not in line
    assert line.endswith(' level=warning logger=a.b message="two words, \\"quoted\\"\\n7"')


def test_the_workspaces_log_is_rotated_and_bounded(tmp_path: Path) -> None:
    (tmp_path / ".opencode").mkdir()
    logger = logging.getLogger("orchestrator_server.test")
    log = ServerLog({})
    try:
        workspace = WorkspaceLog(log, tmp_path)
        workspace.open()
        workspace.open()
        for _ in range(6 * FILE_BYTES // 10_000):
            logger.info("x" * 10_000)
        log.close()  # all that is queued has been written
        workspace.close()
    finally:
        as_before()
    files = sorted((tmp_path / ".opencode" / "logs").iterdir())
    assert len(files) == FILES
    assert all(file.stat().st_size <= FILE_BYTES for file in files)


def test_a_slow_disk_loses_nothing_at_the_end() -> None:
    written: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            time.sleep(0.01)
            written.append(record.getMessage())

    log = ServerLog({})
    try:
        log.add(Slow())
        for number in range(30):
            logging.getLogger("orchestrator_server.test").info("%d", number)
        log.close()
    finally:
        as_before()
    assert written == [str(number) for number in range(30)]


def as_before() -> None:
    """Take back what a log in this process changed."""
    for name in ("orchestrator", "orchestrator_core", "orchestrator_server", "pygls", ""):
        logging.getLogger(name).setLevel(logging.WARNING if not name else logging.NOTSET)


def test_who_does_not_read_standard_error_holds_nothing_up() -> None:
    import os
    import subprocess

    body = """
import logging, os
from orchestrator_core.redaction import MASK
from orchestrator_server.log import ServerLog
from orchestrator_server.lifecycle import leave
log = ServerLog({})
for _ in range(20_000):
    logging.getLogger("orchestrator_core").warning("x" * 100)
log.close()
os.write(1, b"ended")
leave(0)
"""
    read, write = os.pipe()  # nobody reads what is written there
    try:
        done = subprocess.run(
            [sys.executable, "-c", body],
            stderr=write,
            stdout=subprocess.PIPE,
            timeout=30,
            check=True,
        )
    finally:
        os.close(read)
        os.close(write)
    assert done.stdout == b"ended"


def test_the_editor_is_told_what_a_person_should_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    root = tmp_path / "work"
    root.mkdir()
    (root / "a.txt").write_text("one\n")
    logs = root / ".opencode" / "logs"
    with RealServer(tmp_path, root) as server:
        server.run_to_end("replace one -> two", dryRun=True)
        assert not logs.exists()

        server.notify("$/setTrace", {"value": "verbose"})
        server.run_to_end("replace one -> https://me:hunter2hunter2@host")

        told = server.wait_for(
            lambda m: m.get("method") == "window/logMessage" and MASK in m["params"]["message"]
        )
        assert told["params"]["type"] == 3
        traced = server.sent("$/logTrace")["params"]
        assert traced["message"].endswith("accepted")
        assert "missionId" in traced["verbose"]
        server.call("shutdown")
        server.notify("exit")
        assert server.wait_exit() == 0
    written = (logs / "orchestrator.log").read_text()
    assert "logger=orchestrator.person" in written
    assert "hunter2hunter2" not in written


def test_levels_are_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    root = tmp_path / "work"
    root.mkdir()
    (root / "a.txt").write_text("one\n")
    with RealServer(tmp_path, root, initializationOptions={"logLevel": "error"}) as server:
        server.run_to_end("replace one -> two")
        server.call("shutdown")
        assert not [m for m in server.messages if m.get("method") == "window/logMessage"]
