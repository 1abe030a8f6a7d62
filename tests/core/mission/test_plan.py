from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.errors import PlanError
from orchestrator_core.mission.plan import TaskGraph, faults, leaves_workspace
from orchestrator_core.records import Plan, Task, TaskState

DONE, FAILED, RUNNING = TaskState.DONE, TaskState.FAILED, TaskState.RUNNING


def plan(**depends: str) -> Plan:
    return Plan(
        "plan",
        tuple(Task(name, name, depends=tuple(value.split())) for name, value in depends.items()),
    )


def test_order_respects_dependencies_and_otherwise_the_plan():
    graph = TaskGraph(plan(T3="T2", T1="", T2="T1", T4=""))
    assert graph.order == ("T1", "T4", "T2", "T3")


def test_a_cycle_is_told_with_its_path():
    found = faults(plan(T0="T3", T1="T3", T2="T1", T3="T2", T4="T4").tasks)
    assert [(fault.kind, fault.path) for fault in found] == [
        ("cycle", ("T1", "T3", "T2", "T1")),
        ("cycle", ("T4", "T4")),
    ]
    assert found[0].message == "tasks wait for each other: T1 -> T3 -> T2 -> T1"
    assert found[0].reference == "T3"


def test_duplicate_and_unknown_ids_are_told():
    tasks = (Task("T1", "a"), Task("T1", "b", depends=("T10",)))
    assert [(fault.kind, fault.index, fault.reference) for fault in faults(tasks)] == [
        ("duplicate", 1, "T1"),
        ("unknown", 1, "T10"),
    ]


def test_a_faulty_plan_makes_no_graph():
    with pytest.raises(PlanError, match="T1 -> T2 -> T1"):
        TaskGraph(plan(T1="T2", T2="T1"))


@given(st.lists(st.lists(st.integers(0, 11), max_size=4), max_size=12))
def test_a_plan_is_ordered_or_has_a_real_cycle(edges: list[list[int]]):
    tasks = tuple(
        Task(str(index), "t", depends=tuple(str(target) for target in targets if target < len(edges)))
        for index, targets in enumerate(edges)
    )  # fmt: skip
    found = faults(tasks)
    if not found:
        order = TaskGraph(Plan("plan", tasks)).order
        assert sorted(order) == sorted(task.id for task in tasks)
        place = {name: position for position, name in enumerate(order)}
        assert all(place[need] < place[task.id] for task in tasks for need in task.depends)
    for fault in found:
        needs = {task.id: task.depends for task in tasks}
        assert fault.path[0] == fault.path[-1]
        assert all(b in needs[a] for a, b in zip(fault.path, fault.path[1:], strict=False))


def test_a_chain_of_ten_thousand_tasks_needs_no_recursion():
    tasks = [Task("T0", "first"), *(Task(f"T{n}", "t", depends=(f"T{n - 1}",)) for n in range(1, 10_000))]  # fmt: skip
    graph = TaskGraph(Plan("plan", tuple(reversed(tasks))))
    assert graph.order == tuple(f"T{n}" for n in range(10_000))
    assert graph.chain_lengths()["T0"] == 10_000


@pytest.mark.parametrize(
    ("glob", "outside"),
    [
        ("src/**/*.py", False), ("./a", False), ("a/../b", False), (".", False), ("..a/b", False),
        ("../a", True), ("a/../../b", True), ("/etc", True), ("~/x", True), ("C:\\x", True),
        ("a\\..\\..\\b", True), ("**/../x", True),
    ],
)  # fmt: skip
def test_globs_that_leave_the_workspace_are_known(glob: str, outside: bool):
    assert leaves_workspace(glob) is outside


def test_a_task_that_many_ways_lead_to_is_looked_at_once():
    """Each layer doubles the ways: 200 layers would take for ever."""
    tasks = tuple(
        Task(f"{side}{layer}", "t", depends=(f"a{layer - 1}", f"b{layer - 1}") if layer else ())
        for layer in range(200)
        for side in "ab"
    )
    assert len(TaskGraph(Plan("plan", tasks)).order) == 400
