"""Which processes use what lies below a folder: open files and folders, mapped libraries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


def user_of(path: Path) -> int | None:
    """A process that has ``path``, or something below it, open; None where there is none.

    Processes of other users may not be looked into: they are passed over.
    """
    real = os.path.realpath(path)
    below = real + os.sep
    for process in psutil.process_iter():
        try:
            names = _names_linux(process.pid, real) if psutil.LINUX else _names(process)
            if any(name == real or name.startswith(below) for name in names):
                return process.pid
        except (OSError, psutil.Error):  # it ended, or is somebody else's
            continue
    return None


def _names_linux(pid: int, real: str) -> Iterator[str]:
    process = Path(f"/proc/{pid}")
    yield os.readlink(process / "cwd")  # noqa: PTH115 - no path is made of it
    with os.scandir(process / "fd") as handles:
        for handle in handles:
            try:
                yield os.readlink(handle.path)  # noqa: PTH115
            except FileNotFoundError:
                continue  # closed just now
    mapped = os.fsencode(real)
    if mapped in (process / "maps").read_bytes():
        yield real


def _names(process: psutil.Process) -> Iterator[str]:
    yield process.cwd()
    for file in process.open_files():
        yield file.path
