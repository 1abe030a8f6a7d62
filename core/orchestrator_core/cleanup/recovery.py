"""What a process that was killed had begun is brought to its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.quarantine import READ
from orchestrator_core.cleanup.state_folder import QUARANTINE

if TYPE_CHECKING:
    from orchestrator_core.cleanup.entries import Entry, Quarantined
    from orchestrator_core.cleanup.quarantine import Quarantine


def recover(quarantine: Quarantine) -> None:
    """Bring to its end what a killed process had begun; manifest and folder agree then."""
    for entry in quarantine.manifest.used_before([Kind.TEMPORARY], float("inf")):
        _remove_abandoned(quarantine, entry)
    present = quarantine.folder.names(QUARANTINE)
    gone: list[str] = []
    for item in quarantine.manifest.quarantined():
        if item.id not in present:
            gone.append(item.id)
        elif item.purge or quarantine.manifest.get(item.entry.path) is not None:
            _go_on(quarantine, item)
        elif quarantine.is_at_home(item):
            quarantine.finish_restore(item)
    if gone:
        quarantine.manifest.leave_quarantine(gone)


def _go_on(quarantine: Quarantine, item: Quarantined) -> None:
    """Decide about a file that was moved by a process that told no more."""
    entry = item.entry
    with quarantine.opened() as descriptor:
        if entry.kind is Kind.MODULES:
            quarantine.delete_tree(item, descriptor)
            return
        if quarantine.is_at_home(item):
            quarantine.finish_restore(item)
            return
        recorded = quarantine.manifest.get(entry.path)
        if recorded is not None and recorded.inode != entry.inode:
            recorded = None  # there is another file by that name since
        if recorded is not None or item.purge:
            above, _ = os.path.split(entry.path)
            with contextlib.suppress(OSError), quarantine.folder.folder(above, make=True) as home:
                if quarantine.verify(item, descriptor, home):
                    return
        with quarantine.manifest.writing():
            if recorded is not None:
                quarantine.manifest.forget([entry])
            if item.purge and not quarantine.delete(item, descriptor):
                quarantine.manifest.leave_quarantine([item.id])


def _remove_abandoned(quarantine: Quarantine, entry: Entry) -> None:
    """Remove a file whose writer died half-way; one that is being written stays."""
    above, name = os.path.split(entry.path)
    try:
        with quarantine.folder.folder(above) as folder:
            file = os.open(name, READ, dir_fd=folder)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(file)
    except FileNotFoundError:
        pass
    except OSError:
        return
    quarantine.manifest.forget([entry])
