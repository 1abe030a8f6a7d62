"""Text files as bytes on disk: reading them whole, telling text from other data, hashing.

A text is UTF-8, with or without a byte-order mark; its line endings are part of it and are never
translated. Everything else (other encodings, binary data, directories, devices) is refused with
:class:`~orchestrator_core.errors.UnreadableText` and left alone.

Functions only: safe from any thread.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import MissingFile, UnreadableText

if TYPE_CHECKING:
    from pathlib import Path

BOM = codecs.BOM_UTF8


class Signature(Struct, frozen=True):
    """What tells that a file on disk is not the one seen before, without reading it."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


def signature_of(status: os.stat_result) -> Signature:
    """The signature within an answer of ``stat``."""
    return Signature(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def signature(file: Path) -> Signature | None:
    """The signature of a file, symbolic links followed; None where there is none."""
    try:
        return signature_of(os.stat(file))  # noqa: PTH116 - half the cost of Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return None


def mode(file: Path) -> int | None:
    """The permission bits of a file, symbolic links followed; None where there is none."""
    try:
        return stat.S_IMODE(os.stat(file).st_mode)  # noqa: PTH116 - half the cost of Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return None


def sha256(data: bytes) -> str:
    """The hash that documents, edits and the journal know content by."""
    return hashlib.sha256(data).hexdigest()


def encode(text: str, *, bom: bool) -> bytes:
    """The bytes of a text.

    Raises:
        UnicodeEncodeError: half of a surrogate pair stands alone in it.
    """
    data = text.encode("utf-8")
    return BOM + data if bom else data


def decode(data: bytes, path: str) -> tuple[str, bool]:
    """The text in the bytes of a file, and whether a byte-order mark stood before it.

    Raises:
        UnreadableText: the bytes are not UTF-8 text. ``path`` is named in the message.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableText(path, "is UTF-16, not UTF-8")
    if b"\0" in data:
        raise UnreadableText(path, "is binary")
    bom = data.startswith(BOM)
    body = data.removeprefix(BOM)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        reason = f"is not UTF-8 (byte 0x{body[error.start]:02x} on line {line})"
        raise UnreadableText(path, reason) from None
    return text, bom


def read_bytes(file: Path, path: str, *, limit_bytes: int) -> tuple[bytes, int]:
    """All of a regular file, and its permission bits.

    Args:
        file: where it lies.
        path: what messages call it.
        limit_bytes: a larger file is refused.

    Raises:
        MissingFile: there is none.
        UnreadableText: it is a directory, a device, too large, or may not be read.
    """
    try:
        # A FIFO would block the open for ever without O_NONBLOCK, which means nothing to a file.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFile(path) from None
    except OSError as error:
        raise UnreadableText(path, f"cannot be read ({error.strerror})") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise UnreadableText(path, f"is {kind}")
        if status.st_size > limit_bytes:
            raise UnreadableText(path, f"is larger than {limit_bytes / 2**20:.4g} MiB")
        with open(descriptor, "rb", buffering=0, closefd=False) as stream:
            return stream.readall(), stat.S_IMODE(status.st_mode)
    except OSError as error:
        raise UnreadableText(path, f"cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)
