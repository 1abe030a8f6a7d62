"""The workspace: what its files hold now, the editor's unsaved text first.

A path is looked up in three places, the first that knows it wins:

1. the buffers that the editor has open (``opened`` … ``closed``);
2. texts that the editor took an edit for without having the file open: they may sit in a hidden
   unsaved buffer there, so they count until the file on disk changes (``note_applied``);
3. the disk.

Paths are relative to the root, with forward slashes. Nothing outside the root is reached, also
not through a symbolic link. A file and a link to it are one document under two names.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from orchestrator_core.errors import MissingFile, UnreadableText, WorkspaceError
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.root import Root

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator_core.workspace.text_file import Signature

MAX_FILE_BYTES = 32 * 2**20
"""Larger files are left alone: no person edits them, and every step would copy them."""


class Document(Struct, frozen=True):
    """A text file as it was at one moment.

    Attributes:
        path: relative to the root, with forward slashes.
        text: decoded, without a byte-order mark, line endings as they are.
        sha256: of the encoded bytes, byte-order mark included; the hash of the file, if saved.
        version: the editor's version of the buffer; None where the editor has none open.
        bom: whether a byte-order mark stands before the text.
        source: where the text came from.
        mode: permission bits of the file on disk; None where there is none.
    """

    path: str
    text: str
    sha256: str
    version: int | None = None
    bom: bool = False
    source: Literal["disk", "editor"] = "disk"
    mode: int | None = None

    def encode(self) -> bytes:
        """The bytes that ``sha256`` is the hash of."""
        return text_file.encode(self.text, bom=self.bom)


class Overlay(Struct, frozen=True):
    """What readers of the disk must be told of a path: its true text, or None: it is gone."""

    path: str
    text: str | None


class _Buffer(Struct):
    """An open buffer. ``document`` is made when first read: hashing every keystroke is waste."""

    text: str
    version: int | None
    document: Document | None = None


class _Pending(Struct, frozen=True):
    """A text that the editor accepted for a file that it has not open."""

    text: str | None
    disk: Signature | None


class Workspace(Root):
    """The files below one folder.

    Safe from any thread. Reading blocks on the disk; ``opened``, ``changed``, ``closed`` and
    ``saved`` touch it only to resolve symbolic links.

    Args:
        root: the folder.
        max_file_bytes: files larger than this are refused as :class:`UnreadableText`.

    Raises:
        WorkspaceError: the folder does not exist, is none, or cannot be read.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, max_file_bytes: int = MAX_FILE_BYTES
    ) -> None:
        super().__init__(root)
        self._max_file_bytes = max_file_bytes
        self._lock = threading.Lock()
        self._buffers: dict[str, _Buffer] = {}
        self._pending: dict[str, _Pending] = {}
        self._listeners: list[Callable[[str], None]] = []

    # Reading

    def read(self, path: str) -> Document:
        """The document as it is now.

        Raises:
            MissingFile: there is no such file.
            UnreadableText: it is not UTF-8 text; it is to be left alone and reported.
            WorkspaceError: the path leads out of the workspace.
        """
        name = self.relative(path)
        file = self.locate(name)
        key = self.key(file)
        with self._lock:
            buffer = self._buffers.get(key)
            pending = self._pending.get(key)
        if buffer is not None:
            return self._read_buffer(buffer, name, file)
        if pending is not None:
            if pending.disk == text_file.signature(file):
                return self._read_pending(pending, name, file)
            self._forget_pending(key, pending)
        data, mode = text_file.read_bytes(file, name, limit_bytes=self._max_file_bytes)
        text, bom = text_file.decode(data, name)
        return Document(name, text, text_file.sha256(data), bom=bom, mode=mode)

    def find(self, path: str) -> Document | None:
        """The document as it is now, or None where there is none. Otherwise like ``read``."""
        try:
            return self.read(path)
        except MissingFile:
            return None

    def version(self, path: str) -> int | None:
        """The editor's version of an open file; None where it has it not open."""
        key = self.key(self.locate(path))
        with self._lock:
            buffer = self._buffers.get(key)
        return None if buffer is None else buffer.version

    # What the editor tells

    def opened(self, path: str, text: str, version: int | None = None) -> None:
        """The editor opened a file: its text counts from now on, not the disk's."""
        key = self.key(self.locate(path))
        with self._lock:
            self._pending.pop(key, None)
            self._buffers[key] = _Buffer(text, version)
        self._tell(key)

    def changed(self, path: str, text: str, version: int | None = None) -> None:
        """The text of an open file changed."""
        self.opened(path, text, version)

    def saved(self, path: str) -> None:
        """The editor wrote an open file to disk."""
        key = self.key(self.locate(path))
        with self._lock:
            buffer = self._buffers.get(key)
            if buffer is not None:
                buffer.document = None  # saving may add or remove the byte-order mark
        self._tell(key)

    def closed(self, path: str) -> None:
        """The editor closed a file: the disk counts again, unsaved text is gone."""
        key = self.key(self.locate(path))
        with self._lock:
            known = self._buffers.pop(key, None)
        if known is not None:
            self._tell(key)

    def note_applied(self, path: str, text: str | None) -> None:
        """The editor accepted an edit to a file.

        Where it has the file open, reads see ``text`` until the editor tells of the buffer
        again (some do so only after a pause); otherwise until the disk's file changes or the
        editor opens it. None says that the file is gone.
        """
        file = self.locate(path)
        key = self.key(file)
        pending = _Pending(text, text_file.signature(file))
        with self._lock:
            buffer = self._buffers.get(key)
            if buffer is not None and text is not None:
                self._buffers[key] = _Buffer(text, buffer.version)
            else:
                self._buffers.pop(key, None)
                self._pending[key] = pending
        self._tell(key)

    # What others must be told

    def overlay(self, path: str) -> Overlay | None:
        """What differs from a plain look at the disk, for tools; None where nothing does."""
        file = self.locate(path)
        key = self.key(file)
        with self._lock:
            buffer = self._buffers.get(key)
            pending = self._pending.get(key)
        if buffer is not None:
            return Overlay(key, buffer.text)
        if pending is not None and pending.disk == text_file.signature(file):
            return Overlay(key, pending.text)
        return None

    def unsaved(self) -> dict[str, str | None]:
        """Texts that differ from the disk's; None stands for a file that is gone.

        Reads the files of all open buffers to compare.
        """
        with self._lock:
            keys = [*self._buffers, *self._pending]
        result: dict[str, str | None] = {}
        for key in keys:
            overlay = self.overlay(key)
            if overlay is not None and overlay.text != self._disk_text(key):
                result[key] = overlay.text
        return result

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Have ``listener(path)`` called whenever the overlay of a path may have changed.

        It is called in the thread that caused the change, without a lock held, and asks
        ``overlay(path)`` when it needs the text: a burst of changes then costs one transfer.

        Returns:
            Call it to end the subscription.
        """
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    # Inside

    def _read_buffer(self, buffer: _Buffer, name: str, file: Path) -> Document:
        document = buffer.document
        if document is None or document.path != name:
            document = self._editor_document(name, file, buffer.text, buffer.version)
            buffer.document = document
        return document

    def _read_pending(self, pending: _Pending, name: str, file: Path) -> Document:
        if pending.text is None:
            raise MissingFile(name)
        return self._editor_document(name, file, pending.text, None)

    def _editor_document(self, name: str, file: Path, text: str, version: int | None) -> Document:
        # Editors keep the mark out of the text, and write it again when they save.
        bom = not text.startswith("\ufeff") and _has_bom(file)
        try:
            digest = text_file.sha256(text_file.encode(text, bom=bom))
        except UnicodeEncodeError:
            raise UnreadableText(name, "holds half a surrogate pair, which UTF-8 cannot") from None
        return Document(name, text, digest, version, bom, "editor", text_file.mode(file))

    def _disk_text(self, key: str) -> str | None:
        try:
            file = self.locate(key)
            data, _ = text_file.read_bytes(file, key, limit_bytes=self._max_file_bytes)
            return text_file.decode(data, key)[0]
        except WorkspaceError:
            return None

    def _forget_pending(self, key: str, pending: _Pending) -> None:
        with self._lock:
            if self._pending.get(key) is not pending:
                return
            del self._pending[key]
        self._tell(key)

    def _tell(self, key: str) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(key)


def _has_bom(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(len(text_file.BOM)) == text_file.BOM
    except OSError:
        return False  # nothing on disk, so nothing that an editor could have kept
