"""Taking files out of ``.opencode``.

Every removal is a move into the quarantine that is on record before it happens; what is to be
deleted is deleted there. A file is looked at before it is moved and once more afterwards, and is
put back if it is not the one that was meant: what another program writes in between is not lost.
A process that is killed at any moment leaves a record from which
``recovery`` goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.cleanup import node_modules
from orchestrator_core.cleanup.entries import Entry, Kind, Quarantined
from orchestrator_core.cleanup.quarantine import ALIEN
from orchestrator_core.cleanup.state_folder import QUARANTINE, Verdict
from orchestrator_core.cleanup.steps import Action, Step, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orchestrator_core.cleanup.quarantine import Quarantine

log = logging.getLogger(__name__)

_AT_ONCE = 64


class Removed(Struct, frozen=True):
    """What became of a step: whether it was done, and why not."""

    step: Step
    done: bool
    reason: str = ""


class Remover:
    """Carries removals out. For one thread, under the folder's lock; blocks on the disk.

    Args:
        quarantine: where files go.
        pass_id: what the names in the quarantine begin with.
        stopping: asked before each removal; True ends the work early.
    """

    def __init__(
        self,
        quarantine: Quarantine,
        pass_id: str,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._quarantine = quarantine
        self._folder = quarantine.folder
        self._manifest = quarantine.manifest
        self._pass_id = pass_id
        self._stopping = stopping
        self._number = 0

    def remove(self, steps: Sequence[Step]) -> list[Removed]:
        """Move files to the quarantine, and delete there what is to be deleted."""
        done: list[Removed] = []
        for start in range(0, len(steps), _AT_ONCE):
            if self._stopping():
                break
            done += self._remove(steps[start : start + _AT_ONCE])
        return done

    def _remove(self, steps: Sequence[Step]) -> list[Removed]:
        now_s = self._manifest.now_s()
        planned: list[tuple[Step, Quarantined]] = []
        for step in steps:
            assert step.entry is not None
            purge = step.action is not Action.QUARANTINE
            planned.append((step, Quarantined(self._next_id(), step.entry, now_s, purge)))
        with self._quarantine.opened() as quarantine:
            self._manifest.quarantine(item for _, item in planned)
            moved: list[Quarantined] = []
            undone: list[Quarantined] = []
            results: list[Removed] = []
            for step, item in planned:
                reason = "stopped" if self._stopping() else self._move_in(item, quarantine)
                results.append(Removed(step, not reason, reason))
                (undone if reason else moved).append(item)
            with self._manifest.writing():
                self._manifest.forget(item.entry for item in moved)
                still_there = self._folder.names(QUARANTINE)
                self._manifest.leave_quarantine(
                    item.id for item in undone if item.id not in still_there
                )
            purged = [item for item in moved if item.purge]
            for item in purged:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(item.id, dir_fd=quarantine)
            self._manifest.leave_quarantine(item.id for item in purged)
        for result in results:
            _tell(result)
        self._remove_empty({os.path.dirname(item.entry.path) for item in moved})  # noqa: PTH120
        return results

    def _move_in(self, item: Quarantined, quarantine: int) -> str:
        """Move one file into the quarantine; answers why not, or nothing."""
        entry = item.entry
        with self._folder.claim(entry) as claim:  # in use, changed? looked at again
            if claim.verdict is not Verdict.OURS:
                return claim.reason or claim.verdict
            name = os.path.basename(entry.path)  # noqa: PTH119 - bytes
            try:
                os.rename(name, item.id, src_dir_fd=claim.folder, dst_dir_fd=quarantine)
            except OSError as error:
                return str(error.strerror)
            return self._quarantine.verify(item, quarantine, claim.folder)

    def expire(self, steps: Sequence[Step]) -> list[Removed]:
        """Delete what lay in the quarantine for long enough."""
        results: list[Removed] = []
        with self._quarantine.opened() as quarantine:
            for step in steps:
                if self._stopping():
                    break
                assert step.quarantined is not None
                reason = self._quarantine.delete(step.quarantined, quarantine)
                results.append(Removed(step, not reason, reason))
            self._manifest.leave_quarantine(
                result.step.quarantined.id
                for result in results
                if result.step.quarantined is not None and (result.done or _is_alien(result))
            )
        for result in results:
            _tell(result)
        return results

    def remove_modules(self, step: Step, regenerable: Iterable[str]) -> Removed:
        """Delete ``node_modules``, unless somebody has begun to use it."""
        result = self._remove_modules(step, frozenset(regenerable))
        _tell(result)
        return result

    def _remove_modules(self, step: Step, regenerable: frozenset[str]) -> Removed:
        tree = node_modules.inspect(self._folder, regenerable)  # looked at again
        if tree is None or tree.kept:
            return Removed(step, False, "it is gone" if tree is None else tree.kept)
        entry = Entry(node_modules.NAME, Kind.MODULES, tree.inode, tree.size_bytes, "", 0.0)
        item = Quarantined(self._next_id(), entry, self._manifest.now_s(), purge=True)
        with self._quarantine.opened() as quarantine:
            self._manifest.quarantine([item])
            try:
                os.rename(
                    node_modules.NAME, item.id, src_dir_fd=self._folder.fd, dst_dir_fd=quarantine
                )
            except OSError as error:
                self._manifest.leave_quarantine([item.id])
                return Removed(step, False, str(error.strerror))
            reason = self._quarantine.delete_tree(item, quarantine)
            if reason.startswith("process") and self._folder.status(node_modules.NAME) is None:
                os.rename(
                    item.id, node_modules.NAME, src_dir_fd=quarantine, dst_dir_fd=self._folder.fd
                )
                self._manifest.leave_quarantine([item.id])
            return Removed(step, not reason, reason)

    def _remove_empty(self, folders: set[bytes]) -> None:
        """Remove folders that became empty, but for those right below ``.opencode``."""
        for path in sorted(folders, key=len, reverse=True):
            above, name = os.path.split(path)
            while above:
                try:
                    with self._folder.folder(above) as folder:
                        os.rmdir(name, dir_fd=folder)
                except OSError:
                    break
                above, name = os.path.split(above)

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._pass_id}.{self._number}"


def _is_alien(result: Removed) -> bool:
    return result.reason == ALIEN


def _tell(result: Removed) -> None:
    """Every removal is logged, and every one that was not possible."""
    step = result.step
    if result.done:
        log.info("%s %s: %s", step.action, readable(step.path), step.reason)
    else:
        log.info("kept %s: %s", readable(step.path), result.reason)
