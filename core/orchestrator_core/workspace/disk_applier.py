"""Applying changes on disk, all or none.

Each changed file goes through three steps, and all files finish one before
any begins the next:

1. **Check**: the file is what the change was computed from, and may be changed.
2. **Stage**: the new bytes are written to a temporary file beside it and synced.
3. **Commit**: the old file is kept under a second name, and the staged one renamed over it.

Whatever fails, the kept files are renamed back, so each file is byte for byte its old self, down
to its inode. A process killed at any moment leaves every file with its whole old or its whole new
content; :func:`clear_leftovers` removes the names it left behind, and the journal's intent lets
undo finish. Space is needed only while staging, so a full disk changes nothing.

Line endings, byte-order mark, mode bits, owner and extended attributes stay. A symbolic link is
written through to its target. Other hard links to a file keep its old content.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import threading
from typing import TYPE_CHECKING

from orchestrator_core.errors import EditRefused, MissingFile, StaleEdit, UnreadableText
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.file_swap import LEFTOVER, FileSwap, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from orchestrator_core.workspace.apply import Offload
    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_core.workspace.edits import Change

log = logging.getLogger(__name__)

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the task again",
    errno.EDQUOT: "your disk quota is used up: free some space and run the task again",
    errno.EROFS: "the file system is read-only: mount it writable or work on a copy",
    errno.EACCES: "permission denied: check the permissions of the file and its folder",
    errno.EPERM: "not permitted: check the attributes of the file and its folder",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n) or run fewer workers",
    errno.ENFILE: "too many open files on this machine: close some programs",
    errno.EIO: "the disk reports an error: check it before you go on",
}


class DiskApplier:
    """Applies changes to the files on disk, one ``apply`` at a time.

    Args:
        workspace: whose files they are.
        offload: where the blocking work runs.
    """

    def __init__(self, workspace: Workspace, offload: Offload) -> None:
        self._workspace = workspace
        self._offload = offload
        self._lock = threading.Lock()

    async def apply(self, changes: Sequence[Change], *, label: str, confirm: bool = False) -> None:
        """Make all changes, or none; see :class:`~orchestrator_core.workspace.apply.Applier`.

        A cancelled call rolls back what it has not finished, and ends only then. Nobody is asked.
        """
        del confirm
        log.debug("%s: %d files", label, len(changes))
        abort = threading.Event()
        work = asyncio.ensure_future(self._offload(lambda: self.apply_now(changes, abort)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            abort.set()
            await _outlast(work)
            if not work.cancelled() and (error := work.exception()) is not None:
                log.info("%s: stopped: %s", label, error)
            raise

    def apply_now(self, changes: Sequence[Change], abort: threading.Event | None = None) -> None:
        """Make all changes, or none, in this thread. Setting ``abort`` from another stops it.

        Raises:
            StaleEdit: a file is not (or no longer) what its ``before`` says.
            EditRefused: a file cannot be changed, or ``abort`` was set.
        """
        with self._lock:
            swaps = [self._check(change) for change in changes]
            _require_distinct(swaps)
            current = swaps[0] if swaps else None
            try:
                for step in (FileSwap.stage, FileSwap.sync, FileSwap.commit):
                    for current in swaps:
                        if abort is not None and abort.is_set():
                            raise EditRefused("stopped before all edits were made")
                        step(current)
                for folder in sorted({folder for swap in swaps for folder in swap.folders()}):
                    sync(folder)
                for current in swaps:
                    current.verify()
            except BaseException as error:
                stuck = _roll_back(swaps)
                if isinstance(error, OSError):
                    path = current.path if current else ""
                    raise EditRefused("\n".join([_refusal(path, error), *stuck])) from error
                if stuck:
                    raise EditRefused("\n".join([str(error), *stuck])) from error
                raise
            for swap in swaps:
                _finish(swap)

    def _check(self, change: Change) -> FileSwap:
        """See that the file is what the change says and may be changed.

        Raises:
            StaleEdit: it is not.
            EditRefused: it may not.
        """
        path = change.path
        source = self._workspace.locate(path)
        status: os.stat_result | None = None
        try:
            data = change.encode()
            if change.kind in ("delete", "rename") and (self._workspace.root / path).is_symlink():
                raise EditRefused(f"{path} is a symbolic link: {change.kind} it by hand")
            if change.kind == "create":
                if os.path.lexists(source):
                    raise StaleEdit(path, f"{path} was created by someone else meanwhile")
                target, existing = source, None
            else:
                status, existing = _check_existing(change, source), source
                target = source if change.kind == "modify" else None
            if change.kind == "rename":
                target = self._workspace.locate(change.new_path)
                if os.path.lexists(target):
                    raise StaleEdit(path, f"{change.new_path} was created by someone else")
            for file in {f for f in (existing, target) if f is not None}:
                _require_writable_folder(file.parent, path)
        except UnicodeEncodeError:
            raise EditRefused(f"{path} would hold half a surrogate pair, not UTF-8") from None
        except OSError as error:
            raise EditRefused(_refusal(path, error)) from error
        return FileSwap(
            path,
            source=existing,
            status=status,
            before_sha256=change.before.sha256 if change.before else "",
            target=target,
            data=data or b"",
            mode=change.mode,
        )


def clear_leftovers(
    workspace: Workspace, paths: Iterable[str], *, is_kept: Callable[[str], bool]
) -> tuple[str, ...]:
    """Remove what a killed process, or one whose writes failed, left in the folders of ``paths``.

    To be called by the workspace's one owner, when nothing is being applied, after the undo or
    the resuming of the mission whose intents name ``paths``.

    Args:
        workspace: whose folders they are.
        paths: files whose folders are looked through.
        is_kept: whether the content with a hash is kept elsewhere: an old file stays if not.

    Returns:
        The files removed, relative to the workspace.
    """
    removed: list[str] = []
    for folder in sorted({workspace.locate(path).parent for path in paths}):
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            if LEFTOVER.fullmatch(entry.name):
                if entry.suffix == ".old" and not is_kept(text_file.sha256(entry.read_bytes())):
                    continue
                entry.unlink()
                removed.append(workspace.relative(entry))
    return tuple(removed)


def _check_existing(change: Change, file: Path) -> os.stat_result:
    path, before = change.path, change.before
    assert before is not None, "only a created file has nothing before"
    try:
        status = file.stat()
        data, _ = text_file.read_bytes(file, path, limit_bytes=status.st_size + 1)
    except (FileNotFoundError, NotADirectoryError, MissingFile):
        raise StaleEdit(path, f"{path} was deleted while an edit to it was being made") from None
    except UnreadableText as error:
        raise EditRefused(f"{path} {error.reason}: nothing was changed") from error
    if text_file.sha256(data) != before.sha256:
        raise StaleEdit(path)
    if not status.st_mode & 0o222 or not os.access(file, os.W_OK):
        raise EditRefused(
            f"{path} is read-only: make it writable (chmod u+w) and run the task again; "
            "nothing was changed"
        )
    return status


def _require_writable_folder(folder: Path, path: str) -> None:
    while not folder.exists():
        folder = folder.parent
    mode = folder.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise EditRefused(f"{path} cannot be written: {folder.name} is no folder")
    if not mode & 0o222 or not os.access(folder, os.W_OK | os.X_OK):
        raise EditRefused(
            f"{path} cannot be written: its folder {folder} is read-only; "
            "make it writable (chmod u+w) and run the task again; nothing was changed"
        )


def _require_distinct(swaps: Sequence[FileSwap]) -> None:
    names: dict[Path, str] = {}
    for swap in swaps:
        for file in {file for file in (swap.source, swap.target) if file is not None}:
            if file in names:
                raise EditRefused(
                    f"{names[file]} and {swap.path} are the same file: edit it under one name"
                )
            names[file] = swap.path


def _roll_back(swaps: Sequence[FileSwap]) -> list[str]:
    """Put every file back; answer what could not be."""
    stuck = [problem for swap in reversed(swaps) if (problem := swap.roll_back())]
    for problem in stuck:
        log.error("%s", problem)
    return stuck


def _finish(swap: FileSwap) -> None:
    try:
        swap.finish()
    except OSError as error:
        # The change is made; only a hidden name is left, which undo or a resume clears.
        log.warning("%s: its old version could not be removed: %s", swap.path, error)


def _refusal(path: str, error: OSError) -> str:
    advice = _ADVICE.get(error.errno or 0) or error.strerror or str(error)
    return f"{path} cannot be changed: {advice}. Nothing was changed."


async def _outlast(work: asyncio.Future[None]) -> None:
    """Wait until the work has ended, however often this task is cancelled."""
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            continue  # the caller raises it once the work is over
