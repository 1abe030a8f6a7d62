"""Missions of one task that a scripted agent carries out, planned by it or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from acp_agent import rule, say, write
from orchestrator_core.mission import plan_language
from orchestrator_core.mission.agent import MissionRequest
from orchestrator_core.records import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.records import MissionReport

PLANNER = ("You are the Planner",)
WORKER = ("You are a Worker",)
REVIEWER = ("You are the Reviewer",)
PLAN = """# Mission: Greet
### T1: Add greet | depends: - | files: app.py, bin.dat, .opencode/**, .claude/**
- [ ] add a function greet
"""
TWO = """# Mission: Two
### T1: One | depends: - | files: app.py
- [ ] change app
### T2: Two | depends: - | files: auth.py, notes.md, new/*.py
- [ ] change auth
"""
BEFORE = "def total(items):\n    return sum(items)\n"
GREET = BEFORE + "\n\ndef greet(name):\n    return name\n"
WORK = [write("app.py", GREET), say("done")]
PASSES: dict[str, Any] = rule([say("PASS")], match=REVIEWER, again=True)
TEXT = "teach the app to greet"


async def run(engine: Orchestrator, mode: Mode = Mode.NORMAL) -> MissionReport:
    """A mission, to its end."""
    mission = await engine.start(request(mode))
    return await asyncio.wait_for(mission.wait(), 50)


def request(mode: Mode = Mode.NORMAL) -> MissionRequest:
    """A request that needs no Planner."""
    return MissionRequest(plan=plan_language.parse(PLAN).plan, backend="acp", mode=mode)


async def run_planned(engine: Orchestrator) -> MissionReport:
    """A mission that begins with a text, to its end."""
    mission = await engine.start(engine.plans.request(TEXT))
    return await asyncio.wait_for(mission.wait(), 50)


def planned(*work: list[dict[str, Any]], plan: str = PLAN) -> tuple[dict[str, Any], ...]:
    """A script: this plan, this work, and a review that passes."""
    return (rule([say(plan)], match=PLANNER), rule(*work, match=WORKER), PASSES)


def working(*answers: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """A script whose Worker answers so, the last answer for ever."""
    return (rule(*answers, match=WORKER, again=True),)


def some_in_soak(cases: Iterable[str], first: int) -> list[object]:
    """All cases, of which those after the first few are for `make soak`."""
    return [
        name if place < first else pytest.param(name, marks=pytest.mark.soak)
        for place, name in enumerate(cases)
    ]
