"""Waiting for a SQLite database that another connection has locked."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_RETRY_S = 0.01


def when_free(act: Callable[[], T], wait_s: float) -> T:
    """Do what SQLite refuses at once when the database is locked, as soon as it is not.

    A connection's own time limit does not hold for the switch to WAL: of two connections that
    make a database at the same moment, one is refused. Blocks; from any thread.

    Args:
        act: what is done, again after each refusal.
        wait_s: for how long.

    Raises:
        sqlite3.OperationalError: it is still locked after ``wait_s``.
    """
    end_s = time.monotonic() + wait_s
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end_s:
                raise
        time.sleep(_RETRY_S)
