"""From the manifest and the jobs to a plan. Nothing is written here.

The same plan is what a preview shows and a run carries out. Each entry that is to go is looked at
first: what is not ours any more, in use or unreadable is not planned.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.cleanup import compression, node_modules
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.jobs import (
    BUDGET_SHARE,
    LIVING_SHARE,
    REMOVABLE,
    Budget,
    Compression,
    Job,
    JournalSize,
    MaxAge,
    MaxBytes,
    MaxFiles,
    Modules,
    Policy,
    QuarantineAge,
    Rotation,
)
from orchestrator_core.cleanup.plan_draft import PlanDraft
from orchestrator_core.cleanup.state_folder import Verdict, digest_of
from orchestrator_core.cleanup.steps import Action, Plan, Step
from orchestrator_core.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.cleanup.entries import Entry
    from orchestrator_core.cleanup.manifest import Manifest
    from orchestrator_core.cleanup.state_folder import StateFolder
    from orchestrator_core.cleanup.steps import JournalArchive


class Planner:
    """Makes one plan. Use it once; blocks on the disk.

    Args:
        folder: the open ``.opencode``.
        manifest: its manifest.
        journal: the journal, where it may be shortened.
        may_write: False: the disk is full, only what makes room is planned.
        agreed: see :class:`PlanDraft`.
    """

    def __init__(
        self,
        folder: StateFolder,
        manifest: Manifest,
        journal: JournalArchive | None,
        *,
        may_write: bool,
        agreed: dict[bytes, int],
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._journal = journal
        self._may_write = may_write
        self._now_s = manifest.now_s()
        self._draft = PlanDraft(folder, manifest, agreed)

    def plan(self, jobs: Iterable[Job]) -> Plan:
        """The plan of these jobs. What makes room comes first, what needs room last."""
        for job in jobs:
            for policy in job.policies:
                self._apply(job, policy)
        return self._draft.finished()

    def _apply(self, job: Job, policy: Policy) -> None:
        match policy:
            case MaxAge(kinds, limit_s):
                reason = f"not used for {_duration(limit_s)}"
                for entry in self._manifest.used_before(kinds, self._now_s - limit_s):
                    self._draft.remove(entry, job, reason)
            case MaxBytes(kinds, limit):
                reason = f"more than {limit:,} bytes of {job.name}"
                self._draft.remove_until(
                    lambda: sum(self._draft.sizes[kind] for kind in kinds) <= limit,
                    kinds,
                    job,
                    reason,
                )
            case MaxFiles(limit):
                self._draft.remove_until(
                    lambda: sum(self._draft.files[kind] for kind in REMOVABLE) <= limit,
                    REMOVABLE,
                    job,
                    f"more than {limit:,} files, longest unused",
                )
            case Compression(kinds, after_s):
                for entry in self._manifest.used_before(kinds, self._now_s - after_s):
                    self._compress(entry, job)
            case Rotation(limit):
                self._put_logs_aside(job, limit)
            case Modules(regenerable):
                self._remove_modules(job, regenerable)
            case JournalSize(limit):
                self._archive(job, limit)
            case QuarantineAge(limit_s):
                for item in self._draft.quarantined:
                    if item.moved_s < self._now_s - limit_s:
                        self._draft.expire(item, job, f"in the quarantine for {_duration(limit_s)}")
            case Budget():
                self._keep_within(policy, job)

    def _compress(self, entry: Entry, job: Job, reason: str = "compressed") -> None:
        if (
            not self._may_write
            or not entry.hash
            or entry.size < compression.WORTHWHILE_BYTES
            or entry.path.endswith(compression.SUFFIX)
            or entry.path in self._draft.steps
            or not self._draft.may_go(entry)
        ):
            return
        if self._is_compressed(entry):  # by a process that was killed before its last step
            self._draft.remove(entry, job, "it is compressed already", for_good=True)
            return
        with self._folder.claim(entry) as claim:
            if claim.verdict is not Verdict.OURS:
                return
            size = compression.packed_size(compression.parts_of(claim.file))
        target = self._draft.free_name(entry.path, compression.SUFFIX)
        if size < entry.size and target is not None:
            self._draft.steps[entry.path] = Step(
                Action.COMPRESS,
                job.name,
                entry.path,
                f"{reason}, {entry.size:,} to {size:,} bytes",
                frees_bytes=entry.size - size,
                entry=entry,
                target=target,
            )
            self._draft.sizes[entry.kind] -= entry.size - size

    def _is_compressed(self, entry: Entry) -> bool:
        made = self._manifest.get(entry.path + compression.SUFFIX)
        if made is None:
            return False
        with self._folder.claim(made) as claim:
            return claim.verdict is Verdict.OURS and entry.hash == compression.unpacked_digest(
                compression.parts_of(claim.file)
            )

    def _put_logs_aside(self, job: Job, limit_bytes: int) -> None:
        """Compress logs that their writers left behind unfinished and too large."""
        for entry in self._manifest.growing():
            if entry.kind is not Kind.LOG:
                continue
            with self._folder.claim(entry) as claim:
                if claim.verdict is not Verdict.OURS:
                    continue
                size, digest = os.fstat(claim.file).st_size, digest_of(claim.file)
            if size > limit_bytes and self._draft.may_go(entry):
                finished = msgspec.structs.replace(entry, size=size, hash=digest)
                self._compress(finished, job, f"larger than {limit_bytes:,} bytes")

    def _remove_modules(self, job: Job, regenerable: tuple[str, ...]) -> None:
        tree = node_modules.inspect(self._folder, regenerable)
        if tree is None:
            return
        if tree.kept:
            self._draft.kept[node_modules.NAME] = tree.kept
            return
        self._draft.steps[node_modules.NAME] = Step(
            Action.MODULES,
            job.name,
            node_modules.NAME,
            "it can be installed again",
            frees_bytes=tree.size_bytes,
            files=tree.files,
        )

    def _archive(self, job: Job, limit_bytes: int) -> None:
        if self._journal is None or not self._may_write:
            return
        try:
            missions = tuple(self._journal.excess(limit_bytes))
            if not missions:
                return
            size = sum(map(len, self._journal.lines(missions)))
            packed = compression.packed_size(self._journal.lines(missions))
        except JournalError as error:
            self._draft.kept[b"state.db"] = str(error)
            return
        target = self._draft.free_name(b"archive/" + os.fsencode(missions[-1]), b".jsonl.gz")
        if target is None:
            return
        count = len(missions)
        self._draft.steps[target] = Step(
            Action.ARCHIVE,
            job.name,
            target,
            f"{count} finished mission{'s'[: count != 1]} to the archive, {packed:,} bytes",
            frees_bytes=max(0, size - packed),
            files=0,
            target=target,
            missions=missions,
        )
        self._draft.files[Kind.HISTORY] += 1
        self._draft.sizes[Kind.HISTORY] += packed - size

    def _keep_within(self, budget: Budget, job: Job) -> None:
        """Keep what is in use small first, then let the oldest out of the quarantine."""
        fixed_files, fixed_bytes = self._folder.fixed()
        most_bytes = budget.limit_bytes or math.inf
        most_files = budget.limit_files or math.inf

        def living() -> tuple[int, int]:
            counts, sizes = sum(self._draft.files.values()), sum(self._draft.sizes.values())
            return fixed_files + counts, fixed_bytes + sizes

        def fits() -> bool:
            files, size = living()
            return files <= most_files * LIVING_SHARE and size <= most_bytes * LIVING_SHARE

        self._draft.remove_until(fits, REMOVABLE, job, "no room left, longest unused")
        files, size = living()
        held = self._draft.staying
        moving = [step for step in self._draft.steps.values() if step.action is Action.QUARANTINE]
        files += len(held) + len(moving)
        size += sum(q.entry.size for q in held) + sum(step.frees_bytes for step in moving)
        for item in (*held, *moving):
            if files <= most_files * BUDGET_SHARE and size <= most_bytes * BUDGET_SHARE:
                return
            files -= 1
            if isinstance(item, Step):
                size -= item.frees_bytes
                self._draft.steps[item.path] = msgspec.structs.replace(
                    item,
                    action=Action.DELETE,
                    reason=f"{item.reason}; no room in the quarantine",
                )
            else:
                size -= item.entry.size
                self._draft.expire(item, job, "no room left in the quarantine")


def _duration(seconds: float) -> str:
    days = seconds / 86_400
    return f"{days:g} days" if days >= 2 else f"{seconds / 3600:g} hours"
