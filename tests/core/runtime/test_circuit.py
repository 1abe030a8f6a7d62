from __future__ import annotations

import pytest

from orchestrator_core.runtime.circuit import CircuitBreaker, CircuitState


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock_s=clock)


def call(circuit: CircuitBreaker, succeeded: bool | None) -> None:
    circuit.leave(circuit.enter(), succeeded)


def opened(circuit: CircuitBreaker) -> None:
    for _ in range(5):
        call(circuit, False)


def test_five_failures_in_a_row_open_it(circuit: CircuitBreaker) -> None:
    for _ in range(4):
        call(circuit, False)
    call(circuit, True)
    for _ in range(4):
        call(circuit, False)
        assert circuit.state is CircuitState.CLOSED
    call(circuit, None)  # says nothing
    call(circuit, False)
    assert circuit.state is CircuitState.OPEN
    assert not circuit.admits()


def test_it_is_half_open_after_thirty_seconds(circuit: CircuitBreaker, clock: Clock) -> None:
    opened(circuit)
    clock.now_s += 29.0
    assert circuit.retry_after_s() == 1.0
    assert not circuit.admits()
    clock.now_s += 1.0
    assert circuit.state is CircuitState.HALF_OPEN
    assert circuit.retry_after_s() == 0


def test_half_open_admits_exactly_one_probe(circuit: CircuitBreaker, clock: Clock) -> None:
    opened(circuit)
    clock.now_s += 30
    probe = circuit.enter()
    assert not circuit.admits()
    circuit.leave(probe, None)  # cancelled: somebody else may try
    assert circuit.admits()
    probe = circuit.enter()
    assert not circuit.admits()
    circuit.leave(probe, True)
    assert circuit.admits()


def test_two_successful_probes_close_it(circuit: CircuitBreaker, clock: Clock) -> None:
    opened(circuit)
    clock.now_s += 30
    call(circuit, True)
    assert circuit.state is CircuitState.HALF_OPEN
    call(circuit, True)
    assert circuit.state is CircuitState.CLOSED


def test_a_failed_probe_opens_it_again(circuit: CircuitBreaker, clock: Clock) -> None:
    opened(circuit)
    clock.now_s += 30
    call(circuit, True)
    call(circuit, False)
    assert circuit.state is CircuitState.OPEN
    assert circuit.retry_after_s() == 30


def test_an_outcome_from_before_it_opened_is_no_probe(
    circuit: CircuitBreaker, clock: Clock
) -> None:
    early = [circuit.enter(), circuit.enter()]
    opened(circuit)
    circuit.leave(early[0], True)
    clock.now_s += 30
    probe = circuit.enter()
    circuit.leave(early[1], False)
    assert circuit.state is CircuitState.HALF_OPEN
    assert not circuit.admits()
    circuit.leave(probe, True)
    assert circuit.admits()
