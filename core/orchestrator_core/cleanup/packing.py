"""Making files smaller: compressed in their place, and missions out of the journal."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

from orchestrator_core.cleanup import compression
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import creating
from orchestrator_core.cleanup.removal import Removed
from orchestrator_core.cleanup.state_folder import Verdict
from orchestrator_core.cleanup.steps import Action, Step, readable
from orchestrator_core.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator_core.cleanup.manifest import Manifest
    from orchestrator_core.cleanup.removal import Remover
    from orchestrator_core.cleanup.state_folder import StateFolder
    from orchestrator_core.cleanup.steps import JournalArchive

log = logging.getLogger(__name__)

_AT_ONCE = 16


class Packer:
    """Carries compressions out. For one thread, under the folder's lock; blocks on the disk.

    Args:
        folder: the open ``.opencode``.
        manifest: of it.
        journal: the journal, where it may be shortened.
        remover: takes the originals away.
    """

    def __init__(
        self,
        folder: StateFolder,
        manifest: Manifest,
        journal: JournalArchive | None,
        remover: Remover,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._journal = journal
        self._remover = remover

    def compress(self, steps: list[Step]) -> Iterator[Removed]:
        """Write the compressed files first, then take the originals away, some at a time."""
        for start in range(0, len(steps), _AT_ONCE):
            packed: list[Step] = []
            for step in steps[start : start + _AT_ONCE]:
                if reason := self._pack(step):
                    yield Removed(step, False, reason)
                else:
                    packed.append(step)
            results = self._remover.remove(packed)
            kept = {*packed} - {result.step for result in results if result.done}
            yield from results
            self._take_back(kept, "its original stays")

    def _pack(self, step: Step) -> str:
        """Write one compressed file; answers why not, or nothing."""
        entry = step.entry
        assert entry is not None
        try:
            with self._folder.claim(entry) as claim:
                if claim.verdict is not Verdict.OURS:
                    return claim.reason
                mode = stat.S_IMODE(os.fstat(claim.file).st_mode)
                with creating(
                    self._folder, self._manifest, step.target, entry.kind, used_s=entry.used_s
                ) as target:
                    os.fchmod(target.fileno(), mode)
                    for part in compression.packed(compression.parts_of(claim.file)):
                        target.write(part)
        except OSError as error:
            return str(error.strerror)
        return ""

    def archive(self, step: Step) -> Removed:
        """Move finished missions from the journal to a compressed file."""
        assert self._journal is not None
        try:
            with creating(self._folder, self._manifest, step.target, Kind.HISTORY) as target:
                for part in compression.packed(self._journal.lines(step.missions)):
                    target.write(part)
            self._journal.forget(step.missions)
        except (OSError, JournalError) as error:
            self._take_back([step], "its missions stay in the journal")
            return Removed(step, False, str(error))
        log.info("archived %s: %s", readable(step.target), step.reason)
        return Removed(step, done=True)

    def _take_back(self, steps: Iterable[Step], reason: str) -> None:
        """Delete what steps made that came to nothing."""
        made = [self._manifest.get(step.target) for step in steps]
        self._remover.remove(
            [Step(Action.DELETE, "", entry.path, reason, entry=entry) for entry in made if entry]
        )
