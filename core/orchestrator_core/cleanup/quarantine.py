"""The quarantine: a folder of ``.opencode`` in which files lie under names of the manifest's.

What is in it is looked at before anything is done with it: a file that is not the one on record
is neither deleted nor moved over another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.cleanup import node_modules
from orchestrator_core.cleanup.entries import Entry
from orchestrator_core.cleanup.files import move
from orchestrator_core.cleanup.handles import user_of
from orchestrator_core.cleanup.state_folder import QUARANTINE, StateFolder, digest_of
from orchestrator_core.cleanup.steps import readable
from orchestrator_core.errors import CleanupError

if TYPE_CHECKING:
    from collections.abc import Generator

    from orchestrator_core.cleanup.entries import Quarantined
    from orchestrator_core.cleanup.manifest import Manifest

log = logging.getLogger(__name__)

ALIEN = "it is not what was put there"
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Quarantine:
    """The quarantine of one ``.opencode``. For one thread, under the folder's lock.

    Args:
        folder: the open ``.opencode``.
        manifest: its manifest.
    """

    def __init__(self, folder: StateFolder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @contextlib.contextmanager
    def opened(self) -> Generator[int]:
        """The folder's descriptor; the folder is made if there is none.

        Raises:
            CleanupError: there is something else by its name.
            OSError: it cannot be made.
        """
        try:
            with self.folder.folder(QUARANTINE, make=True) as descriptor:
                os.fchmod(descriptor, stat.S_IRWXU)  # what lies there may have been private
                yield descriptor
        except NotADirectoryError as error:
            raise CleanupError(
                f"{self.folder.path}/quarantine is no folder: nothing is removed"
            ) from error

    def verify(self, item: Quarantined, quarantine: int, home: int) -> str:
        """Look at what was moved; what is not the file that was meant is put back.

        Where something else lies at its place by now, it stays in the quarantine, to be restored.
        """
        try:
            file = os.open(item.id, READ, dir_fd=quarantine)
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
            self.manifest.leave_quarantine([item.id])
        except OSError as error:
            status = os.stat(item.id, dir_fd=quarantine, follow_symlinks=False)
            found = msgspec.structs.replace(
                item.entry, inode=status.st_ino, size=status.st_size, hash=""
            )
            self.manifest.quarantine([msgspec.structs.replace(item, entry=found, purge=False)])
            log.warning(
                "%s was changed while it was moved; what it held is in the quarantine as %s (%s)",
                readable(item.entry.path),
                item.id,
                error.strerror,
            )
        return reason

    def delete(self, item: Quarantined, quarantine: int) -> str:
        """Delete a file in the quarantine; answers why not, or nothing."""
        try:
            file = os.open(item.id, READ, dir_fd=quarantine)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return str(error.strerror)
        try:
            same = os.fstat(file).st_ino == item.entry.inode
            if not same or item.entry.hash not in {"", digest_of(file)}:
                return ALIEN
            os.unlink(item.id, dir_fd=quarantine)
        except OSError as error:
            return str(error.strerror)
        finally:
            os.close(file)
        return ""

    def delete_tree(self, item: Quarantined, quarantine: int) -> str:
        """Delete a folder in the quarantine, unless somebody uses it; answers why not."""
        pid = user_of(self.folder.path / os.fsdecode(QUARANTINE) / item.id)
        if pid is not None:
            return f"process {pid} uses it"
        try:
            node_modules.remove_tree(item.id, quarantine, self.folder.device)
        except FileNotFoundError:
            pass
        except OSError as error:
            return f"not all of it could be deleted: {error}"
        self.manifest.leave_quarantine([item.id])
        return ""

    def restore(self, item: Quarantined) -> str:
        """Bring a file back to where it was; answers why not, or nothing."""
        above, name = os.path.split(item.entry.path)
        try:
            with (
                self.opened() as quarantine,
                self.folder.folder(above, make=True) as home,
            ):
                move(os.fsencode(item.id), name, quarantine, home)
        except FileExistsError:
            return "there is something at its place: move that away first"
        except OSError as error:
            return str(error.strerror)
        self._came_back(item)
        log.info("restored %s", readable(item.entry.path))
        return ""

    def finish_restore(self, item: Quarantined) -> None:
        """The file has both its names: the restore was cut short between the two."""
        with self.opened() as quarantine, contextlib.suppress(FileNotFoundError):
            os.unlink(item.id, dir_fd=quarantine)
        self._came_back(item)

    def is_at_home(self, item: Quarantined) -> bool:
        """Whether the file lies where it came from."""
        status = self.folder.status(item.entry.path)
        return status is not None and status.st_ino == item.entry.inode

    def _came_back(self, item: Quarantined) -> None:
        entry, now_s = item.entry, self.manifest.now_s()
        with self.manifest.writing():
            self.manifest.add(
                [Entry(entry.path, entry.kind, entry.inode, entry.size, entry.hash, now_s)]
            )
            self.manifest.leave_quarantine([item.id])
