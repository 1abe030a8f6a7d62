"""The slots that one piece of work holds, and what its end says about who did it."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from orchestrator_core.errors import (
    ConcurrencyError,
    EditError,
    PoolClosed,
    RequestError,
    TokenReleased,
    ToolRejected,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

_log = logging.getLogger(__name__)

Dimension: TypeAlias = Literal["role", "backend", "model"]
Key: TypeAlias = tuple[Dimension, str]
TakeBack: TypeAlias = "Callable[[tuple[Key, ...], tuple[int, ...], bool | None], None]"

_NOBODYS_FAULT = (ConcurrencyError, EditError, PoolClosed, RequestError, ToolRejected)
"""What says nothing about a role, a backend or a model: a person's typing error, a file that
changed meanwhile, work that was not admitted or came when all ends. Five typing errors must not
keep the planner from the sixth text."""


class ConcurrencyToken:
    """Slots that somebody holds. Give them back once, from any thread.

    One that was lost gives them back itself, after a time. Whoever is at work for longer, and has
    limits of its own, says so with :meth:`kept`.

    Args:
        take_back: the controller's, called once.
        keys: what it holds a slot of, as pairs of dimension and name.
        entered: what the circuit of each of them gave when it let this in.

    Attributes:
        keys: what it holds a slot of, as pairs of dimension and name.
    """

    __slots__ = (
        "_claim",
        "_entered",
        "_expired",
        "_kept",
        "_seen_s",
        "_take_back",
        "_timer",
        "keys",
    )

    def __init__(
        self, take_back: TakeBack, keys: tuple[Key, ...], entered: tuple[int, ...]
    ) -> None:
        self.keys = keys
        self._take_back = take_back
        self._entered = entered
        self._claim = threading.Lock()  # whoever acquires it may give the slots back
        self._expired = False
        self._kept = 0
        self._seen_s = 0.0
        self._timer: tuple[asyncio.AbstractEventLoop, asyncio.TimerHandle] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.released:
            self._give_back(outcome_of(error))

    @property
    def released(self) -> bool:
        """Whether the slots were given back, by their holder or because time was up."""
        return self._claim.locked()

    def release(self, succeeded: bool | None = True) -> None:
        """Give the slots back.

        Args:
            succeeded: how the work went, which moves limits and circuits; None if that says
                nothing about role, backend and model, as when it was cancelled.

        Raises:
            TokenReleased: they were given back before.
        """
        if not self._give_back(succeeded):
            how = "by itself because its time was up" if self._expired else "already"
            raise TokenReleased(f"the token for {names_of(self.keys)} was released {how}")

    @contextmanager
    def kept(self) -> Generator[None]:
        """Do work that may take long and has limits of its own, on the loop that gave the token.

        As long as this lasts the token does not release itself; afterwards its time begins anew.
        """
        self._kept += 1
        try:
            yield
        finally:
            self._kept -= 1
            if self._timer is not None:
                self._seen_s = self._timer[0].time()

    def expire_after(self, hold_limit_s: float, loop: asyncio.AbstractEventLoop) -> None:
        """For the controller: after so long it releases itself, as a failure: it hangs."""
        self._seen_s = loop.time()
        self._look_after(hold_limit_s, hold_limit_s, loop)

    def _look_after(
        self, wait_s: float, hold_limit_s: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._timer = (loop, loop.call_later(wait_s, self._look, hold_limit_s, loop))

    def _look(self, hold_limit_s: float, loop: asyncio.AbstractEventLoop) -> None:
        """See whether it is lost."""
        if self.released:
            return
        left_s = hold_limit_s if self._kept else self._seen_s + hold_limit_s - loop.time()
        if left_s > 0:
            self._look_after(left_s, hold_limit_s, loop)
        elif self._give_back(False):
            self._expired = True
            _log.warning("A token for %s was held for %s s", names_of(self.keys), hold_limit_s)

    def _give_back(self, succeeded: bool | None) -> bool:
        if not self._claim.acquire(blocking=False):
            return False
        if self._timer is not None:
            loop, handle = self._timer
            self._timer = None
            _cancel_timer(loop, handle)
        self._take_back(self.keys, self._entered, succeeded)
        return True


def outcome_of(error: BaseException | None) -> bool | None:
    """How work went that ended so: well, badly, or None if that says nothing."""
    if error is None:
        return True
    if isinstance(error, Exception) and not isinstance(error, _NOBODYS_FAULT):
        return False
    return None


def names_of(keys: tuple[Key, ...]) -> str:
    """The keys, for a message."""
    return ", ".join(f"{dimension} {name}" for dimension, name in keys)


def _cancel_timer(loop: asyncio.AbstractEventLoop, handle: asyncio.TimerHandle) -> None:
    """Cancel a loop's timer from whatever thread this is."""
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        handle.cancel()
        return
    try:
        loop.call_soon_threadsafe(handle.cancel)
    except RuntimeError:  # the loop is closed and its timers with it
        return
