"""A mission's state is a fold: replayable, and closed to what missions do not do."""

import copy
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mission.tape import read_store
from orchestrator_core.errors import IllegalTransition
from orchestrator_core.events import (
    AnyEvent,
    BudgetSpent,
    EditsApplied,
    EditsIntended,
    EditsReverted,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    MissionUndone,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.mission.fold import fold, replay
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_file import MIGRATIONS
from orchestrator_core.mission.state import MissionState
from orchestrator_core.records import (
    FileChange,
    MissionStatus,
    Plan,
    Receipt,
    Shortage,
    Spent,
    Task,
    TaskState,
)

JOURNALS = Path(__file__).parents[3] / "fixtures" / "journals"

CHANGES = (FileChange("a.py", "modify", "1" * 64, "2" * 64),)
PLAN = Plan("plan", (Task("T1", "one"), Task("T2", "two", depends=("T1",))))

ACCEPTED = MissionAccepted(mission_id="m", text="do it", at=1.0)
PLANNED = MissionPlanned(mission_id="m", plan=PLAN)
BEGUN = (ACCEPTED, PLANNED)


def started(task: str = "T1", attempt: int = 1) -> TaskStarted:
    return TaskStarted(mission_id="m", task_id=task, attempt=attempt)


def intended(task: str = "T1") -> EditsIntended:
    return EditsIntended(mission_id="m", task_id=task, changes=CHANGES)


def applied(task: str = "T1") -> EditsApplied:
    return EditsApplied(mission_id="m", task_id=task, changes=CHANGES)


def reviewed(task: str = "T1", *, passed: bool = True) -> TaskReviewed:
    return TaskReviewed(mission_id="m", task_id=task, receipt=Receipt(task, passed, ()))


def ended(task: str = "T1", state: TaskState = TaskState.DONE) -> TaskFinished:
    return TaskFinished(mission_id="m", task_id=task, state=state, reason="r", at=9.0)


def reverted(task: str = "T1") -> EditsReverted:
    return EditsReverted(mission_id="m", task_id=task, changes=CHANGES)


def over(status: MissionStatus = MissionStatus.DONE) -> MissionFinished:
    return MissionFinished(mission_id="m", status=status, reason="r", duration_s=2.0, at=10.0)


UNDONE = MissionUndone(mission_id="m")
SPENT = Spent(tokens=90, requests=3)


def charged(measure: str = "") -> BudgetSpent:
    shortage = Shortage(measure, 1) if measure else None
    return BudgetSpent(mission_id="m", spent=SPENT, shortage=shortage)


OUT_OF_BUDGET = (charged("requests"), over(MissionStatus.CANCELLED))
T1_DONE = (started(), reviewed(), intended(), applied(), ended())
T2_DONE = (started("T2"), ended("T2"))


def after(*events: AnyEvent) -> MissionState:
    state = MissionState("m")
    for event in events:
        fold(state, event)
    return state


def test_a_mission_runs_to_its_end() -> None:
    state = after(*BEGUN, *T1_DONE, *T2_DONE, over())
    assert (state.status, state.text, state.plan) == (MissionStatus.DONE, "do it", PLAN)
    assert (state.accepted_at, state.finished_at, state.duration_s) == (1.0, 10.0, 2.0)
    assert state.sequence == 10
    assert state.ended
    one = state.tasks["T1"]
    assert (one.state, one.attempt, one.finished_at) == (TaskState.DONE, 1, 9.0)
    assert (one.intended, one.applied) == ((), CHANGES)
    assert one.receipt is not None


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((ACCEPTED, over(MissionStatus.FAILED)), MissionStatus.FAILED),
        ((*BEGUN, over(MissionStatus.CANCELLED)), MissionStatus.CANCELLED),
        ((*BEGUN, ended("T1", TaskState.CANCELLED)), MissionStatus.RUNNING),
        ((*BEGUN, over(MissionStatus.FAILED), PLANNED, started()), MissionStatus.RUNNING),
        ((*BEGUN, *T1_DONE, reverted(), over(MissionStatus.FAILED)), MissionStatus.FAILED),
        ((*BEGUN, *T1_DONE, reverted(""), UNDONE), MissionStatus.UNDONE),
        ((*BEGUN, *T1_DONE, reverted(), started("T1", 2)), MissionStatus.RUNNING),
        ((*BEGUN, started(), started("T1", 2)), MissionStatus.RUNNING),  # a crash in between
        (
            (*BEGUN, started(), ended(state=TaskState.FAILED), started("T1", 2)),
            MissionStatus.RUNNING,
        ),
        ((*BEGUN, *T1_DONE, reverted(), ended(state=TaskState.CANCELLED)), MissionStatus.RUNNING),
    ],
)
def test_other_ways_that_missions_go(events: tuple[AnyEvent, ...], status: MissionStatus) -> None:
    assert after(*events).status is status


@pytest.mark.parametrize(
    ("before", "event", "why"),
    [
        ((), PLANNED, "cannot be planned"),
        (BEGUN, ACCEPTED, "accepted a second time"),
        ((*BEGUN, charged("requests")), ACCEPTED, "accepted a second time"),
        ((*BEGUN, charged(), over(MissionStatus.CANCELLED)), ACCEPTED, "accepted a second time"),
        ((*BEGUN, *OUT_OF_BUDGET, UNDONE), ACCEPTED, "accepted a second time"),
        ((*BEGUN, *OUT_OF_BUDGET), charged(), "cannot be charged"),
        ((*BEGUN, *OUT_OF_BUDGET), started(), "T1 started"),
        ((ACCEPTED,), started(), "T1, which is not in its plan"),
        (BEGUN, started("T9"), "T9, which is not in its plan"),
        (BEGUN, started("T1", 0), "attempt 0 started"),
        ((*BEGUN, started()), started(), "attempt 1 started"),
        ((*BEGUN, *T1_DONE), started("T1", 2), "T1 is done"),
        (BEGUN, ended(), "T1 is pending .* finished as done"),
        ((*BEGUN, started()), ended(state=TaskState.RUNNING), "finished as running"),
        ((*BEGUN, *T1_DONE), ended(), "finished as done"),
        ((*BEGUN, *T1_DONE), ended(state=TaskState.FAILED), "T1 is done"),
        ((*BEGUN, started(), reviewed(passed=False)), ended(), "although its review failed"),
        (BEGUN, reviewed(), "T1 is pending"),
        (BEGUN, intended(), "T1 is pending"),
        ((*BEGUN, started()), applied(), "not intended"),
        ((*BEGUN, started(), intended(), applied()), applied(), "not intended"),
        ((*BEGUN, *T1_DONE), over(), "while T2 is pending"),
        ((*BEGUN, started()), over(MissionStatus.RUNNING), "finished as running"),
        ((*BEGUN, over(MissionStatus.FAILED)), over(MissionStatus.FAILED), "is failed"),
        ((*BEGUN, over(MissionStatus.FAILED)), started(), "T1 started"),
        ((ACCEPTED,), UNDONE, "cannot be undone"),
        ((*BEGUN, UNDONE), UNDONE, "is undone and cannot be undone"),
        ((*BEGUN, UNDONE), PLANNED, "is undone and cannot be planned"),
        (
            (*BEGUN, started()),
            MissionPlanned(mission_id="m", plan=Plan("p", (Task("T2", "two"),))),
            "planned without T1, which was running",
        ),
        (
            (ACCEPTED,),
            MissionPlanned(mission_id="m", plan=Plan("p", (Task("T1", ""), Task("T1", "")))),
            "two tasks of one id",
        ),
        (BEGUN, TaskStarted(mission_id="other", task_id="T1"), "of mission other"),
        (BEGUN, TaskStarted(mission_id="m", task_id="T1", sequence=4), "event 4 .* where 3"),
    ],
)
def test_what_missions_do_not_do_is_refused(
    before: tuple[AnyEvent, ...], event: AnyEvent, why: str
) -> None:
    state = after(*before)
    was = copy.deepcopy(state)
    with pytest.raises(IllegalTransition, match=why):
        fold(state, event)
    assert state == was


def test_a_mission_out_of_budget_goes_on_with_what_was_not_done() -> None:
    stopped = (started("T2"), ended("T2", TaskState.CANCELLED), *OUT_OF_BUDGET)
    state = after(*BEGUN, *T1_DONE, *stopped)
    assert state.out_of_budget
    fold(state, ACCEPTED)
    assert (state.status, state.shortage, state.spent) == (MissionStatus.RUNNING, None, SPENT)
    assert [task.state for task in state.tasks.values()] == ["done", "pending"]
    left = state.left()
    assert left is not None
    assert [task.state for task in left.tasks] == ["done", "pending"]
    fold(state, MissionPlanned(mission_id="m", plan=left))
    for event in (started("T2", 2), ended("T2"), over()):
        fold(state, event)
    assert state.status is MissionStatus.DONE


def test_a_mission_out_of_budget_without_a_plan_is_planned_again() -> None:
    state = after(ACCEPTED, *OUT_OF_BUDGET, ACCEPTED)
    assert (state.status, state.left()) == (MissionStatus.PLANNING, None)
    assert after(ACCEPTED, *OUT_OF_BUDGET, ACCEPTED, PLANNED).status is MissionStatus.RUNNING


def test_undoing_again_is_allowed_while_something_is_left() -> None:
    partly = MissionUndone(mission_id="m", unrestored=("a.py: was deleted since",))
    assert after(*BEGUN, over(MissionStatus.FAILED), partly, UNDONE).unrestored == ()


def test_a_dry_run_may_end_without_its_tasks() -> None:
    accepted = msgspec.structs.replace(ACCEPTED, dry_run=True)
    assert after(accepted, PLANNED, over()).status is MissionStatus.DONE


def test_a_plan_that_grows_keeps_what_its_tasks_have_become() -> None:
    grown = Plan("p", (*PLAN.tasks, Task("T1.1", "part")))
    state = after(*BEGUN, *T1_DONE, MissionPlanned(mission_id="m", plan=grown))
    assert [task.state for task in state.tasks.values()] == ["done", "pending", "pending"]


def test_tasks_that_the_plan_has_as_done_are_done() -> None:
    plan = Plan("p", (Task("T1", "one", state=TaskState.DONE),))
    assert after(ACCEPTED, MissionPlanned(mission_id="m", plan=plan), over()).ended


any_task = st.sampled_from(["T1", "T2"])
any_state = st.sampled_from(list(TaskState))
any_event = st.one_of(
    st.sampled_from([ACCEPTED, PLANNED, UNDONE]),
    st.builds(started, any_task, st.integers(1, 3)),
    st.builds(intended, any_task),
    st.builds(applied, any_task),
    st.builds(reviewed, any_task, passed=st.booleans()),
    st.builds(ended, any_task, any_state),
    st.builds(reverted, st.sampled_from(["T1", "T2", ""])),
    st.builds(over, st.sampled_from(list(MissionStatus))),
    st.builds(charged, st.sampled_from(["", "tokens"])),
)


@given(st.lists(any_event, max_size=30))
def test_any_history_replays_to_the_same_state(events: list[AnyEvent]) -> None:
    state = after(*BEGUN)
    taken: list[AnyEvent] = [*BEGUN]
    for event in events:
        was = copy.deepcopy(state)
        try:
            fold(state, event)
        except IllegalTransition:
            assert state == was
        else:
            taken.append(event)
    encoded = msgspec.json.encode(taken)
    again = msgspec.json.decode(encoded, type=list[AnyEvent])
    assert replay(again) == {"m": state}
    if state.status is MissionStatus.DONE:
        assert all(task.state is TaskState.DONE for task in state.tasks.values())


# Golden journals: written once by the version that their name says, and never again.


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_journals_of_every_version_replay_for_ever(tmp_path: Path, version: int) -> None:
    shutil.copy(JOURNALS / f"version-{version}.db", tmp_path / "state.db")
    expected = msgspec.json.decode(
        (JOURNALS / f"version-{version}.json").read_bytes(),
        type=dict[str, MissionState],
        dec_hook=read_store,
    )
    with Journal(tmp_path, read_only=True) as journal:
        assert replay(journal.events()) == expected
    with Journal(tmp_path) as journal:
        assert replay(journal.events()) == expected
        for mission, state in expected.items():
            assert replay(journal.events(mission)) == {mission: state}
