"""The graph of a plan: what is wrong with it, in which order it goes, what is ready.

Everything takes time proportional to tasks and dependencies. All of it is pure or, in
:class:`TaskGraph`, read-only after construction: safe to share between threads.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from orchestrator_core.errors import PlanError
from orchestrator_core.records import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator_core.records import Plan, Task


class Fault(Struct, frozen=True):
    """Something wrong with a plan's graph.

    Attributes:
        index: the task in the plan's order, from 0.
        reference: the id that is meant: the duplicate, the unknown one, or the next in a cycle.
        path: the ids of a cycle, the first again at the end.
    """

    kind: Literal["duplicate", "unknown", "cycle"]
    index: int
    reference: str
    message: str
    path: tuple[str, ...] = ()


def faults(tasks: Sequence[Task]) -> list[Fault]:
    """Duplicate ids, unknown dependencies and cycles, in the order of the tasks.

    Each cycle is reported once, at its first task, and a task that only waits for a cycle is not
    reported.
    """
    found: list[Fault] = []
    first: dict[str, int] = {}
    for index, task in enumerate(tasks):
        if task.id in first:
            found.append(Fault("duplicate", index, task.id, f"the id {task.id} is used twice"))
        else:
            first[task.id] = index
    for index, task in enumerate(tasks):
        found += [
            Fault("unknown", index, name, f"{task.id} depends on {name}, which does not exist")
            for name in task.depends
            if name not in first
        ]
    for path in _cycles(tasks, first):
        message = f"tasks wait for each other: {' -> '.join(path)}"
        found.append(Fault("cycle", first[path[0]], path[1], message, path))
    return sorted(found, key=lambda fault: fault.index)


def _cycles(tasks: Sequence[Task], first: Mapping[str, int]) -> list[tuple[str, ...]]:
    """The cycles that a depth-first walk along the dependencies closes, without recursion."""
    done: set[int] = set()
    cycles: list[tuple[str, ...]] = []
    for start in first.values():
        if start in done:
            continue
        path = [start]
        on_path = {start: 0}
        branches = [iter(tasks[start].depends)]
        while path:
            name = next(branches[-1], None)
            if name is None:
                branches.pop()
                leaving = path.pop()
                del on_path[leaving]
                done.add(leaving)
                continue
            index = first.get(name)
            if index is None or index in done:
                continue
            if index in on_path:
                ring = path[on_path[index] :]
                turn = ring.index(min(ring))
                cycles.append(tuple(tasks[i].id for i in [*ring[turn:], *ring[: turn + 1]]))
                continue
            on_path[index] = len(path)
            path.append(index)
            branches.append(iter(tasks[index].depends))
    return list(dict.fromkeys(cycles))


class TaskGraph:
    """The dependencies of a valid plan.

    Attributes:
        order: ids such that each comes after all that it depends on; otherwise as in the plan.

    Raises:
        PlanError: the plan has faults; lines and columns are 0, as there is no text.
    """

    def __init__(self, plan: Plan) -> None:
        found = faults(plan.tasks)
        if found:
            raise PlanError([Problem(0, 0, fault.message) for fault in found])
        self._tasks = {task.id: task for task in plan.tasks}
        self._dependents: dict[str, list[str]] = {task.id: [] for task in plan.tasks}
        for task in plan.tasks:
            for name in dict.fromkeys(task.depends):
                self._dependents[name].append(task.id)
        self.order: tuple[str, ...] = self._topological_order()

    def chain_lengths(self) -> dict[str, int]:
        """For each task the longest chain of tasks that waits for it, itself included.

        Work that most depends on goes first: highest level first, as in T. C. Hu, "Parallel
        Sequencing and Assembly Line Problems", Operations Research 9:841, 1961.
        """
        lengths: dict[str, int] = {}
        for name in reversed(self.order):
            waiting = (lengths[dependent] for dependent in self._dependents[name])
            lengths[name] = 1 + max(waiting, default=0)
        return lengths

    def _topological_order(self) -> tuple[str, ...]:
        """Kahn's algorithm (Communications of the ACM 5:558, 1962)."""
        missing = {name: len(set(task.depends)) for name, task in self._tasks.items()}
        queue = deque(name for name, count in missing.items() if not count)
        order: list[str] = []
        while queue:
            name = queue.popleft()
            order.append(name)
            for dependent in self._dependents[name]:
                missing[dependent] -= 1
                if not missing[dependent]:
                    queue.append(dependent)
        return tuple(order)


def leaves_workspace(glob: str) -> bool:
    """Whether a glob names something outside the workspace: absolute, or up through ``..``."""
    if glob.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", glob):
        return True
    depth = 0
    for part in re.split(r"[/\\]", glob):
        depth += {"..": -1, ".": 0, "": 0, "**": 0}.get(part, 1)
        if depth < 0:
            return True
    return False
