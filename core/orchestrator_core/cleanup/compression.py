"""gzip at level 9, streamed: neither text is ever in memory as a whole.

The header has neither name nor time, so that the same bytes always compress to the same bytes
and a preview can say what a file will take.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIX = b".gz"
WORTHWHILE_BYTES = 1024
_LEVEL = 9
_GZIP = 31  # zlib's word for a window of 32 KiB in gzip's format
_CHUNK = 1 << 16


def packed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The gzip of what ``parts`` are together."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for part in parts:
        if out := compressor.compress(part):
            yield out
    yield compressor.flush()


def parts_of(file: int) -> Iterator[bytes]:
    """An open file's bytes from its beginning."""
    position = 0
    while part := os.pread(file, _CHUNK, position):
        position += len(part)
        yield part


def unpacked_digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of what a gzip holds; empty where it is damaged."""
    decompressor, digest = zlib.decompressobj(_GZIP), hashlib.sha256()
    try:
        for part in parts:
            digest.update(decompressor.decompress(part))
        digest.update(decompressor.flush())
    except zlib.error:
        return ""
    return digest.hexdigest() if decompressor.eof else ""


def packed_size(parts: Iterable[bytes]) -> int:
    """How many bytes ``packed`` makes of ``parts``."""
    return sum(map(len, packed(parts)))
