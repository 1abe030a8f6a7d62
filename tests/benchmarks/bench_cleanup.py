"""The cleanup: how small the folder gets and stays, and what a pass costs.

``files_after`` and ``bytes_after``: the reported folder (742 files, 6.2 MB) after one pass, a
person's files included. ``scan_vs_scandir``: walking 100,000 files with ``os.scandir`` against a
whole pass over a folder with as many files of ours and nothing to do, in turn in one process; a
pass lists only folders that changed, the first one of a process (``first_scan``) all of them.
``loop_block_ms``: how late the event loop's timers are, at worst, while the scheduler's pass over
the reported folder runs; ``loop_idle_ms`` is the same without a pass. ``week_peak_*``: the most
that lay in ``.opencode`` at any moment of a week of 50 missions a day, with the real orchestrator,
its journal, plans, log and scheduler; only the clock that ages are counted with is the
benchmark's, and each mission is 100 events or more.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Figures, begin, fresh
from generated_folder import Desk, generate
from orchestrator_core.cleanup.age_clock import AgeClock
from orchestrator_core.cleanup.entries import Entry, Kind
from orchestrator_core.cleanup.scheduler import CleanupScheduler
from orchestrator_core.config import CleanupLimits
from orchestrator_core.records import Task
from orchestrator_core.workspace.text_file import sha256
from orchestrator_server.log_file import LogFile
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.mission.agent import TaskContext

QUICK = "--quick" in sys.argv
FILES = 5_000 if QUICK else 100_000
FOLDERS = 100
DAYS = 1 if QUICK else 7
MISSIONS_A_DAY = 50
TASKS = 20
SCANS = 3 if QUICK else 9


def folder() -> dict[str, float]:
    """Files, bytes and seconds after one pass over the reported folder."""
    with tempfile.TemporaryDirectory() as root:
        desk = Desk(Path(root))
        generate(desk)
        start_s = time.perf_counter()
        desk.cleaner.run()
        took_s = time.perf_counter() - start_s
        desk.manifest.close()
        return {"files": len(desk.files()), "bytes": desk.size_bytes(), "pass_s": took_s}


def scan() -> dict[str, float]:
    """Seconds of a walk, of a pass over as many files of ours, and over as many of others."""
    limits = CleanupLimits(files=0, budget_files=0, budget_bytes=0)
    with tempfile.TemporaryDirectory() as root:
        desk = Desk(Path(root), limits)
        entries = fill(desk)
        desk.manifest.add(entries)
        time.sleep(3)  # a folder that changed just now is not taken for settled
        ours = timed(
            lambda: walk(desk.folder),
            lambda: nothing_to_do(desk),
            lambda: nothing_to_do(Desk(Path(root), limits)),
        )
        desk.manifest.forget(entries)
        del entries
        desk.put("cache/one", Kind.CACHE)
        others = timed(lambda: walk(desk.folder), lambda: nothing_to_do(desk))
    return {
        "scandir_s": ours[0],
        "pass_s": ours[1],
        "first_pass_s": ours[2],
        "pass_others_s": others[1],
    }


def fill(desk: Desk) -> list[Entry]:
    """Write many sessions; answers what is to be recorded of them."""
    data = b"data"
    digest = sha256(data)
    entries: list[Entry] = []
    for number in range(FOLDERS):
        (desk.folder / f"sessions/s{number}").mkdir(parents=True)
    for number in range(FILES):
        name = f"sessions/s{number % FOLDERS}/{number}.json"
        file = os.open(f"{desk.folder}/{name}", os.O_CREAT | os.O_WRONLY)
        os.write(file, data)
        inode = os.fstat(file).st_ino
        os.close(file)
        entries.append(Entry(name.encode(), Kind.SESSION, inode, len(data), digest, 0.0))
    return entries


def timed(*measured: Callable[[], object]) -> list[float]:
    """The median time of each, in turn."""
    taken: list[list[float]] = [[] for _ in measured]
    for _ in range(SCANS):
        for times, run in zip(taken, measured, strict=True):
            gc.collect()
            start_s = time.perf_counter()
            run()
            times.append(time.perf_counter() - start_s)
    return [statistics.median(times) for times in taken]


def walk(path: Path) -> int:
    """Count all files below a folder, as lean as ``os.scandir`` allows."""
    count, folders = 0, [str(path)]
    while folders:
        with os.scandir(folders.pop()) as found:
            for one in found:
                if one.is_dir(follow_symlinks=False):
                    folders.append(one.path)
                else:
                    count += 1
    return count


def nothing_to_do(desk: Desk) -> None:
    """A whole pass, which must find nothing."""
    report = desk.cleaner.run()
    assert not report.steps, report


def loop(*, cleaning: bool) -> float:
    """The worst lateness of the event loop's timers in ms."""
    sys.setswitchinterval(0.001)  # as the server does

    async def measure() -> float:
        with tempfile.TemporaryDirectory() as root:
            desk = Desk(Path(root))
            if cleaning:
                await asyncio.to_thread(generate, desk)
            scheduler = CleanupScheduler(
                desk.cleaner, asyncio.to_thread, print, uniform=lambda: 0.0
            )
            gc.collect()
            gc.freeze()
            worst_s, running = 0.0, asyncio.get_running_loop()
            if cleaning:
                scheduler.start()
            start_s = running.time()
            while running.time() < start_s + 60:
                due_s = running.time() + 0.001
                await asyncio.sleep(0.001)
                worst_s = max(worst_s, running.time() - due_s)
                if (
                    not (desk.manifest.exists() and cleaning and not desk.manifest.last_runs())
                    and running.time() > start_s + 1
                ):
                    break
            await scheduler.stop()
            desk.manifest.close()
            return worst_s * 1000

    return asyncio.run(measure())


def week() -> dict[str, float]:
    """The most bytes and files that lay in ``.opencode`` in a week."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = str(Path(home) / "home")
        root = Path(home) / "workspace"
        root.mkdir()
        for number in range(TASKS):
            (root / f"{number}.txt").write_text(f"file {number}\n")
        return asyncio.run(_week(root))


async def _week(root: Path) -> dict[str, float]:
    now_s = [0.0]
    peak = Peak(root / ".opencode")

    async def work(context: TaskContext) -> None:
        name = f"{int(context.task.id[1:])}.txt"
        text = await context.pool.submit(context.draft.read, name)
        context.draft.write(name, f"{text.text[-2000:]}{now_s[0]}\n")

    logger = logging.getLogger("orchestrator_core")
    logger.setLevel(logging.INFO)
    tasks = [Task(f"T{n}", f"a task about the file {n}", files=(f"{n}.txt",)) for n in range(TASKS)]
    with peak:
        for _ in range(DAYS):
            async with orchestrator(root, work) as engine:
                services: Any = engine._services
                services.manifest._clock = AgeClock(lambda: now_s[0], "boot")
                log: LogFile | None = None
                for _ in range(MISSIONS_A_DAY):
                    now_s[0] += 86_400 / MISSIONS_A_DAY
                    await engine.plans.write(request_for(*tasks))
                    mission = await engine.start(request_for(*tasks))
                    if log is None:
                        (root / ".opencode/logs").mkdir(exist_ok=True)
                        log = LogFile(
                            root / ".opencode/logs/orchestrator.log", file_bytes=131_072, files=3
                        )
                        log._manifest._clock = services.manifest._clock
                        logger.addHandler(log)
                    report = await mission.wait()
                    logger.info("%s", report)
                    assert report.status == "done", report.reason
                    peak.look()
                    while services.cleaner.due()[0]:
                        await asyncio.sleep(0.005)
                assert log is not None
                logger.removeHandler(log)
                log.close()
    return {"bytes": peak.size_bytes, "files": peak.files}


class Peak:
    """Looks at a folder all the time, from a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.size_bytes = self.files = 0
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def look(self) -> None:
        """Take what lies there now into account."""
        sizes: list[int] = []
        for path in self._folder.rglob("*"):
            try:
                if path.is_file():
                    sizes.append(path.stat().st_size)
            except FileNotFoundError:
                continue
        self.size_bytes = max(self.size_bytes, sum(sizes))
        self.files = max(self.files, len(sizes))

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self.look()
            except FileNotFoundError:  # a folder that was removed while it was listed
                continue


MEASUREMENTS: dict[str, Callable[[], object]] = {
    "folder": folder,
    "scan": scan,
    "loop": lambda: loop(cleaning=True),
    "loop_idle": lambda: loop(cleaning=False),
    "week": week,
}


def main() -> None:
    """Measure, or conduct the measuring."""
    options = begin(__doc__, MEASUREMENTS, 5)

    def measure(name: str) -> Any:
        sys.stderr.write(f"{name}\n")
        return fresh(__file__, "--measure", name, *options.flags, timeout_s=900)

    after, scanned = measure("folder"), measure("scan")
    lateness = [(measure("loop"), measure("loop_idle")) for _ in range(options.rounds)]
    peak = measure("week")
    figures = Figures()
    figures.add("files_after", after["files"], "files", "<= 199")
    figures.add("bytes_after", after["bytes"], "bytes", "<= 1999999")
    figures.add("scan_vs_scandir", scanned["scandir_s"] / scanned["pass_s"], "x", ">= 0.5")
    figures.add("first_scan_vs_scandir", scanned["scandir_s"] / scanned["first_pass_s"], "x")
    figures.add("scan_of_others", scanned["scandir_s"] / scanned["pass_others_s"], "x")
    busy, idle = (statistics.median(values) for values in zip(*lateness, strict=True))
    figures.add("loop_block_ms", busy, "ms", "<= 5")
    figures.add("loop_idle_ms", idle, "ms")
    figures.add("week_peak_bytes", peak["bytes"], "bytes", "<= 1999999")
    figures.add("week_peak_files", peak["files"], "files", "<= 199")
    figures.add("pass_s", after["pass_s"], "s")
    figures.report(as_json=options.json)


if __name__ == "__main__":
    main()
