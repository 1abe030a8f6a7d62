"""What a crash left of a mission, brought to where the mission can go on.

A task that was cut short begins anew: what it may have changed is taken back first. One whose
edits had reached the files, but whose end had not reached the journal, is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.events import TaskFinished
from orchestrator_core.mission.restore import clear_up, revert
from orchestrator_core.records import TaskState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission


async def settle(
    engine: Engine, mission: Mission, emit: Callable[[AnyEvent], Awaitable[object]]
) -> None:
    """Settle each task that the journal has as running.

    Raises:
        EditError: edits of such a task cannot be taken back; resuming can be tried again.
    """
    for task in list(mission.state.tasks.values()):
        if task.state is not TaskState.RUNNING:
            continue
        if task.intended:
            reverted = await revert(engine, mission.events, task_id=task.id)
            if reverted is not None:
                await emit(reverted)
        elif task.applied:
            await emit(TaskFinished(mission_id=mission.id, task_id=task.id, state=TaskState.DONE))
    await engine.pool.submit(clear_up, engine, mission.events)
