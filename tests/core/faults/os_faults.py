"""System calls that fail at their Nth time, whoever makes them: Python or SQLite."""

import ctypes
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

CALLS = {"open": 1, "write": 2, "fsync": 4, "rename": 8, "link": 16, "mkdir": 32, "unlink": 64}
"""``write`` stands for ``ftruncate`` as well."""

_SOURCE = Path(__file__).with_name("os_faults.c")
_VARIABLE = "LD_PRELOAD"


def environment(folder: Path) -> Mapping[str, str]:
    """What a process has to be started with, so that its calls can be made to fail."""
    library = folder / "os_faults.so"
    compiler = os.environ.get("CC", "cc")  # Rust's linker: whoever builds the project has it
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return {**os.environ, _VARIABLE: str(library)}


class OsFaults:
    """Makes a kind of call fail on files below ``root``, within the context.

    The process must have been started with :func:`environment`.

    Attributes:
        count: how many calls were made, once the context was left.
    """

    def __init__(self, root: Path, call: str, *, at: int, error: int, once: bool) -> None:
        self._library = ctypes.CDLL(os.environ[_VARIABLE])
        self._plan = (str(root).encode(), CALLS[call], ctypes.c_long(at), error, int(once))
        self._at = at
        self.count = 0

    def __enter__(self) -> Self:
        self._library.faults_arm(*self._plan)
        return self

    def __exit__(self, *_: object) -> None:
        self._library.faults_disarm.restype = ctypes.c_long
        self.count = self._library.faults_disarm()

    @property
    def happened(self) -> bool:
        return self.count >= self._at
