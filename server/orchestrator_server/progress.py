"""A mission's progress as the editor shows it: ``$/progress`` with percentage and Cancel."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from collections.abc import Hashable

    from orchestrator_core.mission.engine import MissionProgress
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)


class MissionProgressBars:
    """One progress bar a mission, on the client's token or on one of the server's making.

    Some editors show the token itself, so that the server's own are readable text. Lives on
    the event loop.
    """

    def __init__(self, server: HardenedServer) -> None:
        self._server = server
        self._tokens: dict[str, lsp.ProgressToken] = {}  # of bars that have begun
        self._reserved: dict[str, str] = {}  # tokens that the editor is being asked to create
        self._latest: dict[str, MissionProgress] = {}
        self._creating: set[asyncio.Task[None]] = set()

    def open(self, mission_id: str, title: str, token: lsp.ProgressToken | None) -> None:
        """Begin a mission's bar; what is reported while the token is created comes with it."""
        if token is not None:
            self._begin(mission_id, title, token)
            return
        window = self._server.client_capabilities.window
        if window is None or not window.work_done_progress:
            return
        creating = asyncio.ensure_future(self._create(mission_id, title))
        self._creating.add(creating)
        creating.add_done_callback(self._creating.discard)

    def report(self, progress: MissionProgress) -> None:
        """Show how far the mission is."""
        token = self._tokens.get(progress.mission_id)
        if token is None:
            self._latest[progress.mission_id] = progress
            return
        report = lsp.WorkDoneProgressReport(
            cancellable=True, message=progress.message, percentage=int(progress.fraction * 100)
        )
        # While the editor is slow to read, only the latest report of a bar is kept.
        self._send(token, report, key=("progress", token))

    def close(self, mission_id: str, message: str) -> None:
        """End the bar and forget its token."""
        self._latest.pop(mission_id, None)
        self._reserved.pop(mission_id, None)
        token = self._tokens.pop(mission_id, None)
        if token is not None:
            self._send(token, lsp.WorkDoneProgressEnd(message=message))

    def mission_of(self, token: lsp.ProgressToken) -> str | None:
        """The mission whose bar has this token."""
        return next((m for m, known in self._tokens.items() if known == token), None)

    async def _create(self, mission_id: str, title: str) -> None:
        token = self._unused(f"orchestrator: {title}")
        self._reserved[mission_id] = token
        try:
            await self._server.request(
                lsp.WINDOW_WORK_DONE_PROGRESS_CREATE, lsp.WorkDoneProgressCreateParams(token)
            )
        except JsonRpcException as error:
            log.info("the editor shows no progress: %s", error)
            return
        finally:
            still_wanted = self._reserved.pop(mission_id, None) is not None
        if still_wanted:
            self._begin(mission_id, title, token)

    def _begin(self, mission_id: str, title: str, token: lsp.ProgressToken) -> None:
        self._tokens[mission_id] = token
        # In one notification: some editors take two at once in no particular order.
        latest = self._latest.pop(mission_id, None)
        begin = lsp.WorkDoneProgressBegin(
            title=title,
            cancellable=True,
            message=None if latest is None else latest.message,
            percentage=0 if latest is None else int(latest.fraction * 100),
        )
        self._send(token, begin)

    def _send(
        self, token: lsp.ProgressToken, value: object, *, key: Hashable | None = None
    ) -> None:
        self._server.notify(lsp.PROGRESS, lsp.ProgressParams(token, value), key=key)

    def _unused(self, token: str) -> str:
        taken = {*self._tokens.values(), *self._reserved.values()}
        count, name = 1, token
        while name in taken:
            count += 1
            name = f"{token} ({count})"
        return name
