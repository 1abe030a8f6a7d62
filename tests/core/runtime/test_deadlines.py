from __future__ import annotations

import threading

from orchestrator_core.runtime.deadlines import DeadlineTimer

WAIT_S = 20.0


class Entry:
    def __init__(self, order: list[Entry] | None = None) -> None:
        self.ended = False
        self.order = order
        self.expired = threading.Event()

    def done(self) -> bool:
        return self.ended

    def expire(self) -> None:
        self.ended = True
        if self.order is not None:
            self.order.append(self)
        self.expired.set()


def test_entries_expire_in_the_order_of_their_deadlines() -> None:
    order: list[Entry] = []
    entries = [Entry(order) for _ in range(3)]
    with DeadlineTimer("timer") as timer:
        for entry, after_s in zip(entries, (0.3, 0.1, 0.2), strict=True):
            timer.add(entry, after_s)
        assert all(e.expired.wait(WAIT_S) for e in entries)
    assert order == [entries[1], entries[2], entries[0]]


def test_an_earlier_deadline_goes_before_the_one_that_is_slept_for() -> None:
    with DeadlineTimer("timer") as timer:
        late, early = Entry(), Entry()
        timer.add(late, 1000.0)
        timer.add(early, 0.001)
        assert early.expired.wait(WAIT_S)
        assert not late.ended


def test_without_deadlines_there_is_no_thread() -> None:
    with DeadlineTimer("lonely timer"):
        assert "lonely timer" not in [t.name for t in threading.enumerate()]


def test_when_all_have_ended_there_is_nothing_to_wake_up_for() -> None:
    with DeadlineTimer("timer") as timer:
        entries = [Entry() for _ in range(10)]
        for entry in entries:
            timer.add(entry, 1000.0)
        for entry in entries:
            entry.ended = True
            timer.settled()
        assert timer._entries == []


def test_closing_ends_the_thread_and_may_be_repeated() -> None:
    timer = DeadlineTimer("closing timer")
    timer.add(Entry(), 1000.0)
    timer.close()
    timer.join(WAIT_S)
    assert "closing timer" not in [t.name for t in threading.enumerate()]
    timer.close()
    timer.add(Entry(), 0.0)
    assert "closing timer" not in [t.name for t in threading.enumerate()]
