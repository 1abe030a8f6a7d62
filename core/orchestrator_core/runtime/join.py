"""Waiting for several coroutines that belong together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")


async def join_all(work: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run coroutines at once and answer their results in order.

    The first that fails cancels the others, which are awaited before its error is raised as it
    is: callers match on error classes, not on groups. Cancelling the call cancels all.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
