"""Which workspaces may run commands: a file of the person's, outside of any workspace.

A workspace is trusted by its real path. A command that a file of the workspace names (a check in
``pyproject.toml``, a step of a plan) may run only while that file has the content that was
trusted: whoever can change the repository must not thereby run commands on the person's machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

_MARKER = re.compile(rb"^(\s*(?:[-*+]|#+)[ \t]+)\[[ xX/!-]\][ \t]?", re.MULTILINE)


class _Entry(Struct):
    """A trusted workspace: since when (seconds since the epoch), and its files' hashes."""

    since: float
    files: dict[str, str] = {}


class _Store(Struct):
    version: int = 1
    workspaces: dict[str, _Entry] = {}


class TrustStore:
    """The trusted workspaces. Thread-safe; what other processes write is seen at once.

    A store that cannot be read trusts nobody.

    Args:
        path: the store's file; it and its folder are made when something is trusted.
        clock: the time in seconds since the epoch.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()

    def is_trusted(self, root: Path, files: Sequence[str] = ()) -> bool:
        """Whether commands may run in ``root``, by the word of ``files`` (relative to it)."""
        entry = self._read().workspaces.get(_key(root))
        if entry is None:
            return False
        return all(entry.files.get(name) == _hash(root / name) for name in files)

    def trust(self, root: Path, files: Sequence[str] = ()) -> None:
        """Trust a workspace, and its files as they are now; those trusted before stay so.

        Raises:
            OSError: the store cannot be written, or a file cannot be read.
        """
        hashes = {name: _hash(root / name) for name in files}
        for name, digest in hashes.items():
            if not digest:
                raise FileNotFoundError(f"{root / name} cannot be read: it cannot be trusted")
        with self._lock:
            store = self._read()
            entry = store.workspaces.setdefault(_key(root), _Entry(self._clock()))
            entry.files.update(hashes)
            self._write(store)

    def revoke(self, root: Path) -> bool:
        """Trust a workspace no longer; whether it was trusted."""
        with self._lock:
            store = self._read()
            known = store.workspaces.pop(_key(root), None) is not None
            if known:
                self._write(store)
            return known

    def workspaces(self) -> list[Path]:
        """All trusted workspaces."""
        return [Path(name) for name in sorted(self._read().workspaces)]

    def _read(self) -> _Store:
        try:
            return decode(self._path.read_bytes(), _Store)
        except FileNotFoundError:
            return _Store()
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("%s cannot be read, so no workspace is trusted: %s", self._path, error)
            return _Store()

    def _write(self, store: _Store) -> None:
        """Replace the file whole, so that a reader never sees half of it."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(store), indent=2))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


def _key(root: Path) -> str:
    return str(root.resolve())


def _hash(file: Path) -> str:
    """The hash of a file's content; empty if there is none.

    The markers of a plan are no part of it: ticking off a task changes no command.
    """
    try:
        content = file.read_bytes()
        if file.suffix == ".md":
            content = _MARKER.sub(rb"\1", content)
        return hashlib.sha256(content).hexdigest()
    except OSError:
        return ""
