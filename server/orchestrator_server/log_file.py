"""The log's file in ``.opencode/logs``: rotated by size, and known to cleanup as the program's."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import record
from orchestrator_core.cleanup.manifest import Manifest
from orchestrator_core.errors import CleanupError

if TYPE_CHECKING:
    from io import TextIOWrapper


class LogFile(RotatingFileHandler):
    """Writes to a file, and begins another when it is full. Locked while it is written.

    Cleanup leaves the locked one alone and compresses those that are full.

    Args:
        path: the file, in a folder of ``.opencode``.
        file_bytes: what one file may take.
        files: how many there are at most, but for compressed ones.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, *, file_bytes: int, files: int) -> None:
        super().__init__(path, maxBytes=file_bytes, backupCount=files - 1, encoding="utf-8")
        self._manifest = Manifest(path.parents[1])
        self._ended = False
        self._record()

    def close(self) -> None:
        """Write no more."""
        self._ended = True
        super().close()
        self._manifest.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; none that was on its way when the file was closed: that opens it again."""
        if not self._ended:
            super().emit(record)

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        return stream

    def doRollover(self) -> None:  # noqa: N802 - the name of the standard library
        """Begin another file."""
        super().doRollover()
        self._record()

    def _record(self) -> None:
        """Have the manifest know each file as it is now."""
        current = Path(self.baseFilename)
        full = [current.with_name(f"{current.name}.{n}") for n in range(1, self.backupCount + 1)]
        try:
            with self._manifest.writing():
                record(self._manifest, current, Kind.LOG, growing=True)
                for path in full:
                    if path.exists():
                        record(self._manifest, path, Kind.LOG)
        except CleanupError as error:
            logging.getLogger(__name__).warning("%s", error)
