"""What the engine tells, as notifications: mission events, progress and pool statistics."""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import msgspec
from lsprotocol import types as lsp

from orchestrator_core.events import MissionAccepted, MissionFinished
from orchestrator_core.records import MissionStatus
from orchestrator_server.log import PERSON, Logfmt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import MissionProgress
    from orchestrator_server.progress import MissionProgressBars
    from orchestrator_server.server import HardenedServer

MISSION_EVENT = "$/orchestrator/missionEvent"
POOL_STATS = "$/orchestrator/poolStats"


_MESSAGE_TYPES = {
    logging.DEBUG: lsp.MessageType.Debug,
    logging.INFO: lsp.MessageType.Info,
    logging.WARNING: lsp.MessageType.Warning,
}

log = logging.getLogger(PERSON)


class EditorLog(logging.Handler):
    """Shows in the editor's log (``window/logMessage``) what a person should know."""

    def __init__(self, server: HardenedServer) -> None:
        super().__init__()
        self._server = server
        self.addFilter(lambda record: record.name == PERSON)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, its secrets masked."""
        text = record.getMessage()
        if isinstance(self.formatter, Logfmt):
            text = self.formatter.redact(text)
        # A type that came with LSP 3.18 is only for clients that know it: older ones ignore it.
        kind = _MESSAGE_TYPES.get(record.levelno, lsp.MessageType.Error)
        self._server.notify(lsp.WINDOW_LOG_MESSAGE, lsp.LogMessageParams(kind, text))


class ClientListener:
    """Passes on to the editor what the engine tells. Called on the event loop.

    Args:
        server: the conversation with the editor.
        bars: the missions' progress.
        root: whose missions these are; the statistics of several folders are told apart by it.
        stepped: is told as well, after the editor.
    """

    def __init__(
        self,
        server: HardenedServer,
        bars: MissionProgressBars,
        root: Path,
        stepped: Callable[[AnyEvent], None],
    ) -> None:
        self._server = server
        self._stepped = stepped
        self._bars = bars
        self._root = root

    def on_event(self, event: AnyEvent) -> None:
        """A mission took a step."""
        told = wire(event)
        self._server.notify(MISSION_EVENT, told)
        if isinstance(event, MissionAccepted):
            log.info("mission %s: %s", event.mission_id, event.text)
        elif isinstance(event, MissionFinished):
            level = logging.INFO if event.status is not MissionStatus.FAILED else logging.WARNING
            why = f": {event.reason}" if event.reason else ""
            log.log(
                level,
                "mission %s: %s in %.1f s%s",
                *(event.mission_id, event.status, event.duration_s, why),
            )
        self._trace(event, told)
        self._stepped(event)

    def _trace(self, event: AnyEvent, told: dict[str, object]) -> None:
        """Tell a client that traces what happens (``$/setTrace``)."""
        trace = self._server.protocol.trace
        if trace == lsp.TraceValue.Off:
            return
        about = [str(told[key]) for key in ("taskId", "state", "status") if key in told]
        message = " ".join([f"mission {event.mission_id}: {told['kind']}", *about])
        verbose = json.dumps(told) if trace == lsp.TraceValue.Verbose else None
        self._server.notify(lsp.LOG_TRACE, lsp.LogTraceParams(message, verbose))

    def on_progress(self, progress: MissionProgress) -> None:
        """A mission got further."""
        self._bars.report(progress)

    def on_notice(self, text: str) -> None:
        """Something that the person should know."""
        log.warning("%s", text)
        self._server.window_show_message(
            lsp.ShowMessageParams(type=lsp.MessageType.Warning, message=f"Orchestrator: {text}")
        )

    def on_stats(self, stats: dict[str, object]) -> None:
        """The pools' figures changed."""
        self._server.notify(POOL_STATS, wire(stats), key=(POOL_STATS, self._root))


def wire(value: object) -> Any:
    """Records as plain JSON values with camelCase keys, as the protocol has them."""
    return _camel(msgspec.to_builtins(value))


def _camel(value: object) -> object:
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {_camel_key(key): _camel(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [_camel(item) for item in cast("list[object]", value)]
    return value


@lru_cache(maxsize=1024)
def _camel_key(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(word.capitalize() for word in others)
