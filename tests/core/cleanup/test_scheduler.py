"""Jobs run when they are due, one at a time, off the loop, and cost nothing otherwise."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING

import pytest

from core.runtime.virtual_time import now_s, run_virtual
from generated_folder import Desk
from orchestrator_core.cleanup.age_clock import AgeClock
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.scheduler import JITTER_S, CleanupScheduler
from orchestrator_core.cleanup.state_folder import StateFolder
from orchestrator_core.config import CleanupLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orchestrator_core.cleanup.jobs import Job
    from orchestrator_core.cleanup.steps import CleanReport


class Watched(Desk):
    """Notes when which jobs run; its time is the loop's."""

    def __init__(self, root: Path, limits: CleanupLimits | None = None) -> None:
        super().__init__(root, limits, clock=AgeClock(now_s, "boot"))
        self.ran: list[tuple[float, str]] = []
        self.notices: list[str] = []
        self.run = self.cleaner.run
        self.cleaner.run = self.watch  # pyright: ignore[reportAttributeAccessIssue]

    def watch(
        self, jobs: Iterable[Job], *, stopping: Callable[[], bool] = lambda: False
    ) -> CleanReport:
        """Run the jobs."""
        chosen = list(jobs)
        self.ran += [(now_s(), job.name) for job in chosen]
        return self.run(chosen, stopping=stopping)

    def scheduler(self, at: float = 0.5) -> CleanupScheduler:
        """A scheduler that works inline."""

        async def submit(work: Callable[[], float]) -> float:
            return work()

        return CleanupScheduler(self.cleaner, submit, self.notices.append, uniform=lambda: at)


def test_each_job_runs_at_its_interval(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Watched(tmp_path)
        desk.put("sessions/a", Kind.SESSION)
        async with desk.scheduler():
            await asyncio.sleep(6 * 3600 + 1)
        for job in desk.cleaner.jobs():
            times = [at for at, name in desk.ran if name == job.name]
            assert times[0] == JITTER_S / 2
            assert len(times) == 6 * 3600 // job.interval_s
            pauses = {b - a for a, b in itertools.pairwise(times)}
            assert all(job.interval_s <= pause < job.interval_s + 1.5 for pause in pauses)

    run_virtual(main())


def test_the_first_look_is_at_a_moment_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        for at in (0.0, 0.3, 1.0):
            desk = Watched(tmp_path / str(at))
            desk.put("sessions/a", Kind.SESSION)
            start = now_s()
            async with desk.scheduler(at):
                await asyncio.sleep(JITTER_S + 1)
            assert {when - start for when, _ in desk.ran} == {at * JITTER_S}

    run_virtual(main())


def test_many_short_processes_clean_as_often_as_a_long_one(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Watched(tmp_path)
        desk.put("sessions/a", Kind.SESSION)
        for _ in range(100):  # one every 30 s
            async with desk.scheduler(0.1) as scheduler:
                scheduler.nudge()
                await asyncio.sleep(30)
        sessions = [at for at, name in desk.ran if name == "sessions"]
        assert len(sessions) == 10
        at_start = [at for at, name in desk.ran if name == "node_modules"]
        assert len(at_start) == 100

    run_virtual(main())


def test_nothing_of_ours_means_nothing_is_done(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Watched(tmp_path)
        desk.put("agents/mine.md", None)
        async with desk.scheduler() as scheduler:
            scheduler.nudge()
            await asyncio.sleep(24 * 3600)
        assert not desk.ran
        assert list(desk.files()) == ["agents/mine.md"]

    run_virtual(main())


def test_switched_off_nothing_is_done(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Watched(tmp_path, CleanupLimits(enabled=False))
        desk.put("sessions/a", Kind.SESSION)
        async with desk.scheduler():
            await asyncio.sleep(24 * 3600)
            assert not desk.ran
            desk.limits = CleanupLimits()
            await asyncio.sleep(3600)
            assert desk.ran

    run_virtual(main())


def test_a_pass_elsewhere_is_waited_out(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Watched(tmp_path)
        desk.put("sessions/a", Kind.SESSION)
        async with desk.scheduler():
            with StateFolder(desk.root, desk.folder) as folder, folder.locked():
                await asyncio.sleep(JITTER_S + 1)
                assert desk.ran
                assert desk.manifest.last_runs() == {}
            await asyncio.sleep(301)
            assert desk.manifest.last_runs()
        assert not desk.notices

    run_virtual(main())


def test_a_full_disk_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Watched(tmp_path)
        desk.put("sessions/a", Kind.SESSION)
        desk.free_bytes = 0
        async with desk.scheduler():
            await asyncio.sleep(3600)
            assert len(desk.notices) == 1
            assert "nothing is written until there is room" in desk.notices[0]

    run_virtual(main())


async def test_a_pass_runs_off_the_loop_and_ends_before_its_next_removal(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(200):
        desk.put(f"cache/{number}", Kind.CACHE)
    desk.passes(2)
    removing, go_on = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    run = desk.cleaner.run

    def watched(jobs: Iterable[Job], *, stopping: Callable[[], bool]) -> CleanReport:
        def stop() -> bool:
            threads.append(threading.current_thread())
            removing.set()
            assert go_on.wait(20)
            return stopping()

        return run(jobs, stopping=stop)

    desk.cleaner.run = watched  # pyright: ignore[reportAttributeAccessIssue]
    scheduler = CleanupScheduler(
        desk.cleaner, asyncio.to_thread, print, uniform=lambda: 0.0, grace_s=0.0
    )
    async with asyncio.timeout(20):
        scheduler.start()
        assert await asyncio.to_thread(removing.wait, 20)
        stopping = asyncio.ensure_future(scheduler.stop())
        assert await asyncio.to_thread(scheduler._stopping.wait, 20)
        go_on.set()
        await stopping
    assert threading.main_thread() not in threads
    assert len(list((desk.folder / "cache").iterdir())) == 200
    desk.assert_agrees()


async def test_what_a_mission_s_end_asked_for_is_done_before_the_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put("cache/a", Kind.CACHE)
    desk.passes(2)
    async with asyncio.timeout(20):
        scheduler = CleanupScheduler(desk.cleaner, asyncio.to_thread, print, grace_s=20)
        scheduler.nudge()
        await scheduler.stop()
    assert not desk.tree()


async def test_stop_without_start_and_twice_does_nothing(tmp_path: Path) -> None:
    scheduler = CleanupScheduler(Desk(tmp_path).cleaner, asyncio.to_thread, print)
    await scheduler.stop()
    await scheduler.stop()
    scheduler.start()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_failing_pass_does_not_end_the_scheduler(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        desk = Watched(tmp_path)
        desk.put("sessions/a", Kind.SESSION)
        run, desk.run = desk.run, None  # pyright: ignore[reportAttributeAccessIssue]
        async with desk.scheduler():
            await asyncio.sleep(JITTER_S)
            assert "a cleanup failed" in caplog.text
            desk.run = run
            await asyncio.sleep(301)
            assert desk.manifest.last_runs()

    run_virtual(main())
