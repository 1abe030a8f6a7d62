"""What a mission runs on: the services of one workspace, constructed once by the facade."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from orchestrator_core.mission.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from orchestrator_core.config import Settings
    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.reviewer import Reviewer
    from orchestrator_core.runtime.concurrency import ConcurrencyController
    from orchestrator_core.runtime.worker_pool import WorkStealingPool
    from orchestrator_core.tools.toolbox import Toolbox
    from orchestrator_core.workspace.apply import Applier
    from orchestrator_core.workspace.content_store import ContentStore
    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_core.workspace.edits import Change


class MissionProgress(Struct, frozen=True):
    """How far a mission is.

    Attributes:
        done: tasks that have ended.
        total: tasks in all.
        fraction: 0 to 1, work within running tasks included.
        message: one line for people.
    """

    mission_id: str
    done: int
    total: int
    fraction: float
    message: str


class Listener(Protocol):
    """Who is told what happens. Called on the event loop; must not block."""

    def on_event(self, event: AnyEvent) -> None:
        """A mission took a step; it is journalled already."""
        ...

    def on_progress(self, progress: MissionProgress) -> None:
        """A mission got further."""
        ...

    def on_notice(self, text: str) -> None:
        """Something that the person should know and that belongs to no mission."""
        ...

    def on_stats(self, stats: dict[str, object]) -> None:
        """The pools' figures changed."""
        ...


@dataclass(slots=True)
class Engine:
    """The services. Owned, and closed, by the facade.

    Attributes:
        scratch: the folder where commands get their copy of the workspace.
        record: journals an event; its place is taken when the call returns, and it is durable
            when the answer has been awaited.
        stats: the pools' figures.
        clock: seconds that only grow, for durations.
        now: seconds since the epoch, for the journal.
        sleep: waits so many seconds between two attempts.
        dice: how long that is.
        turns: tasks that name the same files work one after the other.
        apply_lock: edits are applied one task's at a time, in the order of the journal.
    """

    workspace: Workspace
    settings: Settings
    toolbox: Toolbox
    pool: WorkStealingPool
    concurrency: ConcurrencyController
    contents: ContentStore
    applier: Applier
    reviewer: Reviewer
    listener: Listener
    scratch: Path
    record: Callable[[AnyEvent], Awaitable[object]]
    stats: Callable[[], dict[str, object]] = dict
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    dice: random.Random = field(default_factory=random.Random)
    turns: Turns = field(default_factory=Turns)
    apply_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def keep(self, mission_id: str, changes: Sequence[Change]) -> None:
        """Store the texts that undo needs, before they are changed. Blocks on the disk."""
        texts = [change.before.encode() for change in changes if change.before is not None]
        texts += [after for change in changes if (after := change.encode()) is not None]
        self.contents.put_all(texts, pin=mission_id)
