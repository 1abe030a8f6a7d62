"""How events change a mission: the fold that makes its state.

There is no other way to a state than events: the one that runs and the one replayed from the
journal are built by the same code, and an event that the state does not allow is refused with
:class:`~orchestrator_core.errors.IllegalTransition` rather than recorded.

Mission: planning -> running -> done, failed or cancelled -> undone. A plan accepted again takes a
failed or cancelled mission back to running, or adds tasks to a running one. A mission that its
budget stopped may be accepted again: what was cancelled is then to be done.

A task that has not begun may be divided: its parts join the plan, and it waits for them.

The steps of a task are those of :data:`~.task_store.TRANSITIONS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from orchestrator_core.errors import IllegalTransition
from orchestrator_core.events import (
    AnyEvent,
    BudgetSpent,
    EditsApplied,
    EditsIntended,
    EditsReverted,
    HunksSettled,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    MissionUndone,
    TaskDivided,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.mission.state import ENDED_MISSION, MissionState
from orchestrator_core.mission.task_store import (
    CANCELLED,
    DONE,
    ENDED,
    PENDING,
    RUNNING,
    move,
    new_records,
)
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orchestrator_core.mission.task_store import TaskStatus
    from orchestrator_core.records import Task

    NewTasks = Callable[[Sequence[Task]], Sequence[TaskStatus]]


def fold(state: MissionState, event: AnyEvent, new_tasks: NewTasks = new_records) -> MissionState:
    """Take an event into the state.

    ``state`` itself is changed and returned: a copy for each event would make a mission of n
    tasks cost n squared. ``new_tasks`` makes the records of planned tasks.

    Raises:
        IllegalTransition: the state does not allow the event; it is as before.
    """
    sequence = event.sequence
    if event.mission_id != state.mission_id or (sequence and sequence != state.sequence + 1):
        raise _out_of_place(state, event)
    kind = type(event)
    if kind in _TRANSITIONS:
        _TRANSITIONS[kind](state, event)
    else:
        _ADDITIONS[kind](state, event, new_tasks)
    state.sequence = sequence or state.sequence + 1
    return state


def replay(events: Iterable[AnyEvent]) -> dict[str, MissionState]:
    """The state of each mission that has events here, in the order of their beginnings.

    Raises:
        IllegalTransition: the events are not what missions do.
    """
    states: dict[str, MissionState] = {}
    for event in events:
        state = states.get(event.mission_id)
        if state is None:
            state = states[event.mission_id] = MissionState(event.mission_id)
        fold(state, event)
    return states


def _accepted(state: MissionState, event: MissionAccepted) -> None:
    if state.sequence:
        _accepted_again(state)
        return
    state.text = event.text
    state.mode = event.mode
    state.backend = event.backend
    state.dry_run = event.dry_run
    state.accepted_at = event.at


def _accepted_again(state: MissionState) -> None:
    if not state.out_of_budget:
        raise _illegal(state, "accepted a second time")
    for task in state.tasks.values():
        if task.state is CANCELLED:
            task.state = PENDING
            task.reason = ""
            task.started_at = task.finished_at = 0.0
    state.status = MissionStatus.PLANNING if state.plan is None else MissionStatus.RUNNING
    state.shortage = None
    state.reason = ""
    state.finished_at = 0.0


def _planned(state: MissionState, event: MissionPlanned, new_tasks: NewTasks) -> None:
    if state.status in (MissionStatus.DONE, MissionStatus.UNDONE) or not state.sequence:
        raise _illegal(state, "planned")
    planned = {task.id: task for task in event.plan.tasks}
    known = {task.id: task for task in state.tasks.values()}
    for task in known.values():
        if task.id not in planned and task.state is not PENDING:
            raise _illegal(state, f"planned without {task.id}, which was {task.state} already")
    if len(planned) < len(event.plan.tasks):
        raise _illegal(state, "planned with two tasks of one id")
    new = iter(new_tasks([task for task in event.plan.tasks if task.id not in known]))
    state.plan = event.plan
    state.tasks.clear()
    state.tasks.update((task_id, known.get(task_id) or next(new)) for task_id in planned)
    state.status = MissionStatus.RUNNING
    state.finished_at = 0.0


def _divided(state: MissionState, event: TaskDivided, new_tasks: NewTasks) -> None:
    task = _task(state, event.task_id)
    parts = tuple(part.id for part in event.parts)
    if state.plan is None or state.status is not MissionStatus.RUNNING:
        raise _illegal(state, f"changed: {task.id} divided")
    if task.state is not PENDING or task.attempt:
        raise _illegal_task(task, "divided")
    if not parts or len(set(parts)) < len(parts) or any(part in state.tasks for part in parts):
        raise _illegal_task(task, f"divided into {', '.join(parts) or 'nothing'}")
    tasks: list[Task] = []
    for known in state.plan.tasks:
        if known.id == task.id:
            depends = (*known.depends, *parts)
            tasks += (structs.replace(known, depends=depends, parts=parts), *event.parts)
        else:
            tasks.append(known)
    state.plan = structs.replace(state.plan, tasks=tuple(tasks))
    state.tasks.update(zip(parts, new_tasks(event.parts), strict=True))


def _started(state: MissionState, event: TaskStarted) -> None:
    task = _task(state, event.task_id)
    if state.status is not MissionStatus.RUNNING:
        raise _illegal(state, f"{task.id} started")
    if event.attempt <= task.attempt:
        raise _illegal_task(task, f"attempt {event.attempt} started")
    move(task, RUNNING, event.at)
    task.attempt = event.attempt
    task.receipt = None
    task.reason = ""
    task.notes = ()


def _intended(state: MissionState, event: EditsIntended) -> None:
    task = _task(state, event.task_id)
    if task.state is not RUNNING:
        raise _illegal_task(task, "edits intended")
    task.intended = event.changes


def _applied(state: MissionState, event: EditsApplied) -> None:
    task = _task(state, event.task_id)
    if task.state is not RUNNING:
        raise _illegal_task(task, "edits applied")
    if event.changes != task.intended:
        raise _illegal_task(task, "edits applied that were not intended")
    task.applied += event.changes
    task.intended = ()
    task.reverted = False


def _edits_reverted(state: MissionState, event: EditsReverted) -> None:
    tasks = [_task(state, event.task_id)] if event.task_id else state.tasks.values()
    for task in tasks:
        if task.applied or task.intended:
            task.reverted = True
            task.applied = ()
            task.intended = ()
    state.unrestored = event.unrestored


def _reviewed(state: MissionState, event: TaskReviewed) -> None:
    task = _task(state, event.task_id)
    if task.state is not RUNNING:
        raise _illegal_task(task, "reviewed")
    task.receipt = event.receipt


def _finished(state: MissionState, event: TaskFinished) -> None:
    task = _task(state, event.task_id)
    after = event.state
    if after is DONE and task.receipt is not None and not task.receipt.passed:
        raise _illegal_task(task, "finished as done although its review failed")
    if after not in ENDED:
        raise _illegal_task(task, f"finished as {after}")
    move(task, after, event.at)
    task.reason = event.reason
    task.notes = event.notes
    state.tasks.ended(task)


def _budget_spent(state: MissionState, event: BudgetSpent) -> None:
    if state.status not in (MissionStatus.PLANNING, MissionStatus.RUNNING):
        raise _illegal(state, "charged")
    state.spent = event.spent
    state.shortage = event.shortage


def _mission_finished(state: MissionState, event: MissionFinished) -> None:
    if state.status not in (MissionStatus.PLANNING, MissionStatus.RUNNING) or (
        event.status not in ENDED_MISSION
    ):
        raise _illegal(state, f"finished as {event.status}")
    if event.status is MissionStatus.DONE and not state.dry_run:
        for task in state.tasks.values():
            if task.state is not DONE:
                raise _illegal(state, f"finished as done while {task.id} is {task.state}")
    state.status = event.status
    state.reason = event.reason
    state.duration_s = event.duration_s
    state.finished_at = event.at


def _undone(state: MissionState, event: MissionUndone) -> None:
    crashed = state.status is MissionStatus.RUNNING
    again = state.status is MissionStatus.UNDONE and state.unrestored
    if not (state.status in ENDED_MISSION or crashed or again):
        raise _illegal(state, "undone")
    state.status = MissionStatus.UNDONE
    state.unrestored = event.unrestored


def _hunks_settled(state: MissionState, event: HunksSettled) -> None:
    del event  # what is left to review concerns the texts, not the mission's course
    if state.status not in ENDED_MISSION:
        raise _illegal(state, "reviewed")


_TRANSITIONS: dict[type[AnyEvent], Callable[..., None]] = {
    MissionAccepted: _accepted,
    TaskStarted: _started,
    EditsIntended: _intended,
    EditsApplied: _applied,
    EditsReverted: _edits_reverted,
    TaskReviewed: _reviewed,
    TaskFinished: _finished,
    BudgetSpent: _budget_spent,
    MissionFinished: _mission_finished,
    MissionUndone: _undone,
    HunksSettled: _hunks_settled,
}
_ADDITIONS: dict[type[AnyEvent], Callable[..., None]] = {
    MissionPlanned: _planned,
    TaskDivided: _divided,
}


def _task(state: MissionState, task_id: str) -> TaskStatus:
    try:
        return state.tasks[task_id]
    except KeyError:
        what = f"an event came for {task_id}, which is not in its plan"
        raise _illegal(state, what) from None


def _illegal(state: MissionState, what: str) -> IllegalTransition:
    return IllegalTransition(f"mission {state.mission_id} is {state.status} and cannot be {what}")


def _illegal_task(task: TaskStatus, what: str) -> IllegalTransition:
    return IllegalTransition(f"task {task.id} is {task.state} (attempt {task.attempt}): {what}")


def _out_of_place(state: MissionState, event: AnyEvent) -> IllegalTransition:
    return IllegalTransition(
        f"event {event.sequence} of mission {event.mission_id} came where "
        f"{state.sequence + 1} of mission {state.mission_id} belongs"
    )
