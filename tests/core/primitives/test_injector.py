from __future__ import annotations

from operator import itemgetter
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.primitives.injector import Injector, Priority

S = 10**9
Entry: TypeAlias = tuple[Any, int]
"""A name, and when it came."""


def made(epoch_s: float = 1.0, patience: int = 5) -> Injector[Entry]:
    return Injector(itemgetter(1), epoch_s=epoch_s, patience=patience)


def drained(injector: Injector[Entry]) -> list[object]:
    found: list[object] = []
    while (entry := injector.pop()) is not None:
        found.append(entry[0])
    return found


def test_plain_entries_leave_in_the_order_they_came() -> None:
    injector = made()
    for name in "abcd":
        injector.push((name, 0))
    assert injector.plain.popleft() == ("a", 0)
    assert drained(injector) == ["b", "c", "d"]
    assert not injector.plain


def test_higher_priorities_go_first() -> None:
    injector = made()
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        injector.push((priority.name, 0), priority)
    assert injector.urgent()
    assert injector.special == 2  # there is something that goes before plain work
    assert drained(injector) == ["HIGH", "NORMAL", "LOW"]
    assert injector.special == 0
    assert not injector.urgent()


def test_longest_known_duration_goes_first_within_an_epoch() -> None:
    injector = made(epoch_s=1)
    injector.push(("unknown", 0))
    for duration in (1.0, 3.0, 2.0):
        injector.push((duration, S // 2), expected_duration_s=duration)
    injector.push((9.0, 2 * S), expected_duration_s=9.0)
    assert drained(injector) == [3.0, 2.0, 1.0, "unknown", 9.0]


def test_low_work_is_not_starved_by_a_stream_of_high_work() -> None:
    injector = made(epoch_s=1, patience=5)
    injector.push(("low", 0), Priority.LOW)
    served: list[object] = []
    for second in range(60):
        injector.push((f"high {second}", second * S), Priority.HIGH)
        injector.push((f"high {second}", second * S), Priority.HIGH)
        served.append(injector.pop())
    # Ten epochs later HIGH work no longer goes before it; what had come by then still does.
    assert served.index(("low", 0)) == 22


@given(
    st.lists(
        st.tuples(st.integers(0, 20 * S), st.sampled_from(Priority), st.none() | st.floats(0, 100))
    )
)
def test_every_entry_leaves_exactly_once(
    entries: list[tuple[int, Priority, float | None]],
) -> None:
    injector = made()
    for number, (at_ns, priority, duration) in enumerate(sorted(entries, key=lambda e: e[0])):
        injector.push((number, at_ns), priority, duration)
        assert len(injector) == number + 1
    assert sorted(map(str, drained(injector))) == sorted(map(str, range(len(entries))))
    assert len(injector) == 0
