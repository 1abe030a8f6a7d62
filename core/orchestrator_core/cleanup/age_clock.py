"""A clock for ages that nobody can set.

An age counts the time that the computer was on, suspended or not: that is known without the wall
clock, which may jump by a day or by ten years. Across a restart of the computer only the time
since its start counts. So an age is at most the true one, and nothing is removed too early.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Reading(Struct, frozen=True):
    """What the clock showed, to be kept between processes.

    Attributes:
        boot: which start of the computer ``at_s`` counts from.
        at_s: seconds since that start.
        age_s: seconds since the first reading of all.
    """

    boot: str
    at_s: float
    age_s: float


class AgeClock:
    """Tells ages. Immutable: safe from any thread.

    Args:
        since_boot: seconds since the computer's start.
        boot: names that start.
    """

    def __init__(
        self, since_boot: Callable[[], float] | None = None, boot: str | None = None
    ) -> None:
        self._since_boot = since_boot or _since_boot()
        self._boot = boot or _boot_id()

    def read(self, last: Reading | None) -> Reading:
        """The present reading; ``last`` is the one that was kept, None the very first time."""
        at_s = self._since_boot()
        if last is None:
            return Reading(self._boot, at_s, 0.0)
        passed_s = at_s - last.at_s if last.boot == self._boot else at_s
        return Reading(self._boot, at_s, last.age_s + max(0.0, passed_s))


def _since_boot() -> Callable[[], float]:
    if hasattr(time, "CLOCK_BOOTTIME") and _BOOT_ID.exists():
        return lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    start_s = time.monotonic()
    return lambda: time.monotonic() - start_s


def _boot_id() -> str:
    """The computer's name for its present start; where it has none, each process is a start."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return f"{os.getpid()}-{time.monotonic_ns()}"
