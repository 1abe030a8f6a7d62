"""A task added to a plan by a person who has still to say what it does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.mission import plan_language
from orchestrator_core.records import Plan, Step, Task
from orchestrator_core.workspace.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.workspace.edits import Change

_NUMBER = re.compile(r"T(\d+)")


class AddedTask(Struct, frozen=True):
    """A plan with one more task.

    Attributes:
        text: of the whole plan.
        task_id: the new task's.
        at: where its step, which is empty yet, is to be written: an offset.
    """

    text: str
    task_id: str
    at: int


def with_task(text: str, title: str, files: tuple[str, ...] = ()) -> AddedTask:
    """Add a task with one empty step at the end of a plan; all that is there stays as it is.

    Args:
        text: the plan file, which may be empty.
        title: of the task.
        files: globs that it is limited to.
    """
    taken = (_NUMBER.match(node.id) for node in plan_language.parse(text).tasks)
    number = max((int(found[1]) for found in taken if found), default=0) + 1
    task = Task(f"T{number}", title, (Step(""),), files=files)
    fresh = plan_language.render(Plan("Tasks", (task,)))
    if text.strip():
        _, _, fresh = fresh.partition("\n\n")
    if "\r\n" in text:
        fresh = fresh.replace("\n", "\r\n")
    gap = "" if not text or text.endswith("\n") else "\n"
    whole = text + gap + fresh
    return AddedTask(whole, task.id, len(whole.rstrip("\r\n")))


async def add_task(engine: Engine, path: str, title: str, files: tuple[str, ...]) -> AddedTask:
    """Add a task to a plan file, which need not exist, as any other edit is made.

    Raises:
        EditError: the edit was not taken; nothing was changed.
        WorkspaceError: the file cannot be read.
    """

    def add() -> tuple[AddedTask, Sequence[Change]]:
        now = engine.workspace.find(path)
        added = with_task(now.text if now else "", title, files)
        draft = Draft(engine.workspace)
        draft.write(path, added.text)
        return added, draft.changes()

    async with engine.apply_lock:
        added, changes = await engine.pool.submit(add)
        await engine.applier.apply(changes, label=f"orchestrator: add {added.task_id}")
    return added
