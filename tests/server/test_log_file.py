"""The log's files are rotated, on record, and left alone while they are written."""

from __future__ import annotations

import gzip
import logging
import os
from typing import TYPE_CHECKING

from generated_folder import Desk
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.config import CleanupLimits
from orchestrator_server.log_file import LogFile

if TYPE_CHECKING:
    from pathlib import Path


def test_full_files_are_compressed_and_the_current_one_stays(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (desk.folder / "logs").mkdir()
    path = desk.folder / "logs" / "orchestrator.log"
    file = LogFile(path, file_bytes=4_000, files=3)
    for number in range(200):
        file.emit(logging.makeLogRecord({"msg": f"line {number:04} {'.' * 60}"}))
    desk.limits = CleanupLimits(log_bytes=100, log_days=0)
    desk.passes(100)

    report = desk.cleaner.run()

    packed = {os.path.basename(step.path) for step in report.steps}
    assert packed == {"orchestrator.log.1", "orchestrator.log.2"}
    file.emit(logging.makeLogRecord({"msg": "goes on"}))
    file.close()
    assert path.read_text().endswith("goes on\n")
    assert [entry.kind for entry in desk.manifest.growing()] == [Kind.LOG]


def test_a_record_that_comes_after_the_end_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / ".opencode" / "logs").mkdir(parents=True)
    path = tmp_path / ".opencode" / "logs" / "orchestrator.log"
    file = LogFile(path, file_bytes=4_000, files=3)
    file.emit(logging.makeLogRecord({"msg": "first"}))
    file.close()
    file.handle(logging.makeLogRecord({"msg": "late"}))
    assert path.read_text() == "first\n"


def test_what_a_killed_server_left_is_compressed_when_it_is_large(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (desk.folder / "logs").mkdir()
    path = desk.folder / "logs" / "orchestrator.log"
    file = LogFile(path, file_bytes=10**9, files=3)
    file.emit(logging.makeLogRecord({"msg": "line\n" * 100_000}))
    file.close()
    text = path.read_bytes()
    desk.cleaner.run()
    assert not path.exists()
    (packed,) = (desk.folder / "logs").iterdir()
    assert gzip.decompress(packed.read_bytes()) == text
