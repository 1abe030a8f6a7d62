"""What a pool worker runs next, and when it sleeps: the core of the pool, without its threads.

Work from outside enters a FIFO injector; work that work spawns goes to the spawning worker's
own deque, which other workers steal from when they have nothing else. A worker without work
parks: it costs nothing until a push wakes it.

**No wake-up is lost.** A worker announces that it is idle, looks everywhere once more, and only
then parks. A push adds its entry first and looks for an idle worker second. So of a push and a
parking worker at least one sees the other. Both the idle stack and the injector are guarded by
one lock, whose acquisition orders the two steps on every memory model.

**No wake-up is wasted.** A worker that finds work in its second look withdraws. If a push has
already chosen it, the token of that push is absorbed, and because the push meant another entry,
the wake-up is passed on to another idle worker.

**Nothing is lost at the stop.** Pushing and stopping exclude each other, so every entry is either
refused, taken by a worker, or returned by ``stop``.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from orchestrator_core.errors import PoolClosed
from orchestrator_core.primitives.injector import Injector, Priority
from orchestrator_core.primitives.work_deque import WorkStealingDeque

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_YIELDS = 50
"""After so many a thread queues for the lock after all, which bounds its wait."""

_NORMAL = Priority.NORMAL
_FAIRNESS = 61
"""Every so many entries a worker looks at the injector first, so that work which keeps spawning
work cannot starve what comes from outside (the number is that of the Go and Tokio schedulers)."""


class Seat(Generic[T]):
    """One worker's place: its deque, its inbox, and the gate that it parks at.

    Attributes:
        index: its number, from 0.
        inbox: where work from outside reaches it: shared by all seats, or its own when nobody
            steals. Guarded by the scheduler's lock.
        own: what its worker spawned.
        stolen: how many entries it took from other seats; written by its worker alone.
        gate: held while there is no wake-up for it; a wake-up is one release.
        idle: whether it is on the idle stack. Guarded by the scheduler's lock.
    """

    __slots__ = ("gate", "idle", "inbox", "index", "own", "stolen", "turns", "victims")

    def __init__(self, index: int, inbox: Injector[T]) -> None:
        self.index = index
        self.inbox = inbox
        self.own: WorkStealingDeque[T] = WorkStealingDeque()
        self.victims: tuple[Seat[T], ...] = ()
        self.stolen = 0
        self.turns = 0
        self.gate = threading.Lock()
        self.gate.acquire()
        self.idle = False


class Scheduler(Generic[T]):
    """Hands entries to seats.

    Thread-safe; ``take`` and ``next`` of a seat are for that seat's worker alone.

    Args:
        seats: how many workers take part.
        came_ns: when an entry came, on a clock that never goes back.
        stealing: False deals entries out round-robin and lets nobody steal, which is the
            baseline that stealing is measured against.
        epoch_s: see ``Injector``.

    Attributes:
        pushed: how many entries were ever accepted.
    """

    def __init__(
        self,
        seats: int,
        came_ns: Callable[[T], int],
        *,
        stealing: bool = True,
        epoch_s: float = 1.0,
    ) -> None:
        if seats < 1:
            raise ValueError(f"a pool needs at least one worker, not {seats}")
        self._lock = threading.Lock()
        self._stealing = stealing
        self._stopped = False
        self._idle: list[Seat[T]] = []
        self.pushed = 0
        self._shared: Injector[T] = Injector(came_ns, epoch_s=epoch_s)
        self.seats = tuple(
            Seat(i, self._shared if stealing else Injector[T](came_ns, epoch_s=epoch_s))
            for i in range(seats)
        )
        if stealing:
            for seat in self.seats:
                seat.victims = self.seats[seat.index + 1 :] + self.seats[: seat.index]

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopped

    # For those who bring work

    def push(
        self,
        entry: T,
        seat: Seat[T] | None = None,
        priority: Priority = Priority.NORMAL,
        expected_duration_s: float | None = None,
    ) -> None:
        """Add an entry and wake a worker for it if one is idle.

        Args:
            entry: the work.
            seat: the worker that spawned it, if one did. It keeps plain work for itself, newest
                first; work with a priority or a known duration is ordered among all other.
            priority: how urgent it is.
            expected_duration_s: how long it will probably run.

        Raises:
            PoolClosed: after ``stop``.
        """
        lock = self._lock
        if not lock.acquire(False):
            take_turns(lock)
        try:
            if self._stopped:
                raise PoolClosed("the worker pool is closed and takes no more work")
            self.pushed += 1
            if not self._stealing:
                seat = self.seats[self.pushed % len(self.seats)]
                seat.inbox.push(entry, priority, expected_duration_s)
                woken = seat if seat.idle else None
            else:
                if expected_duration_s is not None or priority is not _NORMAL:
                    self._shared.push(entry, priority, expected_duration_s)
                elif seat is None:
                    self._shared.plain.append(entry)
                else:
                    seat.own.push(entry)
                woken = self._idle[-1] if self._idle else None
            if woken is None:
                return
            self._no_longer_idle(woken)
        finally:
            lock.release()
        woken.gate.release()

    def stop(self) -> list[T]:
        """Refuse further work, wake every worker to its end, and return what nobody has taken."""
        with self._lock:
            self._stopped = True
            idle, self._idle = self._idle, []
            for seat in idle:
                seat.idle = False
            left = self._drain()
        for seat in idle:
            seat.gate.release()
        return left

    # For workers

    def next(self, seat: Seat[T]) -> T | None:
        """The entry to run now, parking until there is one; None once the scheduler stopped."""
        while True:
            entry = self.take(seat)
            if entry is not None:
                return entry
            with self._lock:
                if self._stopped:
                    return None
                seat.idle = True
                self._idle.append(seat)
            entry = self.take(seat)  # what came before the announcement woke nobody
            if entry is not None:
                self._withdraw(seat)
                return entry
            seat.gate.acquire()

    def take(self, seat: Seat[T]) -> T | None:
        """The entry whose turn it is for this seat, or None if there is none anywhere."""
        inbox, own = seat.inbox, seat.own
        if own.entries:
            seat.turns += 1
            outside_first = inbox.urgent() or not seat.turns % _FAIRNESS
            entry = self._from(inbox) if outside_first else None
            if entry is None:
                entry = own.pop()
            if entry is not None:
                return entry
        if inbox.plain and not inbox.special:
            try:
                return inbox.plain.popleft()
            except IndexError:  # another worker was quicker
                pass
        if inbox:
            entry = self._from(inbox)
            if entry is not None:
                return entry
        for victim in seat.victims:
            entry = victim.own.steal()
            if entry is not None:
                seat.stolen += 1
                return entry
        return None

    # Under the lock

    def _from(self, inbox: Injector[T]) -> T | None:
        lock = self._lock
        if not lock.acquire(False):
            take_turns(lock)
        try:
            return inbox.pop()
        finally:
            lock.release()

    def _no_longer_idle(self, seat: Seat[T]) -> None:
        seat.idle = False
        if self._idle[-1] is seat:
            self._idle.pop()
        else:
            self._idle.remove(seat)

    def _withdraw(self, seat: Seat[T]) -> None:
        """Take the announcement back: the worker has found something itself."""
        with self._lock:
            if seat.idle:
                self._no_longer_idle(seat)
                return
        seat.gate.acquire()  # a push chose this worker: its token must not stay for the next park
        with self._lock:
            if not self._stealing or not self._idle:
                return
            other = self._idle[-1]
            self._no_longer_idle(other)
        other.gate.release()

    def _drain(self) -> list[T]:
        left: list[T] = []
        for seat in self.seats:
            while (entry := seat.inbox.pop()) is not None:
                left.append(entry)
            while (entry := seat.own.steal()) is not None:
                left.append(entry)
        return left


def take_turns(lock: threading.Lock) -> None:
    """Acquire a lock that is held for a few instructions at a time, without queueing for it.

    An ordinary lock is handed to the first in its queue. Under the GIL that thread does not run
    yet, so the one that does soon blocks on the lock too, and from then on every operation costs
    a context switch: the convoy of Blasgen, Gray, Mitoma and Price ("The convoy phenomenon",
    1979). Who yields instead leaves the lock free whenever nobody is inside.
    """
    for _ in range(_YIELDS):
        time.sleep(0)
        if lock.acquire(False):
            return
    lock.acquire()
