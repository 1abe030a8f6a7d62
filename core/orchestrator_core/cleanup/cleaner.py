"""A whole pass over ``.opencode``: look, plan, carry out, tell. And the way back."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from orchestrator_core.cleanup.jobs import Job, due, jobs_for
from orchestrator_core.cleanup.node_modules import NAME as MODULES
from orchestrator_core.cleanup.packing import Packer
from orchestrator_core.cleanup.planning import Planner
from orchestrator_core.cleanup.quarantine import Quarantine
from orchestrator_core.cleanup.recovery import recover
from orchestrator_core.cleanup.removal import Removed, Remover
from orchestrator_core.cleanup.state_folder import StateFolder
from orchestrator_core.cleanup.steps import (
    Action,
    CleanReport,
    KeptFile,
    Plan,
    RestoreReport,
    StepReport,
    readable,
)
from orchestrator_core.errors import (
    CleanupBusy,
    CleanupError,
    CleanupRefused,
    DiskFull,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from orchestrator_core.cleanup.manifest import Manifest
    from orchestrator_core.cleanup.steps import JournalArchive
    from orchestrator_core.config import CleanupLimits

_BUSY_PAUSE_S = 0.05


class Cleaner:
    """Cleans one workspace's ``.opencode``. Safe from any thread; all methods block on the disk.

    Any number of processes may clean at once: one does, the others wait or are told.

    Args:
        workspace: the workspace.
        manifest: of its ``.opencode``.
        limits: answers the settings in force.
        journal: the journal, where it may be shortened.
        free_bytes: how much room there is on a path's disk.
    """

    def __init__(
        self,
        workspace: Path,
        manifest: Manifest,
        limits: Callable[[], CleanupLimits],
        journal: JournalArchive | None = None,
        *,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._workspace = workspace
        self._manifest = manifest
        self._limits = limits
        self._journal = journal
        self._free_bytes = free_bytes
        self._agreed: dict[bytes, int] = {}

    @property
    def enabled(self) -> bool:
        """Whether the scheduler may clean."""
        return self._limits().enabled

    def jobs(self) -> tuple[Job, ...]:
        """The jobs under the settings in force."""
        return jobs_for(self._limits())

    def due(self, *, starting: bool = False) -> tuple[list[Job], float]:
        """The jobs that are due, and in how many seconds the next one is.

        Raises:
            CleanupError: the manifest cannot be read.
        """
        manifest, jobs = self._manifest, self.jobs()
        if not manifest.exists() and not (manifest.folder / os.fsdecode(MODULES)).exists():
            return [], min(job.interval_s for job in jobs)
        return due(jobs, manifest.last_runs(), manifest.now_s(), starting=starting)

    def preview(self, jobs: Iterable[Job] | None = None) -> CleanReport:
        """What :meth:`run` would do now. Nothing is written.

        Raises:
            CleanupRefused: nothing is ever cleaned up here.
            CleanupError: the manifest cannot be read.
        """
        with self._open() as folder:
            if folder is None:
                return CleanReport(dry_run=True)
            plan, note = self._plan(folder, self.jobs() if jobs is None else jobs)
        done = [Removed(step, done=True) for step in plan.steps]
        return _report(plan, done, note=note, dry_run=True)

    def run(
        self,
        jobs: Iterable[Job] | None = None,
        *,
        stopping: Callable[[], bool] = lambda: False,
        wait_s: float = 0.0,
    ) -> CleanReport:
        """Clean up: all jobs, or some.

        Args:
            jobs: which; all by default.
            stopping: asked before each removal; True ends the pass early.
            wait_s: how long to wait for another process that is at it.

        Raises:
            CleanupRefused: nothing is ever cleaned up here.
            CleanupBusy: another process is at it.
            CleanupError: the manifest cannot be used.
        """
        chosen = tuple(self.jobs() if jobs is None else jobs)
        with self._open() as folder:
            if folder is None:
                return CleanReport()
            if not self._manifest.exists():
                plan, note = self._plan(folder, chosen)
                if plan.empty:  # not even a lock is left there
                    return _report(plan, [], note=note)
            with self._locked(folder, wait_s):
                pass_id = secrets.token_hex(3)
                quarantine = Quarantine(folder, self._manifest)
                remover = Remover(quarantine, pass_id, stopping)
                recover(quarantine)
                plan, note = self._plan(folder, chosen)
                if plan.missing or plan.disowned:
                    self._manifest.forget((*plan.missing, *plan.disowned))
                packer = Packer(folder, self._manifest, self._journal, remover)
                done = list(self._carry_out(plan, remover, packer))
                if not stopping():
                    self._manifest.ran(job.name for job in chosen)
        return _report(plan, done, note=note, restore_id=pass_id)

    def restore(self, name: str, *, wait_s: float = 0.0) -> RestoreReport:
        """Bring back from the quarantine one file, or all of one pass.

        Args:
            name: an id, as a report names it.
            wait_s: how long to wait for another process that is cleaning.

        Raises:
            CleanupRefused: there is nothing by that name.
            CleanupBusy: another process is cleaning.
            CleanupError: the manifest cannot be used.
        """
        with self._open() as folder:
            restored: list[str] = []
            unrestored: list[KeptFile] = []
            if folder is not None and self._manifest.exists():
                with self._locked(folder, wait_s):
                    quarantine = Quarantine(folder, self._manifest)
                    recover(quarantine)
                    for item in self._manifest.quarantined():
                        if name not in {item.id, item.id.split(".")[0]}:
                            continue
                        path = readable(item.entry.path)
                        if reason := quarantine.restore(item):
                            unrestored.append(KeptFile(path, reason))
                        else:
                            restored.append(path)
            if not restored and not unrestored:
                known = sorted({item.id.split(".")[0] for item in self._manifest.quarantined()})
                raise CleanupRefused(
                    f"there is no {name} in the quarantine; there is: {', '.join(known) or 'nothing'}"
                )
        return RestoreReport(tuple(restored), tuple(unrestored))

    def require_room(self) -> None:
        """Make sure that there is room to write.

        Raises:
            DiskFull: there is less than ``cleanup.freeBytes``.
        """
        least = self._limits().free_bytes
        free = self._free_bytes(self._workspace)
        if free < least:
            raise DiskFull(
                f"the disk of {self._workspace} has {free:,} bytes left, less than "
                f"orchestrator.cleanup.freeBytes ({least:,}): nothing is written until there is room"
            )

    def _plan(self, folder: StateFolder, jobs: Iterable[Job]) -> tuple[Plan, str]:
        note = ""
        try:
            self.require_room()
        except DiskFull as error:
            note = str(error)
        planner = Planner(
            folder, self._manifest, self._journal, may_write=not note, agreed=self._agreed
        )
        return planner.plan(jobs), note

    @contextlib.contextmanager
    def _open(self) -> Generator[StateFolder | None]:
        """The state folder; None where there is none. What the disk refuses is a CleanupError."""
        try:
            with contextlib.ExitStack() as stack:
                folder: StateFolder | None = None
                with contextlib.suppress(FileNotFoundError):
                    folder = StateFolder(self._workspace, self._manifest.folder)
                    stack.enter_context(folder)
                yield folder
        except OSError as error:
            raise CleanupError(f"{self._manifest.folder} cannot be cleaned up: {error}") from error

    @contextlib.contextmanager
    def _locked(self, folder: StateFolder, wait_s: float) -> Generator[None]:
        deadline_s = time.monotonic() + wait_s
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(folder.locked())
                    break
                except CleanupBusy:
                    if time.monotonic() >= deadline_s:
                        raise
                    time.sleep(_BUSY_PAUSE_S)
            yield

    def _carry_out(self, plan: Plan, remover: Remover, packer: Packer) -> Iterator[Removed]:
        for action, group in itertools.groupby(plan.steps, key=lambda step: step.action):
            match action:
                case Action.EXPIRE:
                    yield from remover.expire(list(group))
                case Action.MODULES:
                    for step in group:
                        yield remover.remove_modules(step, self._limits().regenerable)
                case Action.DELETE | Action.QUARANTINE:
                    yield from remover.remove(list(group))
                case Action.COMPRESS:
                    yield from packer.compress(list(group))
                case Action.ARCHIVE:
                    for step in group:
                        yield packer.archive(step)


def _report(
    plan: Plan, results: list[Removed], *, note: str, restore_id: str = "", dry_run: bool = False
) -> CleanReport:
    done = [result.step for result in results if result.done]
    kept = [
        *plan.kept,
        *((result.step.path, result.reason) for result in results if not result.done),
    ]
    quarantined = sum(step.action is Action.QUARANTINE for step in done)
    return CleanReport(
        dry_run=dry_run,
        steps=tuple(
            StepReport(
                step.action,
                step.job,
                readable(step.path),
                step.reason,
                step.frees_bytes,
                step.files,
            )
            for step in done
        ),
        kept=tuple(KeptFile(readable(path), reason) for path, reason in kept),
        freed_bytes=sum(s.frees_bytes for s in done if s.action is not Action.QUARANTINE),
        files_removed=sum(
            s.files for s in done if s.action not in {Action.COMPRESS, Action.ARCHIVE}
        ),
        quarantined=quarantined,
        restore_id=restore_id if quarantined else "",
        note=note,
    )
