"""Pages that are written for a person to read in an editor, and can be made again at any time."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import creating
from orchestrator_core.cleanup.state_folder import StateFolder, Verdict
from orchestrator_core.errors import CleanupError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.cleanup.manifest import Manifest

FOLDER = "documents"


def write_page(workspace: Path, manifest: Manifest, name: str, text: str) -> Path:
    """Write ``.opencode/documents/NAME.md`` in the place of an older page of this program.

    A file that a person wrote or changed there stays; the page gets a number then. Blocks on the
    disk; safe from any thread.

    Args:
        workspace: the folder that the manifest's ``.opencode`` belongs to.
        manifest: knows the page until cleanup deletes it.
        name: a file name without a suffix.
        text: Markdown.

    Raises:
        CleanupError: it cannot be written.
    """
    try:
        with StateFolder(workspace, manifest.folder) as folder:
            for number in itertools.count(1):
                numbered = f"{name}.md" if number == 1 else f"{name}-{number}.md"
                path = os.fsencode(f"{FOLDER}/{numbered}")
                if not _make_room(folder, manifest, path):
                    continue
                try:
                    with creating(folder, manifest, path, Kind.DOCUMENT) as file:
                        file.write(text.encode("utf-8", "replace"))
                except FileExistsError:
                    continue
                return manifest.folder / FOLDER / numbered
    except OSError as error:
        raise CleanupError(f"the page {name} cannot be written: {error}") from error
    raise AssertionError


def _make_room(folder: StateFolder, manifest: Manifest, path: bytes) -> bool:
    """Remove an older page of this program; False where something else lies there."""
    if folder.status(path) is None:
        return True
    entry = manifest.get(path)
    if entry is None:
        return False
    with folder.claim(entry) as claim:
        if claim.verdict is not Verdict.OURS:
            return claim.verdict is Verdict.MISSING
        os.unlink(os.path.basename(path), dir_fd=claim.folder)  # noqa: PTH119 - by descriptor
    manifest.forget([entry])
    return True
