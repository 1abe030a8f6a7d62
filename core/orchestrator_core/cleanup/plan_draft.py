"""A plan in the making: what lies in ``.opencode``, and what of it is to go."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.handles import user_of
from orchestrator_core.cleanup.jobs import REGENERABLE, Job
from orchestrator_core.cleanup.state_folder import Verdict
from orchestrator_core.cleanup.steps import Action, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator_core.cleanup.entries import Entry, Quarantined
    from orchestrator_core.cleanup.manifest import Manifest
    from orchestrator_core.cleanup.state_folder import StateFolder


class PlanDraft:
    """One plan, added to step by step. Blocks on the disk.

    Args:
        folder: the open ``.opencode``.
        manifest: its manifest.
        agreed: when folders last changed in which all recorded files were found; kept between
            plans, so that only folders that changed since are listed.

    Attributes:
        steps: by the path that they are about.
        kept: what would have gone, and why it stays.
        quarantined: what lies in the quarantine, the oldest first.
        files: how many files of each kind there will be.
        sizes: and their bytes.
    """

    def __init__(self, folder: StateFolder, manifest: Manifest, agreed: dict[bytes, int]) -> None:
        self._folder = folder
        self._manifest = manifest
        self.steps: dict[bytes, Step] = {}
        self.kept: dict[bytes, str] = {}
        self._expiring: dict[str, Step] = {}
        self._looked_at: dict[bytes, bool] = {}
        self._disowned: list[Entry] = []
        self._missing = self._find_missing(agreed)
        totals = manifest.totals()
        self.files = {kind: totals.get(kind, (0, 0))[0] for kind in Kind}
        self.sizes = {kind: totals.get(kind, (0, 0))[1] for kind in Kind}
        for entry in self._missing:
            self._leaves(entry)
        for entry in manifest.growing():
            if (status := folder.status(entry.path)) is not None:
                self.sizes[entry.kind] += status.st_size - entry.size
        self.quarantined = [item for item in manifest.quarantined() if not item.purge]

    def finished(self) -> Plan:
        """The plan. What makes room comes first, what needs room last."""
        order = list(Action)
        steps = [*self._expiring.values(), *self.steps.values()]
        return Plan(
            steps=tuple(sorted(steps, key=lambda step: order.index(step.action))),
            kept=tuple(self.kept.items()),
            missing=tuple(self._missing),
            disowned=tuple(self._disowned),
        )

    def may_go(self, entry: Entry) -> bool:
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
            self.kept[entry.path] = reason
        self._looked_at[entry.path] = verdict is Verdict.OURS
        return verdict is Verdict.OURS

    def remove(self, entry: Entry, job: Job, reason: str, *, for_good: bool = False) -> None:
        """Plan that an entry goes, if it may: to the quarantine, unless it can be made again.

        Args:
            entry: what is to go.
            job: whose step it is.
            reason: why, in words.
            for_good: whether it is deleted in any case.
        """
        before = self.steps.get(entry.path)
        if before is not None:
            if before.action is not Action.COMPRESS:
                return
            self.sizes[entry.kind] += before.frees_bytes  # it goes as it is
        elif not self.may_go(entry):
            return
        delete = for_good or entry.kind in REGENERABLE
        action = Action.DELETE if delete else Action.QUARANTINE
        self.steps.pop(entry.path, None)
        self.steps[entry.path] = Step(
            action, job.name, entry.path, reason, frees_bytes=entry.size, entry=entry
        )
        self._leaves(entry)

    def remove_until(
        self, fits: Callable[[], bool], kinds: Iterable[Kind], job: Job, reason: str
    ) -> None:
        """Remove the longest unused files until ``fits``."""
        if fits():
            return
        for entry in self._manifest.used_before(kinds, math.inf):
            self.remove(entry, job, reason)
            if fits():
                return

    def expire(self, item: Quarantined, job: Job, reason: str) -> None:
        """Plan that something in the quarantine is deleted."""
        if item.id not in self._expiring:
            self._expiring[item.id] = Step(
                Action.EXPIRE,
                job.name,
                item.entry.path,
                reason,
                frees_bytes=item.entry.size,
                quarantined=item,
            )

    @property
    def staying(self) -> list[Quarantined]:
        """What lies in the quarantine and does not expire, the oldest first."""
        return [item for item in self.quarantined if item.id not in self._expiring]

    def free_name(self, path: bytes, suffix: bytes) -> bytes | None:
        """A path of a file that can be made; None where there are too many such."""
        names = [path + suffix, *(path + b".%d" % number + suffix for number in range(1, 100))]
        return next((name for name in names if self._folder.status(name) is None), None)

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
        self.files[entry.kind] -= 1
        self.sizes[entry.kind] -= entry.size
