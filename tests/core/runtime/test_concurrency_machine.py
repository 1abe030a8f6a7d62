"""The concurrency controller beside a model of it, through any sequence of calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.runtime.controllers import controller, settle
from core.runtime.virtual_time import VirtualTimeLoop
from orchestrator_core.errors import (
    TokenReleased,
)
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.circuit import CircuitBreaker
from orchestrator_core.runtime.concurrency_token import ConcurrencyToken


class ControllerMachine(RuleBasedStateMachine):
    """The controller beside a model of its slots, on a clock that the test moves."""

    @initialize()
    def open(self) -> None:
        self.loop = VirtualTimeLoop()
        self.subject = controller(
            roles={"worker": 2, "planner": 3},
            backends={"api": 2},
            wait_limit_s=10,
            hold_limit_s=600,
            clock_s=self.loop.time,
            circuit=lambda: CircuitBreaker(clock_s=self.loop.time),
        )
        self.held: list[ConcurrencyToken] = []
        self.waiting: list[tuple[asyncio.Task[ConcurrencyToken], str]] = []

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            for task, _ in self.waiting:
                task.cancel()
            self.loop.run_until_complete(settle())
            for task, _ in self.waiting:
                assert task.cancelled() or task.exception() is None
                if not task.cancelled():
                    self.held.append(task.result())
            for token in self.held:
                token.release(None)
            assert all(s.active == 0 for s in self.subject.stats().values())
            assert all(s.waiting == 0 for s in self.subject.stats().values())
            self.loop.run_until_complete(settle())
            self.loop.close()

    def _collect(self) -> None:
        self.loop.run_until_complete(settle())
        still: list[Any] = []
        for task, role in self.waiting:
            if not task.done():
                still.append((task, role))
            elif not task.cancelled() and task.exception() is None:
                self.held.append(task.result())
        self.waiting = still
        self.held = [t for t in self.held if not t.released]

    @rule(
        role=st.sampled_from(["worker", "planner"]),
        backend=st.sampled_from([None, "api"]),
        priority=st.sampled_from(Priority),
    )
    def ask(self, role: str, backend: str | None, priority: Priority) -> None:
        acquiring = self.subject.acquire(role, backend=backend, priority=priority)
        self.waiting.append((self.loop.create_task(acquiring.__aenter__()), role))
        self._collect()

    @rule(number=st.integers(0, 10), succeeded=st.sampled_from([True, False, None]))
    def give_back(self, number: int, succeeded: bool | None) -> None:
        if self.held:
            token = self.held.pop(number % len(self.held))
            token.release(succeeded)
            with pytest.raises(TokenReleased):
                token.release()
        self._collect()

    @rule(number=st.integers(0, 10))
    def give_up(self, number: int) -> None:
        if self.waiting:
            self.waiting[number % len(self.waiting)][0].cancel()
        self._collect()

    @rule(seconds=st.sampled_from([1.0, 11.0, 31.0, 601.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self._collect()

    @invariant()
    def slots_add_up(self) -> None:
        if not hasattr(self, "subject"):
            return
        stats = {**self.subject.stats("role"), **self.subject.stats("backend")}
        held = [name for token in self.held for _, name in token.keys]
        for name, maximum in (("worker", 2), ("planner", 3), ("api", 2)):
            if name in stats:
                assert stats[name].active == held.count(name)
                assert stats[name].active <= maximum
        assert sum(stats[r].waiting for r in ("worker", "planner")) == len(self.waiting)

    @invariant()
    def nobody_waits_for_what_is_free(self) -> None:
        if not hasattr(self, "subject") or "api" not in self.subject.stats("backend"):
            return
        roles, api = self.subject.stats(), self.subject.stats("backend")["api"]
        if api.active < api.limit:
            for _, role in self.waiting:
                assert roles[role].active >= roles[role].limit or roles[role].waiting == 0


TestController = ControllerMachine.TestCase
TestController.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
