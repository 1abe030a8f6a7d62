"""Taking files out of ``.opencode``, and bringing them back.

Every removal is a move into the quarantine that is on record before it happens; what is to be
deleted is deleted there. A file is looked at before it is moved and once more afterwards, and is
put back if it is not the one that was meant: what another program writes in between is not lost.
A process that is killed at any moment leaves a record from which :meth:`Remover.recover` goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.cleanup import node_modules
from orchestrator_core.cleanup.entries import Entry, Kind, Quarantined
from orchestrator_core.cleanup.files import move
from orchestrator_core.cleanup.handles import user_of
from orchestrator_core.cleanup.state_folder import QUARANTINE, StateFolder, Verdict, digest_of
from orchestrator_core.cleanup.steps import Action, Step, readable
from orchestrator_core.errors import CleanupError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from orchestrator_core.cleanup.manifest import Manifest

log = logging.getLogger(__name__)

_AT_ONCE = 64
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Removed(Struct, frozen=True):
    """What became of a step: whether it was done, and why not."""

    step: Step
    done: bool
    reason: str = ""


class Remover:
    """Carries removals out. For one thread, under the folder's lock; blocks on the disk.

    Args:
        folder: the open ``.opencode``.
        manifest: its manifest.
        pass_id: what the names in the quarantine begin with.
        stopping: asked before each removal; True ends the work early.
    """

    def __init__(
        self,
        folder: StateFolder,
        manifest: Manifest,
        pass_id: str,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
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
        with self._quarantine() as quarantine:
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
            return self._verify(item, quarantine, claim.folder)

    def _verify(self, item: Quarantined, quarantine: int, home: int) -> str:
        """Look at what was moved; what is not the file that was meant is put back.

        Where something else lies at its place by now, it stays in the quarantine, to be restored.
        """
        try:
            file = os.open(item.id, _READ, dir_fd=quarantine)
        except OSError as error:
            same, reason = False, str(error.strerror)
        else:
            try:
                same = os.fstat(file).st_ino == item.entry.inode
                same = same and item.entry.hash in {"", digest_of(file)}
                reason = "it was changed just now"
            finally:
                os.close(file)
        if same:
            return ""
        name = os.path.basename(item.entry.path)  # noqa: PTH119 - bytes
        try:
            move(os.fsencode(item.id), name, quarantine, home)
            self._manifest.leave_quarantine([item.id])
        except OSError as error:
            status = os.stat(item.id, dir_fd=quarantine, follow_symlinks=False)
            found = msgspec.structs.replace(
                item.entry, inode=status.st_ino, size=status.st_size, hash=""
            )
            self._manifest.quarantine([msgspec.structs.replace(item, entry=found, purge=False)])
            log.warning(
                "%s was changed while it was moved; what it held is in the quarantine as %s (%s)",
                readable(item.entry.path),
                item.id,
                error.strerror,
            )
        return reason

    def expire(self, steps: Sequence[Step]) -> list[Removed]:
        """Delete what lay in the quarantine for long enough."""
        results: list[Removed] = []
        with self._quarantine() as quarantine:
            for step in steps:
                if self._stopping():
                    break
                assert step.quarantined is not None
                reason = self._delete(step.quarantined, quarantine)
                results.append(Removed(step, not reason, reason))
            self._manifest.leave_quarantine(
                result.step.quarantined.id
                for result in results
                if result.step.quarantined is not None and (result.done or _is_alien(result))
            )
        for result in results:
            _tell(result)
        return results

    def _delete(self, item: Quarantined, quarantine: int) -> str:
        try:
            file = os.open(item.id, _READ, dir_fd=quarantine)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return str(error.strerror)
        try:
            same = os.fstat(file).st_ino == item.entry.inode
            if not same or item.entry.hash not in {"", digest_of(file)}:
                return _ALIEN
            os.unlink(item.id, dir_fd=quarantine)
        except OSError as error:
            return str(error.strerror)
        finally:
            os.close(file)
        return ""

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
        with self._quarantine() as quarantine:
            self._manifest.quarantine([item])
            try:
                os.rename(
                    node_modules.NAME, item.id, src_dir_fd=self._folder.fd, dst_dir_fd=quarantine
                )
            except OSError as error:
                self._manifest.leave_quarantine([item.id])
                return Removed(step, False, str(error.strerror))
            reason = self._delete_tree(item, quarantine)
            if reason.startswith("process") and self._folder.status(node_modules.NAME) is None:
                os.rename(
                    item.id, node_modules.NAME, src_dir_fd=quarantine, dst_dir_fd=self._folder.fd
                )
                self._manifest.leave_quarantine([item.id])
            return Removed(step, not reason, reason)

    def _delete_tree(self, item: Quarantined, quarantine: int) -> str:
        """Delete a folder in the quarantine, unless somebody uses it; answers why not."""
        pid = user_of(self._folder.path / os.fsdecode(QUARANTINE) / item.id)
        if pid is not None:
            return f"process {pid} uses it"
        try:
            node_modules.remove_tree(item.id, quarantine, self._folder.device)
        except FileNotFoundError:
            pass
        except OSError as error:
            return f"not all of it could be deleted: {error}"
        self._manifest.leave_quarantine([item.id])
        return ""

    def restore(self, item: Quarantined) -> str:
        """Bring a file back to where it was; answers why not, or nothing."""
        above, name = os.path.split(item.entry.path)
        try:
            with (
                self._quarantine() as quarantine,
                self._folder.folder(above, make=True) as home,
            ):
                move(os.fsencode(item.id), name, quarantine, home)
        except FileExistsError:
            return "there is something at its place: move that away first"
        except OSError as error:
            return str(error.strerror)
        self._came_back(item)
        log.info("restored %s", readable(item.entry.path))
        return ""

    def _came_back(self, item: Quarantined) -> None:
        entry, now_s = item.entry, self._manifest.now_s()
        with self._manifest.writing():
            self._manifest.add(
                [Entry(entry.path, entry.kind, entry.inode, entry.size, entry.hash, now_s)]
            )
            self._manifest.leave_quarantine([item.id])

    def recover(self) -> None:
        """Bring to its end what a killed process had begun; manifest and folder agree then."""
        for entry in self._manifest.used_before([Kind.TEMPORARY], float("inf")):
            self._remove_abandoned(entry)
        present = self._folder.names(QUARANTINE)
        gone: list[str] = []
        for item in self._manifest.quarantined():
            if item.id not in present:
                gone.append(item.id)
            elif item.purge or self._manifest.get(item.entry.path) is not None:
                self._go_on(item)
            elif self._is_at_home(item):
                self._finish_restore(item)
        if gone:
            self._manifest.leave_quarantine(gone)

    def _go_on(self, item: Quarantined) -> None:
        """Decide about a file that was moved by a process that told no more."""
        entry = item.entry
        with self._quarantine() as quarantine:
            if entry.kind is Kind.MODULES:
                self._delete_tree(item, quarantine)
                return
            if self._is_at_home(item):
                self._finish_restore(item)
                return
            recorded = self._manifest.get(entry.path)
            if recorded is not None and recorded.inode != entry.inode:
                recorded = None  # there is another file by that name since
            if recorded is not None or item.purge:
                above, _ = os.path.split(entry.path)
                with contextlib.suppress(OSError), self._folder.folder(above, make=True) as home:
                    if self._verify(item, quarantine, home):
                        return
            with self._manifest.writing():
                if recorded is not None:
                    self._manifest.forget([entry])
                if item.purge and not self._delete(item, quarantine):
                    self._manifest.leave_quarantine([item.id])

    def _is_at_home(self, item: Quarantined) -> bool:
        status = self._folder.status(item.entry.path)
        return status is not None and status.st_ino == item.entry.inode

    def _finish_restore(self, item: Quarantined) -> None:
        """The file has both its names: the restore was cut short between the two."""
        with self._quarantine() as quarantine, contextlib.suppress(FileNotFoundError):
            os.unlink(item.id, dir_fd=quarantine)
        self._came_back(item)

    def _remove_abandoned(self, entry: Entry) -> None:
        """Remove a file whose writer died half-way; one that is being written stays."""
        above, name = os.path.split(entry.path)
        try:
            with self._folder.folder(above) as folder:
                file = os.open(name, _READ, dir_fd=folder)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=folder)
                finally:
                    os.close(file)
        except FileNotFoundError:
            pass
        except OSError:
            return
        self._manifest.forget([entry])

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

    @contextlib.contextmanager
    def _quarantine(self) -> Generator[int]:
        try:
            with self._folder.folder(QUARANTINE, make=True) as descriptor:
                os.fchmod(descriptor, stat.S_IRWXU)  # what lies there may have been private
                yield descriptor
        except NotADirectoryError as error:
            raise CleanupError(
                f"{self._folder.path}/quarantine is no folder: nothing is removed"
            ) from error

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._pass_id}.{self._number}"


_ALIEN = "it is not what was put there"


def _is_alien(result: Removed) -> bool:
    return result.reason == _ALIEN


def _tell(result: Removed) -> None:
    """Every removal is logged, and every one that was not possible."""
    step = result.step
    if result.done:
        log.info("%s %s: %s", step.action, readable(step.path), step.reason)
    else:
        log.info("kept %s: %s", readable(step.path), result.reason)
