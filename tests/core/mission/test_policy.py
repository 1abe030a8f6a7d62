"""The policy decides well for every graph and every way that tasks can end."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.events import MissionPlanned, TaskFinished
from orchestrator_core.mission.policy import (
    Action,
    FinishMission,
    MissionPolicy,
    SkipTask,
    StartTask,
    StopTask,
    retry_delay_s,
)
from orchestrator_core.records import MissionStatus, Plan, Task, TaskState


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(0, 12))
    tasks = []
    for number in range(count):
        before = [f"T{n}" for n in range(number)]
        depends = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        tasks.append(Task(id=f"T{number}", title="t", depends=tuple(depends)))
    draw(st.randoms()).shuffle(tasks)
    return Plan(title="p", tasks=tuple(tasks))


def ended(task_id: str, state: TaskState) -> TaskFinished:
    return TaskFinished(mission_id="m", task_id=task_id, state=state, reason="why")


class Run:
    """Performs actions with dice: ends running tasks in any order, in any state."""

    def __init__(self, plan: Plan, policy: MissionPolicy | None = None) -> None:
        self.policy = policy or MissionPolicy()
        self.running: set[str] = set()
        self.started: list[str] = []
        self.stopping: set[str] = set()
        self.states: dict[str, TaskState] = {}
        self.finish: FinishMission | None = None
        self.perform(self.policy.handle(MissionPlanned(mission_id="m", plan=plan)))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            assert self.finish is None, "nothing may follow the end"
            match action:
                case StartTask(task_id):
                    assert task_id not in self.started
                    self.started.append(task_id)
                    self.running.add(task_id)
                case SkipTask(task_id):
                    assert task_id not in self.started
                    self.states[task_id] = TaskState.CANCELLED
                    self.perform(self.policy.handle(ended(task_id, TaskState.CANCELLED)))
                case StopTask(task_id):
                    assert task_id in self.running
                    self.stopping.add(task_id)
                case FinishMission():
                    assert not self.running
                    self.finish = action

    def end(self, task_id: str, state: TaskState) -> None:
        self.running.remove(task_id)
        self.states[task_id] = state
        self.perform(self.policy.handle(ended(task_id, state)))


@given(plans(), st.randoms(use_true_random=False))
def test_all_done_in_the_order_of_dependencies(plan: Plan, dice: random.Random) -> None:
    run = Run(plan)
    while run.finish is None:
        task_id = dice.choice(sorted(run.running))
        depends = next(task.depends for task in plan.tasks if task.id == task_id)
        assert all(run.states[dependency] is TaskState.DONE for dependency in depends)
        run.end(task_id, TaskState.DONE)
    assert run.finish.status is MissionStatus.DONE
    assert len(run.started) == len(plan.tasks)


@given(plans(), st.randoms(use_true_random=False))
def test_first_failure_ends_everything(plan: Plan, dice: random.Random) -> None:
    run = Run(plan)
    failed = False
    while run.finish is None:
        task_id = dice.choice(sorted(run.running))
        if not failed and dice.random() < 0.3:
            started = len(run.started)
            run.end(task_id, TaskState.FAILED)
            failed = True
            assert len(run.started) == started, "nothing starts after a failure"
        elif failed:
            run.end(task_id, dice.choice([TaskState.DONE, TaskState.CANCELLED, TaskState.FAILED]))
        else:
            run.end(task_id, TaskState.DONE)
    assert run.finish.status is (MissionStatus.FAILED if failed else MissionStatus.DONE)
    assert run.states.keys() == {task.id for task in plan.tasks}


@given(plans(), st.randoms(use_true_random=False), st.integers(0, 12))
def test_stop_at_any_moment_ends_as_cancelled(plan: Plan, dice: random.Random, after: int) -> None:
    run = Run(plan)
    for _ in range(after):
        if run.finish is None:
            run.end(dice.choice(sorted(run.running)), TaskState.DONE)
    if run.finish is not None:
        assert run.finish.status is MissionStatus.DONE
        return
    run.perform(run.policy.stop("enough"))
    assert run.stopping == run.running
    while run.finish is None:
        run.end(dice.choice(sorted(run.running)), TaskState.CANCELLED)
    assert run.finish == FinishMission(MissionStatus.CANCELLED, "enough")


def test_tasks_that_were_done_before_are_not_run_again() -> None:
    tasks = (
        Task(id="A", title="a", state=TaskState.DONE),
        Task(id="B", title="b", depends=("A",)),
    )
    run = Run(Plan(title="p", tasks=tasks))
    assert run.started == ["B"]


def test_no_more_are_started_than_can_be_worked_on() -> None:
    policy = MissionPolicy(at_once=2)
    tasks = tuple(Task(id=f"T{n}", title="t") for n in range(5))
    started = policy.handle(MissionPlanned(mission_id="m", plan=Plan(title="p", tasks=tasks)))
    assert started == [StartTask("T0"), StartTask("T1")]
    assert policy.handle(ended("T1", TaskState.DONE)) == [StartTask("T2")]
    assert policy.waits("T0") == [StartTask("T3")], "one that waits for files takes no place"
    policy.goes_on("T0")
    assert policy.handle(ended("T2", TaskState.DONE)) == []
    assert policy.handle(ended("T3", TaskState.DONE)) == [StartTask("T4")]


def test_what_most_work_waits_for_goes_first() -> None:
    tasks = (
        Task(id="alone", title="t"),
        Task(id="short", title="t"),
        Task(id="long", title="t"),
        Task(id="L2", title="t", depends=("long",)),
        Task(id="L3", title="t", depends=("L2",)),
        Task(id="S2", title="t", depends=("short",)),
    )
    run = Run(Plan(title="p", tasks=tasks), MissionPolicy(at_once=1))
    while run.finish is None:
        run.end(next(iter(run.running)), TaskState.DONE)
    assert run.started == ["long", "short", "L2", "alone", "L3", "S2"]


@given(plans(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_limit_changes_nothing_but_the_order(
    plan: Plan, at_once: int, dice: random.Random
) -> None:
    run = Run(plan, MissionPolicy(at_once))
    while run.finish is None:
        assert len(run.running) <= at_once
        run.end(dice.choice(sorted(run.running)), TaskState.DONE)
    assert sorted(run.started) == sorted(task.id for task in plan.tasks)
    assert run.finish.status is MissionStatus.DONE


def test_retry_delay_doubles_up_to_the_cap_and_is_jittered() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    delays = [retry_delay_s(n, Highest(), first_s=1, cap_s=5) for n in range(1, 6)]
    assert delays == [1, 2, 4, 5, 5]
    assert 0 <= retry_delay_s(3, random.Random(1)) <= 2
