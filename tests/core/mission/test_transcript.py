"""The page of a mission, from its events alone."""

from __future__ import annotations

from msgspec import structs

from orchestrator_core.events import (
    EditsApplied,
    EditsIntended,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.mission.transcript import page
from orchestrator_core.records import (
    CheckResult,
    FileChange,
    MissionStatus,
    Plan,
    Receipt,
    Step,
    Task,
    TaskState,
)

PLAN = Plan("x", (Task("T1", "a *bold* | title", (Step("do `it`"),)), Task("T2", "b")))
CHANGE = (FileChange("a`b.py", "modify", "0", "1"),)


def reviewed(*, passed: bool) -> TaskReviewed:
    status = "passed" if passed else "failed"
    details = () if passed else ("a.py:1:1: ```\n| no table", "and <b>more</b>")
    check = CheckResult("lint", status, "ruff", before=1, after=2, duration_s=0.25, details=details)
    return TaskReviewed(
        mission_id="m", task_id="T1", receipt=Receipt("T1", passed, (check,), tree="abc")
    )


def test_all_attempts_and_checks_are_told_in_order() -> None:
    steps = [
        MissionAccepted(mission_id="m", text="Do # this\nand that", backend="llm", at=1000.0),
        MissionPlanned(mission_id="m", plan=PLAN),
        TaskStarted(mission_id="m", task_id="T1", at=1001.0),
        reviewed(passed=False),
        TaskStarted(mission_id="m", task_id="T1", attempt=2, at=1002.5),
        reviewed(passed=True),
        EditsIntended(mission_id="m", task_id="T1", changes=CHANGE),
        EditsApplied(mission_id="m", task_id="T1", changes=CHANGE),
        TaskFinished(
            mission_id="m",
            task_id="T1",
            state=TaskState.DONE,
            notes=(r"a_b _c_ \* /\w+/ <b> x < y",),
            at=1003.0,
        ),
        TaskFinished(mission_id="m", task_id="T2", state=TaskState.CANCELLED, reason="stopped"),
        MissionFinished(mission_id="m", status=MissionStatus.CANCELLED, duration_s=3.0),
    ]
    events = [structs.replace(event, sequence=number) for number, event in enumerate(steps, 1)]

    told = page(events).splitlines()

    assert told[0] == "# Do # this"
    assert told[2].startswith("**cancelled** in 3.0 s, begun ")
    order = [
        r"## T1: a \*bold\* \| title",
        "**done** · 0.5 s · 2 attempts",
        "- to do: `` do `it` ``",
        "- changed ``a`b.py``",
        r"- note: a_b \_c\_ \\\* /\w+/ \<b> x < y",
        "- 0.00 s: attempt 1 began",
        "- 0.00 s: the checks did not pass, on the tree `abc`",
        "  | lint (`ruff`) | failed | 1 → 2 | 250 ms |",
        "  ````text",
        "  a.py:1:1: ```",
        "- 1.50 s: attempt 2 began",
        "  | lint (`ruff`) | passed | 1 → 2 | 250 ms |",
        "- 2.00 s: done",
        "## T2: b",
        "- why: stopped",
        "*What the model said, and which tools it called, is not on record.*",
    ]
    place = 0
    for line in order:
        place = told.index(line, place)
    assert "## T1" not in page(events, "T2")
