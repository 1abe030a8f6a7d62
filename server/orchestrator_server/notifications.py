"""What the engine tells, as notifications: mission events, progress and pool statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
from lsprotocol import types as lsp

if TYPE_CHECKING:
    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import MissionProgress
    from orchestrator_server.progress import MissionProgressBars
    from orchestrator_server.server import HardenedServer

MISSION_EVENT = "$/orchestrator/missionEvent"
POOL_STATS = "$/orchestrator/poolStats"


class ClientListener:
    """Passes on to the editor what the engine tells. Called on the event loop."""

    def __init__(self, server: HardenedServer, bars: MissionProgressBars) -> None:
        self._server = server
        self._bars = bars

    def on_event(self, event: AnyEvent) -> None:
        """A mission took a step."""
        self._server.notify(MISSION_EVENT, wire(event))

    def on_progress(self, progress: MissionProgress) -> None:
        """A mission got further."""
        self._bars.report(progress)

    def on_notice(self, text: str) -> None:
        """Something that the person should know."""
        self._server.window_show_message(
            lsp.ShowMessageParams(type=lsp.MessageType.Warning, message=f"Orchestrator: {text}")
        )

    def on_stats(self, stats: dict[str, object]) -> None:
        """The pools' figures changed."""
        self._server.notify(POOL_STATS, wire(stats), key=POOL_STATS)


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


def _camel_key(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(word.capitalize() for word in others)
