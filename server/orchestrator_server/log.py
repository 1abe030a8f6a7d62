"""The server's log: structured lines on standard error and in the workspace, without secrets.

A line is ``key=value`` pairs (logfmt). It is written by a thread of its own, because neither a
slow disk nor an editor that does not read standard error may hold the event loop.

What a person should know goes to the logger :data:`PERSON`: the editor shows it
(``window/logMessage``), so that it is not repeated on standard error, which many editors show too.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from functools import cached_property
from logging.handlers import QueueHandler, QueueListener
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from orchestrator_core.redaction import Redactor

PERSON = "orchestrator.person"

FILE_BYTES = 128 * 1024
FILES = 3
"""At most so many files of that size, well within the 2 MB of ``.opencode``."""

_QUEUED = 10_000
_STUCK_S = 0.5
_FLUSH_S = 3.0


class Logfmt(logging.Formatter):
    """One line a record, secrets masked.

    Args:
        environment: where secrets are known from.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self._environment = environment

    def format(self, record: logging.LogRecord) -> str:
        """The record as ``key=value`` pairs."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        pairs = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.redact(record.getMessage()),
        }
        if record.exc_info:
            pairs["error"] = self.redact(self.formatException(record.exc_info))
        return " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items())

    def redact(self, text: str) -> str:
        """The text with every secret in it masked."""
        return self._redactor.text(text)

    @cached_property
    def _redactor(self) -> Redactor:
        # Made with the first line, in the log's thread: start-up does not pay for its patterns.
        from orchestrator_core.redaction import Redactor  # noqa: PLC0415

        return Redactor(self._environment)


class _Dropping(QueueHandler):
    """Drops records rather than wait, once nobody takes them."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The formatter must see the exception itself; the message is made while its parts hold.
        record.msg, record.args = record.getMessage(), None
        return record


class _Listener(QueueListener):
    """Can be stopped while the queue is full."""

    def enqueue_sentinel(self) -> None:
        cast("queue.Queue[None]", self.queue).put(None)


class ServerLog:
    """The process's logging, from construction to ``close``. Thread-safe.

    Args:
        environment: where secrets may be known from; usually ``os.environ``.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.formatter = Logfmt(environment)
        stderr = logging.StreamHandler(sys.stderr)
        stderr.setFormatter(self.formatter)
        stderr.addFilter(lambda record: record.name != PERSON)
        records: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUED)
        self._records = records
        self._handler = _Dropping(records)
        self._listener = _Listener(records, stderr)
        self._listener.start()
        root = logging.getLogger()
        root.addHandler(self._handler)
        self.set_level("info")

    def set_level(self, *levels: str) -> None:
        """Let through what the most talkative of these levels does."""
        chosen = min(logging.getLevelNamesMapping()[level.upper()] for level in levels)
        logging.getLogger().setLevel(max(chosen, logging.INFO))
        for name in ("orchestrator", "orchestrator_core", "orchestrator_server"):
            logging.getLogger(name).setLevel(chosen)
        logging.getLogger("pygls").setLevel(logging.WARNING)

    def add(self, handler: logging.Handler) -> None:
        """Have a handler called, in the log's thread."""
        handler.setFormatter(self.formatter)
        self._listener.handlers = (*self._listener.handlers, handler)

    def remove(self, handlers: Iterable[logging.Handler]) -> None:
        """Call these handlers no more."""
        gone = {*handlers}
        self._listener.handlers = tuple(h for h in self._listener.handlers if h not in gone)

    def close(self) -> None:
        """Write what is queued, while it gets less: who reads standard error may be stuck."""
        logging.getLogger().removeHandler(self._handler)
        flushing = threading.Thread(target=self._listener.stop, name="log-flush", daemon=True)
        flushing.start()
        deadline = time.monotonic() + _FLUSH_S
        while flushing.is_alive() and time.monotonic() < deadline:
            left = self._records.qsize()
            flushing.join(_STUCK_S)
            if flushing.is_alive() and self._records.qsize() >= left:
                return


class WorkspaceLog:
    """The log in a workspace's ``.opencode/logs``, once the workspace is this process's to write.

    Args:
        log: what is written there.
        root: the workspace.
    """

    def __init__(self, log: ServerLog, root: Path) -> None:
        self._log = log
        self._folder = root / ".opencode" / "logs"
        self._file: logging.Handler | None = None

    def open(self) -> None:
        """Begin to write; repeating it does nothing. Blocks on the disk."""
        from orchestrator_server.log_file import LogFile  # noqa: PLC0415 - after initialize

        if self._file is not None:
            return
        try:
            self._folder.mkdir(exist_ok=True)
            path = self._folder / "orchestrator.log"
            file = LogFile(path, file_bytes=FILE_BYTES, files=FILES)
        except OSError as error:
            logging.getLogger(__name__).warning("no log in %s: %s", self._folder, error)
            return
        self._file = file
        self._log.add(file)

    def close(self) -> None:
        """Write no more; repeating it does nothing."""
        file, self._file = self._file, None
        if file is not None:
            self._log.remove([file])
            file.close()


def _quoted(value: str) -> str:
    plain = value.isascii() and value.isprintable() and not set(value) & set(' "=')
    return value if value and plain else json.dumps(value, ensure_ascii=False)


def environment_log() -> ServerLog:
    """The log of a server that runs in this process's environment."""
    return ServerLog(os.environ)
