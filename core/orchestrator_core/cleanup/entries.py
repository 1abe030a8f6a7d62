"""What the manifest keeps of a file."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What a file is for; how long it is kept depends on it."""

    SESSION = "session"
    HISTORY = "history"
    LOG = "log"
    CACHE = "cache"
    DOCUMENT = "document"
    TEMPORARY = "temporary"
    """A file that is being written: it is removed when its writer did not come to an end."""
    MODULES = "modules"
    """A folder of installed packages; only in the quarantine, on its way out."""


class Entry(Struct, frozen=True):
    """A file that this program created.

    Attributes:
        path: relative to ``.opencode``.
        hash: SHA-256 of its bytes; empty while its writer still adds to it.
        used_s: when it was last used, by the manifest's own clock.
    """

    path: bytes
    kind: Kind
    inode: int
    size: int
    hash: str
    used_s: float


class Quarantined(Struct, frozen=True):
    """A file that was moved to the quarantine, or is about to be.

    Attributes:
        id: its name there; the part before the dot is the pass's.
        entry: what it was.
        purge: it is only there on its way out.
    """

    id: str
    entry: Entry
    moved_s: float
    purge: bool = False
