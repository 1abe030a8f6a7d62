"""What a list of missions shows of each, from the events that begin and end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.events import MissionAccepted, MissionFinished, MissionUndone
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.events import AnyEvent


class MissionSummary(Struct, frozen=True):
    """A mission as a list shows it.

    Attributes:
        status: ``running`` where the journal has no end of it, crashed missions included.
        accepted_at: seconds since the epoch.
        finished_at: 0 where it has not ended.
    """

    mission_id: str
    text: str
    status: MissionStatus
    accepted_at: float
    finished_at: float = 0.0
    reason: str = ""


def summaries(events: Iterable[AnyEvent]) -> tuple[MissionSummary, ...]:
    """The missions in ``events``, the newest first; events of tasks are passed over."""
    found: dict[str, MissionSummary] = {}
    for event in events:
        known = found.get(event.mission_id)
        if isinstance(event, MissionAccepted):
            at = event.at if known is None else known.accepted_at  # or it goes on
            found[event.mission_id] = MissionSummary(
                event.mission_id, event.text, MissionStatus.RUNNING, at
            )
        elif known is not None and isinstance(event, MissionFinished):
            found[event.mission_id] = msgspec.structs.replace(
                known, status=event.status, finished_at=event.at, reason=event.reason
            )
        elif known is not None and isinstance(event, MissionUndone):
            found[event.mission_id] = msgspec.structs.replace(known, status=MissionStatus.UNDONE)
    return tuple(reversed(found.values()))
