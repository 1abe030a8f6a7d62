"""The jobs, as data: what is looked at, how often, and what may stay.

A policy says nothing about how it is carried out (``planning`` does), and a limit that a person
switched off has no policy at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.cleanup.entries import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator_core.config import CleanupLimits

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0

REGENERABLE = frozenset({Kind.CACHE, Kind.DOCUMENT})
"""What is deleted at once; everything else goes to the quarantine first."""

REMOVABLE = (Kind.SESSION, Kind.HISTORY, Kind.LOG, Kind.CACHE, Kind.DOCUMENT)

BUDGET_SHARE = 0.75
"""A pass leaves this share of the budget at most: the rest is for what comes until the next."""

LIVING_SHARE = 0.6
"""What is not in the quarantine is kept below this share, so that there is room for that, too."""


class MaxAge(Struct, frozen=True):
    """Files that were not used for ``limit_s`` go."""

    kinds: tuple[Kind, ...]
    limit_s: float


class MaxBytes(Struct, frozen=True):
    """Together the files take ``limit_bytes`` at most; the longest unused go."""

    kinds: tuple[Kind, ...]
    limit_bytes: int


class MaxFiles(Struct, frozen=True):
    """There are at most so many files of ours; the longest unused go."""

    limit: int


class Compression(Struct, frozen=True):
    """Finished files that were not used for ``after_s`` are compressed."""

    kinds: tuple[Kind, ...]
    after_s: float


class Rotation(Struct, frozen=True):
    """A log above ``limit_bytes`` that its writer left behind is put aside, compressed."""

    limit_bytes: int


class Modules(Struct, frozen=True):
    """``node_modules`` goes if it can be regenerated: it has only ``regenerable`` packages."""

    regenerable: tuple[str, ...]


class JournalSize(Struct, frozen=True):
    """The journal takes ``limit_bytes`` at most; finished missions go to the archive."""

    limit_bytes: int


class QuarantineAge(Struct, frozen=True):
    """What lies in the quarantine for ``limit_s`` is deleted."""

    limit_s: float


class Budget(Struct, frozen=True):
    """All files of ours, the quarantine among them, stay within both limits; 0 is none."""

    limit_bytes: int
    limit_files: int


Policy = (
    MaxAge
    | MaxBytes
    | MaxFiles
    | Compression
    | Rotation
    | Modules
    | JournalSize
    | QuarantineAge
    | Budget
)


class Job(Struct, frozen=True):
    """A job.

    Attributes:
        interval_s: how often it runs.
        policies: what it sees to, in this order.
        at_start: it also runs when the program starts, whenever it ran before.
    """

    name: str
    interval_s: float
    policies: tuple[Policy, ...]
    at_start: bool = False


def jobs_for(limits: CleanupLimits) -> tuple[Job, ...]:
    """The jobs of a workspace, in the order in which a whole pass runs them."""
    caches = (Kind.CACHE, Kind.DOCUMENT)
    days = (limits.session_days, limits.history_days, limits.log_days, limits.quarantine_days)
    session_s, history_s, log_s, quarantine_s = (number * DAY_S for number in days)
    rarely_s = 6 * HOUR_S
    packed = limits.compress
    return (
        _job("sessions", 5 * MINUTE_S, [session_s and MaxAge((Kind.SESSION,), session_s)]),
        _job("files", 5 * MINUTE_S, [limits.files and MaxFiles(limits.files)]),
        _job(
            "cache",
            30 * MINUTE_S,
            [
                limits.cache_hours and MaxAge(caches, limits.cache_hours * HOUR_S),
                limits.cache_bytes and MaxBytes(caches, limits.cache_bytes),
            ],
        ),
        _job(
            "node_modules",
            30 * MINUTE_S,
            [limits.node_modules and Modules(limits.regenerable)],
            at_start=True,
        ),
        _job("journal", 30 * MINUTE_S, [limits.journal_bytes and JournalSize(limits.journal_bytes)]),
        _job(
            "history",
            rarely_s,
            [
                packed and Compression((Kind.HISTORY,), rarely_s),
                history_s and MaxAge((Kind.HISTORY,), history_s),
            ],
        ),
        _job(
            "logs",
            30 * MINUTE_S,
            [
                packed and limits.log_bytes and Rotation(limits.log_bytes),
                packed and Compression((Kind.LOG,), 0.0),
                log_s and MaxAge((Kind.LOG,), log_s),
            ],
        ),
        _job("quarantine", HOUR_S, [quarantine_s and QuarantineAge(quarantine_s)]),
        _job(
            "budget",
            5 * MINUTE_S,
            [
                (limits.budget_bytes or limits.budget_files)
                and Budget(limits.budget_bytes, limits.budget_files)
            ],
        ),
    )  # fmt: skip


def due(
    jobs: Sequence[Job], ran: Mapping[str, float], now_s: float, *, starting: bool
) -> tuple[list[Job], float]:
    """The jobs that are due, and in how many seconds the next one is.

    Args:
        jobs: all that there are.
        ran: when each last ran, by its name.
        now_s: the present time of the same clock.
        starting: whether the program has just started.
    """
    on = [job for job in jobs if job.policies]
    chosen = [
        job
        for job in on
        if job.name not in ran
        or now_s - ran[job.name] >= job.interval_s
        or (starting and job.at_start)
    ]
    rest = [
        job.interval_s if job in chosen else job.interval_s - (now_s - ran[job.name]) for job in on
    ]
    return chosen, min(rest, default=jobs[0].interval_s)


def _job(
    name: str,
    interval_s: float,
    policies: Iterable[Policy | float],
    *,
    at_start: bool = False,
) -> Job:
    on = tuple(policy for policy in policies if not isinstance(policy, float | int))
    return Job(name, interval_s, on, at_start)
