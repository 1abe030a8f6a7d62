"""File-system calls that fail, or kill the process, at their Nth time below one folder."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

CALLS = ("open", "write", "fsync", "fchmod", "link", "rename", "replace", "unlink", "mkdir")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES)


class Faults:
    """Counts the calls of some of ``os``'s functions on files below ``root``.

    Args:
        root: calls on paths elsewhere are passed through and not counted; those on file
            descriptors are counted, whatever they are of.
        calls: names of functions in ``os``.
        at: the call, from 1, on which it happens.
        act: what happens; an OSError that it returns is raised.
        once: whether it happens only then, or from then on.
    """

    def __init__(
        self,
        root: Path,
        calls: tuple[str, ...],
        *,
        at: int,
        act: Callable[[], OSError],
        once: bool = True,
    ) -> None:
        self._root = str(root)
        self._at = at
        self._act = act
        self._once = once
        self._originals = {name: getattr(os, name) for name in calls}
        self.count = 0

    @property
    def happened(self) -> bool:
        return self.count >= self._at

    def __enter__(self) -> Self:
        for name, original in self._originals.items():
            setattr(os, name, self._faulty(original))
        return self

    def __exit__(self, *_: object) -> None:
        for name, original in self._originals.items():
            setattr(os, name, original)

    def _faulty(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **named: Any) -> Any:
            if isinstance(first, int) or str(first).startswith(self._root):
                self.count += 1
                if self.count == self._at or (self.happened and not self._once):
                    raise self._act()
            return original(first, *rest, **named)

        return call


def failing(number: int) -> Callable[[], OSError]:
    return lambda: OSError(number, os.strerror(number))


def killing() -> OSError:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
    raise AssertionError
