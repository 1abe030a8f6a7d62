"""The end of a stream, in a fixed amount of memory."""

from __future__ import annotations


class Tail:
    """The last ``limit_bytes`` of a stream, in no more memory than that. Not thread-safe.

    A ring: once it is full, what comes overwrites what is oldest.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._kept = bytearray()
        self._oldest = 0  # where the next bytes go when it is full
        self.total_bytes = 0

    def append(self, chunk: bytes | memoryview) -> None:
        """Take ``chunk`` in and let go of what is too old."""
        self.total_bytes += len(chunk)
        chunk = memoryview(chunk)[max(0, len(chunk) - self._limit) :]
        room = self._limit - len(self._kept)
        self._kept += chunk[:room]
        chunk = chunk[room:]
        while chunk:
            part = chunk[: self._limit - self._oldest]
            self._kept[self._oldest : self._oldest + len(part)] = part
            self._oldest = (self._oldest + len(part)) % self._limit
            chunk = chunk[len(part) :]

    @property
    def truncated(self) -> bool:
        """Whether something was let go."""
        return self.total_bytes > self._limit

    def text(self) -> str:
        """What is kept; bytes that are not UTF-8 become replacement characters."""
        if self._oldest:
            self._turn()
        return str(self._kept, "utf-8", "replace")

    def _turn(self) -> None:
        """Bring the oldest byte to the front, in place."""
        newer = bytes(self._kept[: self._oldest])
        with memoryview(self._kept) as kept:
            kept[: -len(newer)] = kept[len(newer) :]
            kept[-len(newer) :] = newer
        self._oldest = 0
