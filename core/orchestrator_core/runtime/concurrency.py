"""Who may work at the same time: admission by role, backend and model.

A ``ConcurrencyToken`` holds one slot in each of up to three limits. Whoever asks waits in one
queue, ordered by priority and age, and is served out of turn only by those who want something
that is free while what it wants is not; after ``patience_s`` it holds back what it needs, so that
nobody waits for ever because two things are never free together.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from orchestrator_core.errors import AcquireTimeout, CircuitOpen, MemoryPressure
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.circuit import CircuitBreaker
from orchestrator_core.runtime.concurrency_token import ConcurrencyToken, Dimension, Key, names_of
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.limits import LimitStats, SlotLimit
from orchestrator_core.runtime.usage import memory_share

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import TracebackType

DEFAULT_LIMITS: dict[str, int] = {"commander": 1, "planner": 10, "worker": 10, "reviewer": 10}
"""Slots of each role at the start. There is one commander, whatever its successes."""


class _Gate:
    """The limit and the circuit of one key."""

    __slots__ = ("circuit", "slots")

    def __init__(self, slots: SlotLimit, circuit: CircuitBreaker) -> None:
        self.slots = slots
        self.circuit = circuit


class _Waiter:
    """One request in the queue."""

    __slots__ = ("future", "keys", "order", "since_s")

    def __init__(self, keys: tuple[Key, ...], order: tuple[float, int], since_s: float) -> None:
        self.keys = keys
        self.order = order
        self.since_s = since_s
        self.future: Future[ConcurrencyToken] = Future()


class _Acquisition:
    """A request that is awaited for a token, or entered with ``async with``."""

    __slots__ = ("_acquire", "_token")

    def __init__(self, acquire: Callable[[], Generator[object, None, ConcurrencyToken]]) -> None:
        self._acquire = acquire
        self._token: ConcurrencyToken | None = None

    def __await__(self) -> Generator[object, None, ConcurrencyToken]:
        return self._acquire()

    async def __aenter__(self) -> ConcurrencyToken:
        self._token = await self
        return self._token

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._token is not None
        self._token.__exit__(kind, error, traceback)


class ConcurrencyController:
    """Hands out tokens. Thread-safe; waiting is for coroutines, on any loop.

    Args:
        roles: slots of roles; never more than given here. Other roles start with
            ``DEFAULT_LIMITS``, or 10.
        backends: the same for backends; others get ``maximum``.
        models: the same for models.
        maximum: no limit rises above.
        auto_scale: whether limits move with success and failure.
        wait_limit_s: how long a request waits at most.
        hold_limit_s: after so long a token releases itself, as a failure, unless whoever holds it
            says that it is at work (:meth:`ConcurrencyToken.kept`).
        patience_s: how much older a request must be to go before one of the next higher
            priority, and when it starts to hold back what it needs.
        circuit: makes a circuit breaker.
        memory: share of the memory in use, 0 to 1.
        memory_ceiling: above it LOW requests are refused.
        clock_s: monotonic.
    """

    def __init__(
        self,
        *,
        roles: Mapping[str, int] | None = None,
        backends: Mapping[str, int] | None = None,
        models: Mapping[str, int] | None = None,
        maximum: int = 50,
        auto_scale: bool = True,
        wait_limit_s: float = 300.0,
        hold_limit_s: float = 600.0,
        patience_s: float = 30.0,
        circuit: Callable[[], CircuitBreaker] = CircuitBreaker,
        memory: Callable[[], float] = memory_share,
        memory_ceiling: float = 0.8,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits: dict[Dimension, dict[str, int]] = {
            "role": dict(roles or {}),
            "backend": dict(backends or {}),
            "model": dict(models or {}),
        }
        self._maximum = maximum
        self._auto_scale = auto_scale
        self._wait_limit_s = wait_limit_s
        self._hold_limit_s = hold_limit_s
        self._patience_s = patience_s
        self._circuit = circuit
        self._memory = memory
        self._memory_ceiling = memory_ceiling
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._requests = 0
        self._waiters: list[_Waiter] = []
        self._gates: dict[Key, _Gate] = {}
        for role in DEFAULT_LIMITS:
            self._gate(("role", role))

    def acquire(
        self,
        role: str,
        *,
        backend: str | None = None,
        model: str | None = None,
        priority: Priority = Priority.NORMAL,
        wait_limit_s: float | None = None,
    ) -> _Acquisition:
        """A slot of the role, and of the backend and the model if they are given.

        Use ``async with controller.acquire("worker") as token:``, which counts an exception as a
        failure and a cancellation as nothing; or ``token = await controller.acquire("worker")``
        and ``token.release``. Cancelling the waiting task withdraws the request.

        Raises:
            AcquireTimeout: nothing became free within the wait limit.
            CircuitOpen: too many failures; the message says for how long.
            MemoryPressure: the request is LOW and memory is short.
        """
        keys: tuple[Key, ...] = (("role", role),)
        if backend is not None:
            keys = (*keys, ("backend", backend))
        if model is not None:
            keys = (*keys, ("model", model))
        limit_s = self._wait_limit_s if wait_limit_s is None else wait_limit_s
        return _Acquisition(lambda: self._acquire(keys, priority, limit_s).__await__())

    def resize(self, dimension: Dimension, name: str, limit: int) -> None:
        """Set a limit, within 1 and the maximum; whoever can go on then does."""
        with self._lock:
            slots = self._gate((dimension, name)).slots
            slots.limit = max(1, min(self._maximum, limit))
            self._serve()

    def stats(self, dimension: Dimension = "role") -> dict[str, LimitStats]:
        """The limits of roles, backends or models that were ever asked for."""
        with self._lock:
            wanted = [key for waiter in self._waiters for key in waiter.keys]
            return {
                name: LimitStats(
                    active=gate.slots.active,
                    limit=gate.slots.limit,
                    waiting=wanted.count((kind, name)),
                    circuit=gate.circuit.state,
                )
                for (kind, name), gate in self._gates.items()
                if kind == dimension
            }

    def _take_back(
        self, keys: tuple[Key, ...], entered: tuple[int, ...], succeeded: bool | None
    ) -> None:
        """For tokens: give slots back and serve whoever waits."""
        with self._lock:
            for key, generation in zip(keys, entered, strict=True):
                gate = self._gates[key]
                gate.slots.active -= 1
                gate.circuit.leave(generation, succeeded)
                if self._auto_scale:
                    gate.slots.record(succeeded)
            self._serve()

    async def _acquire(
        self, keys: tuple[Key, ...], priority: Priority, wait_limit_s: float
    ) -> ConcurrencyToken:
        if priority is Priority.LOW and (share := self._memory()) > self._memory_ceiling:
            raise MemoryPressure(
                f"{share:.0%} of the memory is in use: low-priority work for {names_of(keys)}"
                f" is refused above {self._memory_ceiling:.0%}; try again later"
            )
        waiter = self._enqueue(keys, priority)
        try:
            async with asyncio.timeout(wait_limit_s):
                token = await waiter.future
        except BaseException as error:
            self._withdraw(waiter)
            if isinstance(error, TimeoutError):
                raise AcquireTimeout(
                    f"no slot for {names_of(keys)} became free within {wait_limit_s:g} s"
                ) from None
            raise
        token.expire_after(self._hold_limit_s, asyncio.get_running_loop())
        return token

    def _enqueue(self, keys: tuple[Key, ...], priority: Priority) -> _Waiter:
        now_s = self._clock_s()
        with self._lock:
            self._requests += 1
            order = (now_s + priority * self._patience_s, self._requests)
            waiter = _Waiter(keys, order, now_s)
            for key in keys:
                self._gate(key)
            self._waiters.append(waiter)
            self._waiters.sort(key=lambda w: w.order)
            self._serve()
        return waiter

    def _withdraw(self, waiter: _Waiter) -> None:
        """The request's task gives up; if it was served in the meantime, nothing was done."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                waiter.future.cancel()
                self._serve()  # it may have held something back
                return
        if not waiter.future.cancelled() and waiter.future.exception() is None:
            waiter.future.result().release(None)

    def _serve(self) -> None:
        """Let everybody in who can go in now. The lock is held."""
        now_s = self._clock_s()
        reserved: dict[Key, int] = {}
        still: list[_Waiter] = []
        for waiter in self._waiters:
            gates = [self._gates[key] for key in waiter.keys]
            shut = next((g for g in gates if not g.circuit.admits()), None)
            if shut is not None:
                waiter.future.set_exception(self._refusal(waiter.keys, shut))
            elif all(
                gate.slots.free > reserved.get(key, 0)
                for key, gate in zip(waiter.keys, gates, strict=True)
            ):
                self._admit(waiter, gates)
            else:
                still.append(waiter)
                if now_s - waiter.since_s >= self._patience_s:
                    for key in waiter.keys:
                        reserved[key] = reserved.get(key, 0) + 1
        self._waiters = still

    def _admit(self, waiter: _Waiter, gates: list[_Gate]) -> None:
        if not waiter.future.set_running_or_cancelled():
            return
        for gate in gates:
            gate.slots.active += 1
        entered = tuple(gate.circuit.enter() for gate in gates)
        waiter.future.set_result(ConcurrencyToken(self._take_back, waiter.keys, entered))

    def _gate(self, key: Key) -> _Gate:
        gate = self._gates.get(key)
        if gate is None:
            dimension, name = key
            start = DEFAULT_LIMITS.get(name, 10) if dimension == "role" else self._maximum
            limit = min(self._maximum, self._limits[dimension].get(name, start))
            fixed = name in self._limits[dimension] or key == ("role", "commander")
            slots = SlotLimit(limit, maximum=limit if fixed else self._maximum)
            gate = _Gate(slots, self._circuit())
            self._gates[key] = gate
        return gate

    def _refusal(self, keys: tuple[Key, ...], gate: _Gate) -> CircuitOpen:
        shut = next(name for (_, name), g in self._gates.items() if g is gate)
        retry_after_s = gate.circuit.retry_after_s()
        when = f"in {retry_after_s:.0f} s" if retry_after_s else "when the running probe has ended"
        return CircuitOpen(
            f"{shut} failed too often: work for {names_of(keys)} is refused; try again {when}"
        )
