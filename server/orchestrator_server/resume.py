"""Asks, when the server starts, what is to become of a mission that a crash cut short."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from orchestrator_core.errors import OrchestratorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.mission.mission import Mission
    from orchestrator_server.folder import Folder
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)

RESUME, UNDO, LATER = "Resume", "Undo", "Later"


async def offer_to_resume(
    server: HardenedServer, folder: Folder, follow: Callable[[Mission], Awaitable[object]]
) -> None:
    """Offer to go on with the newest mission that was cut short, if there is one.

    Args:
        server: whose editor is asked.
        folder: whose missions they are.
        follow: shows the progress of a mission that was resumed.
    """
    try:
        engine = await folder.orchestrator()
        cut_short = await engine.interrupted()
        if not cut_short:
            return
        mission = cut_short[0]
        chosen = await server.window_show_message_request_async(
            lsp.ShowMessageRequestParams(
                type=lsp.MessageType.Warning,
                message=f"Orchestrator: a mission was cut short: {mission.text}",
                actions=[lsp.MessageActionItem(title=title) for title in (RESUME, UNDO, LATER)],
            )
        )
        if chosen is None or chosen.title == LATER:
            return
        if chosen.title == RESUME:
            await follow(await engine.resume(mission.mission))
        else:
            await engine.undo(mission.mission)
    except JsonRpcException as error:
        log.info("the editor cannot ask whether to resume: %s", error)
    except OrchestratorError as error:
        log.warning("not resumed: %s", error)
        server.window_show_message(
            lsp.ShowMessageParams(
                type=lsp.MessageType.Error, message=f"Orchestrator: not resumed: {error}"
            )
        )
