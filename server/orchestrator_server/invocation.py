"""Running pygls handlers of every kind, so that cancelling reaches them and none is kept."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, cast

from pygls import feature_manager

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Handler = Callable[..., Any]
Steps = Generator[tuple[Handler, Any, Any], Any, Any]
"""A builtin handler of pygls: it yields the next handler to call with its arguments."""


class ExitRequested(Exception):
    """Carries a SystemExit out of a task, where as itself it would tear down the loop.

    Attributes:
        code: what SystemExit was given.
    """

    def __init__(self, code: object) -> None:
        super().__init__(f"the server is exiting with {code!r}")
        self.code = code


class Invoker:
    """Calls handlers: sync ones at once, coroutines as tasks, marked ones in threads.

    Only for the thread of the event loop.

    Args:
        thread_pool: makes or returns the pool for handlers marked with ``thread()``.
    """

    def __init__(self, thread_pool: Callable[[], ThreadPoolExecutor]) -> None:
        self._thread_pool = thread_pool
        self._unfinished: set[asyncio.Future[Any]] = set()

    @property
    def unfinished(self) -> int:
        """How many handlers run."""
        return len(self._unfinished)

    def invoke(self, handler: Handler, args: Any = None, kwargs: Any = None) -> Any:
        """Call a handler.

        Returns:
            The result of one that is done; for any other the future whose cancellation
            reaches it (mends defect 1). It is forgotten when it is done (mends 4).
        """
        args, kwargs = tuple(args or ()), kwargs or {}
        if _is_for_thread(handler):
            run = contextvars.copy_context().run
            work = self._thread_pool().submit(run, handler, *args, **kwargs)
            return self._track(asyncio.wrap_future(work))
        result = handler(*args, **kwargs)
        if inspect.isgenerator(result):
            return self._drive(cast("Steps", result))
        if inspect.iscoroutine(result):
            return self._track(asyncio.ensure_future(_contain(result)))
        return result

    def cancel_all(self) -> None:
        """Cancel every handler that runs, but the caller's own."""
        for future in self._others():
            future.cancel()

    async def wait_all(self, timeout_s: float) -> bool:
        """Wait for every handler but the caller's own; True when they ended in time."""
        pending = self._others()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=timeout_s)
        return not pending

    def _others(self) -> set[asyncio.Future[Any]]:
        return self._unfinished - {cast("asyncio.Future[Any]", asyncio.current_task())}

    def _drive(self, steps: Steps) -> Any:
        """Run a builtin handler as far as it goes without waiting.

        A document's changes are thus in place before the next message is looked at.
        """
        value: Any = None
        while not isinstance(value, asyncio.Future):
            try:
                value = self.invoke(*steps.send(value))
            except StopIteration as stop:
                return stop.value
        return self._track(asyncio.ensure_future(self._drive_on(steps, value)))

    async def _drive_on(self, steps: Steps, value: Any) -> object:
        while True:
            if isinstance(value, asyncio.Future):
                value = await cast("asyncio.Future[Any]", value)
            try:
                value = self.invoke(*steps.send(value))
            except StopIteration as stop:
                return stop.value

    def _track(self, future: asyncio.Future[Any]) -> asyncio.Future[Any]:
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future


async def _contain(awaitable: Awaitable[Any]) -> Any:
    """Keep SystemExit inside the task (mends 16)."""
    try:
        return await awaitable
    except SystemExit as error:
        raise ExitRequested(error.code) from error


def _is_for_thread(handler: Handler) -> bool:
    return bool(feature_manager.is_thread_function(handler))  # pyright: ignore[reportUnknownMemberType] (untyped in pygls)
