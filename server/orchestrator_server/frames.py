"""The framing of the base protocol: bytes in, JSON values out, without any I/O.

A stream is never trusted. A frame that breaks the rules becomes a `BadFrame`, and decoding
goes on with the next frame. Finding it is safe because of one fact: the bytes of a header
block cannot occur inside valid JSON, for a JSON string holds no raw line break and nothing
outside a string reads ``Content-Length:``. So wherever a complete header block appears, a
frame begins, whatever an earlier header said about lengths.
"""

from __future__ import annotations

import json
from typing import NamedTuple

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""No client sends an honest message as large as this; a larger length is not believed."""

_MAX_HEADER_BYTES = 8 * 1024
_END_OF_HEADER = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Message(NamedTuple):
    """A frame whose body is JSON.

    Attributes:
        value: the decoded body, which may be any JSON value.
    """

    value: object


class BadFrame(NamedTuple):
    """A frame that carries no message.

    Attributes:
        reason: what is wrong with it.
    """

    reason: str


def encode_frame(body: bytes) -> bytes:
    """Put the header before a body."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


class FrameDecoder:
    """Splits a stream of bytes into messages. Not thread-safe: one stream, one owner.

    Memory is bounded by the largest frame believed; the header block by 8 KiB.

    Args:
        max_frame_bytes: a frame that claims to be longer is dropped.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._body_bytes: int | None = None  # None: a header block comes next
        self._searched = 0  # no end of a header block begins before this index
        self._lost = False  # what broke the stream was reported; skip to the next header block

    def feed(self, data: bytes) -> list[Message | BadFrame]:
        """Take the next bytes of the stream and return the frames that they complete."""
        self._buffer += data
        frames: list[Message | BadFrame] = []
        while self._step(frames):
            pass
        return frames

    def _step(self, frames: list[Message | BadFrame]) -> bool:
        """Make progress by one header block or body; False when more bytes are needed."""
        if self._body_bytes is None:
            return self._read_header(frames)
        return self._read_body(self._body_bytes, frames)

    def _read_header(self, frames: list[Message | BadFrame]) -> bool:
        end = self._find_end_of_header()
        if end < 0:
            if len(self._buffer) > _MAX_HEADER_BYTES:
                self._report(frames, f"no header within {_MAX_HEADER_BYTES} bytes")
                self._drop(len(self._buffer) - _MAX_HEADER_BYTES)
            return False
        length = self._length_before(end)
        self._drop(end + len(_END_OF_HEADER))
        if length is None:
            self._report(frames, "a header block without Content-Length")
        elif not length.isdigit():
            self._report(frames, f"a Content-Length that is no length: {_shown(length)}")
        elif len(length) > 20 or int(length) > self._max_frame_bytes:
            self._report(frames, f"a frame of {_shown(length)} bytes is over the limit")
        else:
            self._lost = False
            self._body_bytes = int(length)
        return True

    def _read_body(self, body_bytes: int, frames: list[Message | BadFrame]) -> bool:
        complete = len(self._buffer) >= body_bytes
        if not complete and not self._next_header_arrived():
            return False
        body = bytes(self._buffer[:body_bytes])
        self._body_bytes = None
        self._searched = 0
        try:
            value, used_bytes = _decode(body)
        except (ValueError, RecursionError) as error:
            # The body stays in the buffer, because it may have swallowed the start of the
            # next frame; reading on for a header block skips exactly what is broken.
            self._report(frames, str(error))
            return True
        self._drop(used_bytes)
        frames.append(Message(value))
        return True

    def _next_header_arrived(self) -> bool:
        """Whether the unfinished body holds a header block: then its length was a lie."""
        while (end := self._find_end_of_header()) >= 0:
            if (length := self._length_before(end)) is not None and length.isdigit():
                return True
            self._searched = end + len(_END_OF_HEADER)
        return False

    def _find_end_of_header(self) -> int:
        found = self._buffer.find(_END_OF_HEADER, self._searched)
        if found < 0:
            self._searched = max(0, len(self._buffer) - len(_END_OF_HEADER) + 1)
        return found

    def _length_before(self, end: int) -> bytes | None:
        """The last Content-Length in the block that ends there; what precedes it is skipped."""
        block = bytes(self._buffer[max(0, end - _MAX_HEADER_BYTES) : end])
        begin = block.lower().rfind(_LENGTH)
        if begin < 0:
            return None
        return block[begin + len(_LENGTH) :].partition(b"\r\n")[0].strip()

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._searched = 0

    def _report(self, frames: list[Message | BadFrame], reason: str) -> None:
        if not self._lost:
            frames.append(BadFrame(reason))
        self._lost = True


def _decode(body: bytes) -> tuple[object, int]:
    """The JSON value at the start of a body, and how many bytes belong to it.

    Raises:
        ValueError: the body does not begin with a JSON value in UTF-8.
        RecursionError: it is nested too deeply.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"the body is not UTF-8: {error}") from error
    start = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        value, end = _JSON.raw_decode(text, start)
    except RecursionError:
        raise RecursionError("the body is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if end == len(text) or not text[end:].strip(" \t\r\n"):
        return value, len(body)
    return value, len(text[:end].encode("utf-8"))


def _shown(value: bytes) -> str:
    return repr(value[:32].decode("ascii", "replace"))
