"""Making files in ``.opencode`` so that cleanup knows them as ours: for everybody who writes there.

``record`` takes a file that was just written; ``creating`` writes one that is on record before
its first byte, so that a process that is killed half-way leaves nothing that nobody knows;
``session`` keeps the files of a session until it has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from typing import IO, TYPE_CHECKING

from orchestrator_core.cleanup.entries import Entry, Kind
from orchestrator_core.cleanup.state_folder import SESSION_LOCK, StateFolder, digest_of
from orchestrator_core.errors import CleanupError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from orchestrator_core.cleanup.manifest import Manifest


def record(manifest: Manifest, path: Path, kind: Kind, *, growing: bool = False) -> None:
    """Note that this program created a file. Blocks on the disk; safe from any thread.

    Args:
        manifest: of the ``.opencode`` that the file lies in.
        path: the file, below that folder.
        kind: what it is for.
        growing: it will still be written to; record it again when it is finished, or its writer
            holds ``flock`` on it as long as it writes.

    Raises:
        CleanupError: it is no plain file below ``.opencode``, or cannot be recorded.
    """
    try:
        name = os.fsencode(path.relative_to(manifest.folder))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise CleanupError(f"{path} cannot be recorded: {error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CleanupError(f"{path} cannot be recorded: it is no plain file")
        digest = "" if growing else digest_of(descriptor)
    finally:
        os.close(descriptor)
    manifest.add([Entry(name, kind, status.st_ino, status.st_size, digest, manifest.now_s())])


@contextlib.contextmanager
def creating(
    folder: StateFolder, manifest: Manifest, path: bytes, kind: Kind, *, used_s: float | None = None
) -> Generator[IO[bytes]]:
    """Write a new file: it is there, whole and on record, when the block ends without an error.

    Args:
        folder: the open ``.opencode``.
        manifest: its manifest.
        path: relative to it; nothing may lie there.
        kind: what it is for.
        used_s: when it was last used, where that is not now.

    Raises:
        FileExistsError: there is something at ``path``.
        OSError: it cannot be written.
    """
    above, name = os.path.split(path)
    staged = b".opencode-" + secrets.token_hex(8).encode() + b".new"
    staged_path = os.path.join(above, staged)  # noqa: PTH118 - bytes
    now_s = manifest.now_s()
    with folder.folder(above, make=True) as descriptor:
        temporary = Entry(staged_path, Kind.TEMPORARY, 0, 0, "", now_s)
        manifest.add([temporary])
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(staged, flags, 0o644, dir_fd=descriptor)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its writer is alive
            with os.fdopen(os.dup(file), "wb") as stream:
                yield stream
            os.fsync(file)
            status = os.fstat(file)
            used_s = now_s if used_s is None else used_s
            entry = Entry(path, kind, status.st_ino, status.st_size, digest_of(file), used_s)
            manifest.add([entry])
            move(staged, name, descriptor, descriptor)
            with manifest.writing():
                manifest.add([entry])  # again: a cleanup in between found no file and forgot it
                manifest.forget([temporary])
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=descriptor)
            unwritten = Entry(path, kind, os.fstat(file).st_ino, 0, "", now_s)
            manifest.forget([unwritten, temporary])
            raise
        finally:
            os.close(file)


@contextlib.contextmanager
def session(folder: StateFolder, manifest: Manifest, name: str) -> Generator[Path]:
    """A session's folder, ``sessions/NAME``: what lies in it stays until the block has ended.

    The lock is the kernel's: a process that is killed keeps nothing.

    Raises:
        OSError: it cannot be made.
    """
    path = b"sessions/" + os.fsencode(name)
    lock_path = path + b"/" + SESSION_LOCK
    with folder.folder(path, make=True) as descriptor:
        if folder.status(lock_path) is None:
            with (
                contextlib.suppress(FileExistsError),
                creating(folder, manifest, lock_path, Kind.SESSION),
            ):
                pass
        lock = os.open(SESSION_LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield folder.path / os.fsdecode(path)
        finally:
            os.close(lock)


def move(source: bytes, target: bytes, source_folder: int, target_folder: int) -> None:
    """Rename a file, never in place of another.

    Raises:
        FileExistsError: there is something at the target.
        OSError: the file system does not let it.
    """
    os.link(
        source,
        target,
        src_dir_fd=source_folder,
        dst_dir_fd=target_folder,
        follow_symlinks=False,
    )
    os.unlink(source, dir_fd=source_folder)
