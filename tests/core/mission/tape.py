"""A mission carried out by hand: drafts applied to a real folder, its events recorded."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from orchestrator_core.events import (
    AnyEvent,
    EditsApplied,
    EditsIntended,
    EditsReverted,
    MissionAccepted,
    MissionPlanned,
    TaskFinished,
    TaskStarted,
)
from orchestrator_core.mission.task_store import TaskStatus, TaskStore
from orchestrator_core.mission.undo import UndoPlan, plan_undo
from orchestrator_core.records import Plan, Task, TaskState
from orchestrator_core.workspace.content_store import ContentStore
from orchestrator_core.workspace.disk_applier import DiskApplier
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.edits import Change


class Tape:
    """One mission on ``root``; each task applies one draft."""

    def __init__(self, root: Path, store: ContentStore, *, mission: str = "m") -> None:
        self.root = root
        self.store = store
        self.workspace = Workspace(root)
        self.applier = DiskApplier(self.workspace, asyncio.to_thread)
        self.mission = mission
        self.events: list[AnyEvent] = []
        plan = Plan("test", tuple(Task(f"T{n}", f"task {n}") for n in range(1, 10)))
        self.add(MissionAccepted(mission_id=mission, text="test"))
        self.add(MissionPlanned(mission_id=mission, plan=plan))

    def add(self, event: AnyEvent) -> None:
        place = len(self.events) + 1
        self.events.append(msgspec.structs.replace(event, sequence=place, at=1000.0 + place))

    def intend(self, task: str, change: Callable[[Draft], object]) -> tuple[Change, ...]:
        """Journal what the task is about to do, as the commander does."""
        draft = Draft(self.workspace)
        change(draft)
        changes = draft.changes()
        for each in changes:
            after = each.encode()
            kept = [each.before.encode()] if each.before else []
            self.store.put_all(kept if after is None else [*kept, after], pin=self.mission)
        self.add(TaskStarted(mission_id=self.mission, task_id=task))
        records = tuple(each.record() for each in changes)
        self.add(EditsIntended(mission_id=self.mission, task_id=task, changes=records))
        return changes

    def perform(self, task: str, change: Callable[[Draft], object]) -> None:
        changes = self.intend(task, change)
        self.applier.apply_now(changes)
        records = tuple(each.record() for each in changes)
        self.add(EditsApplied(mission_id=self.mission, task_id=task, changes=records))
        self.add(TaskFinished(mission_id=self.mission, task_id=task, state=TaskState.DONE))

    def crash(
        self, task: str, change: Callable[[Draft], object], reached: Callable[[int], bool]
    ) -> None:
        """Apply only those changes for whose place ``reached`` is true, and say nothing more."""
        changes = self.intend(task, change)
        self.applier.apply_now([c for place, c in enumerate(changes) if reached(place)])

    def undo(self, task: str = "") -> UndoPlan:
        undo = plan_undo(self.events, self.store, self.workspace, task_id=task)
        self.applier.apply_now(undo.changes)
        records = tuple(change.record() for change in undo.changes)
        self.add(
            EditsReverted(
                mission_id=self.mission,
                task_id=task,
                changes=records,
                unrestored=undo.unrestored,
            )
        )
        return undo


def files(root: Path) -> dict[str, bytes]:
    """Every file below ``root``."""
    return {
        str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()
    }


def lay_out(root: Path, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def write_all(texts: Sequence[tuple[str, str]]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        for path, text in texts:
            draft.write(path, text)

    return change


def read_store(kind: type, tasks: object) -> object:
    """A :class:`TaskStore` from the JSON of its tasks, for msgspec's ``dec_hook``."""
    assert kind is TaskStore
    store = TaskStore()
    store.update(msgspec.convert(tasks, dict[str, TaskStatus]))
    return store
