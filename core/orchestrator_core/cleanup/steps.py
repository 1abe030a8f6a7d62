"""What a pass is about to do, and what became of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator_core.cleanup.entries import Entry, Quarantined


class Action(StrEnum):
    """What a step does with its file; steps are carried out in this order."""

    EXPIRE = "expire"
    """Deletes what lies in the quarantine."""
    MODULES = "delete folder"
    DELETE = "delete"
    QUARANTINE = "quarantine"
    COMPRESS = "compress"
    ARCHIVE = "archive"
    """Moves finished missions from the journal to a compressed file."""


class Step(Struct, frozen=True):
    """One step of a plan.

    Attributes:
        job: whose it is.
        path: relative to ``.opencode``; for people, see :func:`readable`.
        reason: why, in words.
        frees_bytes: by how much the folder gets smaller.
        files: how many files it concerns.
        entry: what is recorded for the path.
        quarantined: what is to expire.
        target: where the result goes.
        missions: what is to be archived.
    """

    action: Action
    job: str
    path: bytes
    reason: str
    frees_bytes: int = 0
    files: int = 1
    entry: Entry | None = None
    quarantined: Quarantined | None = None
    target: bytes = b""
    missions: tuple[str, ...] = ()


class Plan(Struct, frozen=True):
    """What a pass is going to do.

    Attributes:
        steps: in the order in which they are carried out.
        kept: what would have gone, and why it stays: a path and a reason each.
        missing: recorded files that are no longer there.
        disowned: recorded files that somebody changed: they are a person's now.
    """

    steps: tuple[Step, ...] = ()
    kept: tuple[tuple[bytes, str], ...] = ()
    missing: tuple[Entry, ...] = ()
    disowned: tuple[Entry, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.steps or self.missing or self.disowned)


class StepReport(Struct, frozen=True, rename="camel"):
    """A step as people and programs read it."""

    action: str
    job: str
    path: str
    reason: str
    size_bytes: int
    files: int = 1


class KeptFile(Struct, frozen=True):
    """Something that stays, and why."""

    path: str
    reason: str


class CleanReport(Struct, frozen=True, rename="camel"):
    """What a pass did, or with ``dry_run`` would do.

    Attributes:
        restore_id: what ``clean --restore`` takes to bring back what went to the quarantine.
        freed_bytes: by how much the folder got smaller.
        files_removed: how many files were taken out of it, moved to the quarantine or deleted.
        quarantined: of these, how many can be restored.
        note: why nothing, or not all, could be done.
    """

    dry_run: bool = False
    steps: tuple[StepReport, ...] = ()
    kept: tuple[KeptFile, ...] = ()
    freed_bytes: int = 0
    files_removed: int = 0
    quarantined: int = 0
    restore_id: str = ""
    note: str = ""


class RestoreReport(Struct, frozen=True):
    """What came back from the quarantine, and what could not, and why."""

    restored: tuple[str, ...]
    unrestored: tuple[KeptFile, ...] = ()


class JournalArchive(Protocol):
    """The journal as cleanup needs it. Blocks on the disk; safe from any thread."""

    def excess(self, limit_bytes: int) -> Sequence[str]:
        """The finished missions to archive so that the journal fits, the oldest first."""
        ...

    def lines(self, missions: Sequence[str]) -> Iterator[bytes]:
        """Their events as lines of JSON."""
        ...

    def forget(self, missions: Sequence[str]) -> None:
        """Take them out of the journal and give their space back."""
        ...


def readable(path: bytes) -> str:
    """A path for people: what cannot be printed is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
