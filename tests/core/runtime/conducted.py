"""A scheduler whose workers a test holds up where it wants."""

from __future__ import annotations

import threading
from collections import Counter

from core.runtime.pools import WAIT_S
from orchestrator_core.runtime.scheduling import Scheduler, Seat


class Conducted(Scheduler[str]):
    """Holds a seat's worker up before or after the looks that a test names."""

    def __init__(self, seats: int) -> None:
        super().__init__(seats, lambda _: 0)
        self.looks: Counter[int] = Counter()
        self.stops: dict[tuple[str, int, int], tuple[threading.Event, threading.Event]] = {}

    def stop_at(self, when: str, seat: int, look: int) -> None:
        self.stops[when, seat, look] = (threading.Event(), threading.Event())

    def wait_for(self, when: str, seat: int, look: int) -> None:
        assert self.stops[when, seat, look][0].wait(WAIT_S)

    def let_go(self, when: str, seat: int, look: int) -> None:
        self.stops[when, seat, look][1].set()

    def take(self, seat: Seat[str]) -> str | None:
        self.looks[seat.index] += 1
        look = self.looks[seat.index]
        self._reach("before", seat.index, look)
        entry = super().take(seat)
        self._reach("after", seat.index, look)
        return entry

    def _reach(self, when: str, seat: int, look: int) -> None:
        if (when, seat, look) in self.stops:
            arrived, go_on = self.stops[when, seat, look]
            arrived.set()
            assert go_on.wait(WAIT_S)


def workers_of(scheduler: Scheduler[str]) -> tuple[list[threading.Thread], list[str | None]]:
    got: list[str | None] = []

    def work(seat: Seat[str]) -> None:
        got.append(scheduler.next(seat))

    threads = [threading.Thread(target=work, args=(s,), daemon=True) for s in scheduler.seats]
    return threads, got
