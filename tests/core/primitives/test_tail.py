"""The end of a stream, kept."""

from __future__ import annotations

from orchestrator_core.primitives.tail import Tail


def test_a_tail_keeps_the_end_in_bounded_memory() -> None:
    tail = Tail(10)
    for start in range(0, 1000, 7):
        tail.append(b"%07d" % start)
        assert len(tail._kept) <= 20
    assert tail.text() == "9870000994"
    assert tail.truncated
