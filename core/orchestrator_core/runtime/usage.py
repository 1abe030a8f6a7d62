"""What this process and this machine use, read from the operating system."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
from msgspec import Struct


class ProcessUsage(Struct, frozen=True):
    """This process now.

    Attributes:
        rss_bytes: resident memory.
        cpu_percent: of one processor, since the reading before; 0 at the first.
        threads: its threads.
        children: its descendants.
        fds: open file descriptors (handles on Windows).
    """

    rss_bytes: int
    cpu_percent: float
    threads: int
    children: int
    fds: int


class UsageReader:
    """Reads a process's usage; one reader for each place that shows it.

    Not thread-safe: ``cpu_percent`` is the difference to the reader's last reading.

    Args:
        pid: the process, by default this one.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._process = psutil.Process(pid)
        self._process.cpu_percent(None)

    def read(self) -> ProcessUsage:
        """The usage now. Takes some milliseconds on a machine with many processes.

        Raises:
            psutil.NoSuchProcess: the process is gone.
        """
        process = self._process
        with process.oneshot():
            return ProcessUsage(
                rss_bytes=process.memory_info().rss,
                cpu_percent=process.cpu_percent(None),
                threads=process.num_threads(),
                children=len(process.children(recursive=True)),
                fds=process.num_fds() if psutil.POSIX else process.num_handles(),
            )


def memory_share() -> float:
    """The share of memory in use, 0 to 1: the machine's or a control group's, if that is more."""
    return max(psutil.virtual_memory().percent / 100, cgroup_memory_share())


def cgroup_memory_share(root: Path = Path("/")) -> float:
    """The highest share, 0 to 1, of a memory limit that this process's control groups have used.

    Page cache that the kernel can drop at once does not count. 0 where there is no limit, and on
    systems without control groups.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    shares = [0.0]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            start, used, limit = groups, "memory.current", "memory.max"
        elif "memory" in controllers.split(","):
            start, used, limit = (
                groups / "memory",
                "memory.usage_in_bytes",
                "memory.limit_in_bytes",
            )
        else:
            continue
        inside = Path(path.lstrip("/"))
        groups_up = (inside, *inside.parents)  # a limit may stand on any group above
        shares.extend(_share(start / group, used, limit) for group in groups_up)
    return max(shares)


def _share(group: Path, used: str, limit: str) -> float:
    # Not there, or "max": no limit at this level.
    with contextlib.suppress(OSError, ValueError):
        limit_bytes = int((group / limit).read_text("ascii"))
        used_bytes = int((group / used).read_text("ascii")) - _droppable_bytes(group)
        if limit_bytes > 0:
            return min(1.0, max(0, used_bytes) / limit_bytes)
    return 0.0


def _droppable_bytes(group: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text("ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in {"inactive_file", "total_inactive_file"}:
                return int(value)
    return 0


def usage_of(pid: int) -> ProcessUsage | None:
    """Another process's usage now; None where it is gone or cannot be looked at."""
    try:
        return UsageReader(pid).read()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
