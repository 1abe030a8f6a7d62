"""The tasks of a mission: what became of each, which step each may take, and an archive.

What ended long ago is seldom asked for: such tasks are packed away until somebody does, and their
records are free for other missions.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.errors import IllegalTransition
from orchestrator_core.records import FileChange, Receipt, TaskState

if TYPE_CHECKING:
    from _collections_abc import dict_values
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator_core.records import Task

ARCHIVE_AFTER_S = 30 * 60
"""How long a task that has ended is kept at hand."""

PENDING, RUNNING, DONE, FAILED, CANCELLED = TaskState
"""Each by a name of its own: before Python 3.12 a class of enums is slow to look them up."""

ENDED = frozenset({DONE, FAILED, CANCELLED})

TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    PENDING: frozenset({RUNNING, FAILED, CANCELLED}),
    RUNNING: frozenset({RUNNING, *ENDED}),
    DONE: frozenset(),
    FAILED: frozenset({RUNNING}),
    CANCELLED: frozenset({RUNNING}),
}
"""The states that may follow each. Running again is a new attempt; see :func:`move` for done."""

_AFTER_REVERTED = frozenset({RUNNING, FAILED, CANCELLED})


class TaskStatus(Struct):
    """What became of a task so far.

    Attributes:
        attempt: the latest, from 1; 0 before the first.
        intended: changes of which it is not known whether they reached the files.
        applied: changes that did, and that nobody took back.
        reverted: whether changes that were applied have been taken back.
        started_at: of the latest attempt, in seconds since the epoch.
        finished_at: 0 until it has ended.
    """

    id: str
    title: str = ""
    state: TaskState = PENDING
    attempt: int = 0
    intended: tuple[FileChange, ...] = ()
    applied: tuple[FileChange, ...] = ()
    reverted: bool = False
    receipt: Receipt | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    started_at: float = 0.0
    finished_at: float = 0.0


def new_records(tasks: Sequence[Task]) -> list[TaskStatus]:
    """The records of tasks of which nothing has happened yet."""
    return [TaskStatus(task.id, task.title, task.state) for task in tasks]


def move(task: TaskStatus, state: TaskState, at: float) -> None:
    """Take a task to its next state.

    A task that is done may only go on once its edits were reverted.

    Args:
        task: the task; as it was where the step is illegal.
        state: the next one.
        at: when, in seconds since the epoch.

    Raises:
        IllegalTransition: its state does not allow it.
    """
    legal = TRANSITIONS[task.state]
    if task.state is DONE and task.reverted:
        legal = _AFTER_REVERTED
    if state not in legal:
        what = "started" if state is RUNNING else f"finished as {state}"
        raise IllegalTransition(
            f"task {task.id} is {task.state} (attempt {task.attempt}) and cannot be {what}"
        )
    task.state = state
    if state is RUNNING:
        task.started_at, task.finished_at = at, 0.0
    else:
        task.finished_at = at


class TaskStore(dict[str, TaskStatus]):
    """The tasks by their ids. Not thread-safe.

    A task in the archive is found like any other: by ``[]``, ``find``, ``in`` or ``values``, which
    bring it back.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ended: deque[tuple[float, str]] = deque()
        self._archived: dict[str, bytes] = {}

    def __missing__(self, task_id: str) -> TaskStatus:
        task = self[task_id] = _unpack(self._archived.pop(task_id))
        return task

    def __contains__(self, task_id: object) -> bool:
        return super().__contains__(task_id) or task_id in self._archived

    def find(self, task_id: str) -> TaskStatus | None:
        """The task; None if there is none of that id."""
        try:
            return self[task_id]
        except KeyError:
            return None

    def values(self) -> dict_values[str, TaskStatus]:
        """All tasks, those that were archived at the end."""
        for task_id in list(self._archived):
            self.find(task_id)
        return super().values()

    @property
    def archived(self) -> tuple[str, ...]:
        """The ids of those in the archive."""
        return tuple(self._archived)

    def ended(self, task: TaskStatus) -> None:
        """Take note that a task has ended: that is when its time begins to count."""
        self._ended.append((task.finished_at, task.id))

    def archive(self, now: float, let_go: Callable[[TaskStatus], None]) -> None:
        """Pack away what ended half an hour before ``now`` or earlier.

        Takes time for those alone, and none where there are none.

        Args:
            now: seconds since the epoch.
            let_go: told of each record that is not used any more.
        """
        while self._ended and self._ended[0][0] <= now - ARCHIVE_AFTER_S:
            finished_at, task_id = self._ended.popleft()
            task = super().get(task_id)
            if task is not None and task.state in ENDED and task.finished_at == finished_at:
                self._archived[task_id] = _pack(super().pop(task_id))
                let_go(task)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(TaskStatus).decode
