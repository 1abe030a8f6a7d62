"""The rows of the journal's table: neighbouring events of one mission share one.

A row's body is an array of JSON and begins with "[", or is zlib of that where it is long, and
begins with "x". Journals of earlier versions also have single events, which begin with "{".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import force_setattr

from orchestrator_core.events import AnyEvent
from orchestrator_core.mission.journal_file import SEVERAL

if TYPE_CHECKING:
    from orchestrator_core.primitives.string_pool import StringPool

_COMPRESS_BYTES = 2048
_COMPRESS_LEVEL = 3  # a third of the usual level's time, for a few percent more bytes

_decode = msgspec.json.Decoder(list[AnyEvent]).decode


class Row:
    """A row while events are added to it. Not thread-safe.

    Attributes:
        mission: whose they are.
        sequence: of the last one.
        kind: of the first one.
        events: how many they are.
        body: their JSON, each with a comma behind it.
    """

    __slots__ = ("body", "events", "kind", "mission", "sequence")

    def __init__(self, mission: str, kind: str) -> None:
        self.mission = mission
        self.sequence = 0
        self.kind = kind
        self.events = 0
        self.body = bytearray(b"[")

    def values(self) -> tuple[str, int, str, bytes | bytearray]:
        """What the table keeps. Nothing can be added any more."""
        body = self.body
        body[-1:] = b"]"
        return (
            self.mission,
            self.sequence,
            self.kind if self.events == 1 else SEVERAL,
            zlib.compress(body, _COMPRESS_LEVEL) if len(body) > _COMPRESS_BYTES else body,
        )


def events_of(body: bytes, strings: StringPool) -> list[AnyEvent]:
    """The events of a row; their ids are shared through ``strings``.

    Raises:
        msgspec.MsgspecError, zlib.error: it is damaged.
    """
    text = zlib.decompress(body) if body[:1] == b"x" else body
    events = _decode(b"[%b]" % text if text[:1] == b"{" else text)
    # Nobody has seen the events yet: to change them is part of making them.
    intern = strings.intern
    for event in events:
        force_setattr(event, "mission_id", intern(event.mission_id))
        task_id: str | None = getattr(event, "task_id", None)
        if task_id is not None:
            force_setattr(event, "task_id", intern(task_id))
    return events
