"""Concurrency controllers as the tests want them."""

from __future__ import annotations

import asyncio
from typing import Any

from core.runtime.virtual_time import now_s
from orchestrator_core.runtime.circuit import CircuitBreaker
from orchestrator_core.runtime.concurrency import ConcurrencyController


def controller(**options: Any) -> ConcurrencyController:
    options.setdefault("memory", lambda: 0.1)
    return ConcurrencyController(**options)


def virtual(**options: Any) -> ConcurrencyController:
    """On the running virtual loop's clock."""
    return controller(clock_s=now_s, circuit=lambda: CircuitBreaker(clock_s=now_s), **options)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)
