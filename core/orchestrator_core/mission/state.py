"""The state of a mission, as its events tell it (:mod:`.fold`)."""

from __future__ import annotations

from msgspec import Struct, field, structs

from orchestrator_core.mission.task_store import DONE, PENDING, TaskStore
from orchestrator_core.records import MissionStatus, Mode, Plan, Shortage, Spent

ENDED_MISSION = (MissionStatus.DONE, MissionStatus.FAILED, MissionStatus.CANCELLED)
"""How a mission ends by itself."""


class MissionState(Struct):
    """A mission as its events tell it. Changed only by :mod:`.fold`; not thread-safe.

    Attributes:
        sequence: of the last event.
        accepted_at: in seconds since the epoch; 0 until the mission was accepted.
        unrestored: what an undo could not bring back.
        spent: on models; None where none was called.
        shortage: what its budget lacked, if that is what stopped it.
    """

    mission_id: str
    status: MissionStatus = MissionStatus.PLANNING
    text: str = ""
    mode: Mode = Mode.NORMAL
    backend: str = ""
    dry_run: bool = False
    plan: Plan | None = None
    tasks: TaskStore = field(default_factory=TaskStore)
    sequence: int = 0
    accepted_at: float = 0.0
    finished_at: float = 0.0
    duration_s: float = 0.0
    reason: str = ""
    unrestored: tuple[str, ...] = ()
    spent: Spent | None = None
    shortage: Shortage | None = None

    @property
    def out_of_budget(self) -> bool:
        """Whether its budget stopped it, so that it can go on with more."""
        return self.status is MissionStatus.CANCELLED and self.shortage is not None

    def left(self) -> Plan | None:
        """The plan as it is to be gone on with: what is done is done, all else is to be done."""
        if self.plan is None:
            return None
        done = {task.id for task in self.tasks.values() if task.state is DONE}
        states = {True: DONE, False: PENDING}
        tasks = (structs.replace(t, state=states[t.id in done]) for t in self.plan.tasks)
        return structs.replace(self.plan, tasks=tuple(tasks))

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen in it by itself."""
        return self.status in ENDED_MISSION or self.status is MissionStatus.UNDONE
