"""From the manifest and the jobs to a plan. Nothing is written here.

The same plan is what a preview shows and a run carries out. Each entry that is to go is looked at
first: what is not ours any more, in use or unreadable is not planned.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.cleanup import compression, node_modules
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.handles import user_of
from orchestrator_core.cleanup.jobs import (
    BUDGET_SHARE,
    LIVING_SHARE,
    REGENERABLE,
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
from orchestrator_core.cleanup.state_folder import Verdict, digest_of
from orchestrator_core.cleanup.steps import Action, Plan, Step
from orchestrator_core.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator_core.cleanup.entries import Entry, Quarantined
    from orchestrator_core.cleanup.manifest import Manifest
    from orchestrator_core.cleanup.state_folder import StateFolder
    from orchestrator_core.cleanup.steps import JournalArchive

_FOREVER = float("inf")


class Planner:
    """Makes one plan. Use it once; blocks on the disk.

    Args:
        folder: the open ``.opencode``.
        manifest: its manifest.
        journal: the journal, where it may be shortened.
        may_write: False: the disk is full, only what makes room is planned.
        agreed: when folders last changed in which all recorded files were found; kept between
            plans, so that only folders that changed since are listed.
    """

    def __init__(
        self,
        folder: StateFolder,
        manifest: Manifest,
        journal: JournalArchive | None,
        *,
        may_write: bool = True,
        agreed: dict[bytes, int] | None = None,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._journal = journal
        self._may_write = may_write
        self._now_s = manifest.now_s()
        self._steps: dict[bytes, Step] = {}
        self._expiring: dict[str, Step] = {}
        self._looked_at: dict[bytes, bool] = {}
        self._kept: dict[bytes, str] = {}
        self._disowned: list[Entry] = []
        self._missing = self._find_missing({} if agreed is None else agreed)
        totals = manifest.totals()
        self._count = {kind: totals.get(kind, (0, 0))[0] for kind in Kind}
        self._bytes = {kind: totals.get(kind, (0, 0))[1] for kind in Kind}
        for entry in self._missing:
            self._leaves(entry)
        for entry in manifest.growing():
            if (status := folder.status(entry.path)) is not None:
                self._bytes[entry.kind] += status.st_size - entry.size
        self._quarantined = [item for item in manifest.quarantined() if not item.purge]

    def plan(self, jobs: Iterable[Job]) -> Plan:
        """The plan of these jobs. What makes room comes first, what needs room last."""
        for job in jobs:
            for policy in job.policies:
                self._apply(job, policy)
        order = list(Action)
        steps = [*self._expiring.values(), *self._steps.values()]
        return Plan(
            steps=tuple(sorted(steps, key=lambda step: order.index(step.action))),
            kept=tuple(self._kept.items()),
            missing=tuple(self._missing),
            disowned=tuple(self._disowned),
        )

    def _apply(self, job: Job, policy: Policy) -> None:
        match policy:
            case MaxAge(kinds, limit_s):
                reason = f"not used for {_duration(limit_s)}"
                for entry in self._manifest.used_before(kinds, self._now_s - limit_s):
                    self._remove(entry, job, reason)
            case MaxBytes(kinds, limit):
                reason = f"more than {limit:,} bytes of {job.name}"
                self._remove_until(
                    lambda: sum(self._bytes[kind] for kind in kinds) <= limit, kinds, job, reason
                )
            case MaxFiles(limit):
                self._remove_until(
                    lambda: sum(self._count[kind] for kind in REMOVABLE) <= limit,
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
                for item in self._quarantined:
                    if item.moved_s < self._now_s - limit_s:
                        self._expire(item, job, f"in the quarantine for {_duration(limit_s)}")
            case Budget():
                self._keep_within(policy, job)

    def _find_missing(self, agreed: dict[bytes, int]) -> list[Entry]:
        """Recorded files that are gone; those that are being written are no matter of a plan."""
        found: list[Entry] = []
        for above in self._manifest.folders():
            changed_ns = self._folder.changed_ns(above)
            if agreed.get(above) == changed_ns is not None:
                continue
            gone = self._manifest.names(above) - self._folder.names(above)
            for name in sorted(gone):
                entry = self._manifest.get(os.path.join(above, os.fsencode(name)))  # noqa: PTH118
                if entry is not None and entry.kind is not Kind.TEMPORARY:
                    found.append(entry)
            if changed_ns is not None and not gone:
                agreed[above] = changed_ns
        return found

    def _leaves(self, entry: Entry) -> None:
        self._count[entry.kind] -= 1
        self._bytes[entry.kind] -= entry.size

    def _may_go(self, entry: Entry) -> bool:
        """Whether an entry is ours, there and not in use; looked at once a plan."""
        known = self._looked_at.get(entry.path)
        if known is not None:
            return known
        with self._folder.claim(entry) as claim:
            verdict, reason = claim.verdict, claim.reason
        if verdict is Verdict.OURS and not entry.hash:
            pid = user_of(self._folder.path / os.fsdecode(entry.path))
            if pid is not None:
                verdict, reason = Verdict.LIVE, f"process {pid} uses it"
        if verdict is Verdict.CHANGED:
            self._disowned.append(entry)
            self._leaves(entry)
        if verdict not in {Verdict.OURS, Verdict.MISSING}:
            self._kept[entry.path] = reason
        self._looked_at[entry.path] = verdict is Verdict.OURS
        return verdict is Verdict.OURS

    def _remove(self, entry: Entry, job: Job, reason: str) -> None:
        before = self._steps.get(entry.path)
        if before is not None:
            if before.action is not Action.COMPRESS:
                return
            self._bytes[entry.kind] += before.frees_bytes  # it goes as it is
        elif not self._may_go(entry):
            return
        action = Action.DELETE if entry.kind in REGENERABLE else Action.QUARANTINE
        self._steps.pop(entry.path, None)
        self._steps[entry.path] = Step(
            action, job.name, entry.path, reason, frees_bytes=entry.size, entry=entry
        )
        self._leaves(entry)

    def _remove_until(
        self, fits: Callable[[], bool], kinds: Iterable[Kind], job: Job, reason: str
    ) -> None:
        """Remove the longest unused files until ``fits``."""
        if fits():
            return
        for entry in self._manifest.used_before(kinds, _FOREVER):
            self._remove(entry, job, reason)
            if fits():
                return

    def _compress(self, entry: Entry, job: Job, reason: str = "compressed") -> None:
        if (
            not self._may_write
            or not entry.hash
            or entry.size < compression.WORTHWHILE_BYTES
            or entry.path.endswith(compression.SUFFIX)
            or entry.path in self._steps
            or not self._may_go(entry)
        ):
            return
        if self._is_compressed(entry):  # by a process that was killed before its last step
            self._steps[entry.path] = Step(
                Action.DELETE,
                job.name,
                entry.path,
                "it is compressed already",
                frees_bytes=entry.size,
                entry=entry,
            )
            self._leaves(entry)
            return
        with self._folder.claim(entry) as claim:
            if claim.verdict is not Verdict.OURS:
                return
            size = compression.packed_size(compression.parts_of(claim.file))
        target = self._free_name(entry.path, compression.SUFFIX)
        if size < entry.size and target is not None:
            self._steps[entry.path] = Step(
                Action.COMPRESS,
                job.name,
                entry.path,
                f"{reason}, {entry.size:,} to {size:,} bytes",
                frees_bytes=entry.size - size,
                entry=entry,
                target=target,
            )
            self._bytes[entry.kind] -= entry.size - size

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
            if size > limit_bytes and self._may_go(entry):
                finished = msgspec.structs.replace(entry, size=size, hash=digest)
                self._compress(finished, job, f"larger than {limit_bytes:,} bytes")

    def _free_name(self, path: bytes, suffix: bytes) -> bytes | None:
        names = [path + suffix, *(path + b".%d" % number + suffix for number in range(1, 100))]
        return next((name for name in names if self._folder.status(name) is None), None)

    def _remove_modules(self, job: Job, regenerable: tuple[str, ...]) -> None:
        tree = node_modules.inspect(self._folder, regenerable)
        if tree is None:
            return
        if tree.kept:
            self._kept[node_modules.NAME] = tree.kept
            return
        self._steps[node_modules.NAME] = Step(
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
            self._kept[b"state.db"] = str(error)
            return
        target = self._free_name(b"archive/" + os.fsencode(missions[-1]), b".jsonl.gz")
        if target is None:
            return
        count = len(missions)
        self._steps[target] = Step(
            Action.ARCHIVE,
            job.name,
            target,
            f"{count} finished mission{'s'[: count != 1]} to the archive, {packed:,} bytes",
            frees_bytes=max(0, size - packed),
            files=0,
            target=target,
            missions=missions,
        )
        self._count[Kind.HISTORY] += 1
        self._bytes[Kind.HISTORY] += packed - size

    def _expire(self, item: Quarantined, job: Job, reason: str) -> None:
        if item.id not in self._expiring:
            self._expiring[item.id] = Step(
                Action.EXPIRE,
                job.name,
                item.entry.path,
                reason,
                frees_bytes=item.entry.size,
                quarantined=item,
            )

    def _keep_within(self, budget: Budget, job: Job) -> None:
        """Keep what is in use small first, then let the oldest out of the quarantine."""
        fixed_files, fixed_bytes = self._folder.fixed()
        most_bytes = budget.limit_bytes or _FOREVER
        most_files = budget.limit_files or _FOREVER

        def living() -> tuple[int, int]:
            counts, sizes = sum(self._count.values()), sum(self._bytes.values())
            return fixed_files + counts, fixed_bytes + sizes

        def fits() -> bool:
            files, size = living()
            return files <= most_files * LIVING_SHARE and size <= most_bytes * LIVING_SHARE

        self._remove_until(fits, REMOVABLE, job, "no room left, longest unused")
        files, size = living()
        held = [q for q in self._quarantined if q.id not in self._expiring]
        moving = [step for step in self._steps.values() if step.action is Action.QUARANTINE]
        files += len(held) + len(moving)
        size += sum(q.entry.size for q in held) + sum(step.frees_bytes for step in moving)
        for item in (*held, *moving):
            if files <= most_files * BUDGET_SHARE and size <= most_bytes * BUDGET_SHARE:
                return
            files -= 1
            if isinstance(item, Step):
                size -= item.frees_bytes
                self._steps[item.path] = Step(
                    Action.DELETE,
                    item.job,
                    item.path,
                    f"{item.reason}; no room in the quarantine",
                    frees_bytes=item.frees_bytes,
                    entry=item.entry,
                )
            else:
                size -= item.entry.size
                self._expire(item, job, "no room left in the quarantine")


def _duration(seconds: float) -> str:
    days = seconds / 86_400
    return f"{days:g} days" if days >= 2 else f"{seconds / 3600:g} hours"
