"""``/show``: what is on record of a mission or a task, as a page in the editor.

Where the client takes virtual documents (``workspace/textDocumentContent``), the page is one, with
the scheme ``orchestrator``, and is asked for again while its mission runs. Elsewhere it is written
to a file below ``.opencode``, which cleanup deletes, and that is shown, or its place is told.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from orchestrator_core.errors import RequestError
from orchestrator_server.show import show

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)

SCHEME = "orchestrator"
_REFRESH_S = 0.3
_MOST = 50


class Documents:
    """The pages of a session. Lives on the event loop.

    Args:
        server: whose editor shows them.
        engine_of: the engine of the folder that a mission belongs to.
        uri_of: the URI of a path of an engine's folder.
    """

    def __init__(
        self,
        server: HardenedServer,
        engine_of: Callable[[str | None], Awaitable[Orchestrator]],
        uri_of: Callable[[Orchestrator, str], str],
    ) -> None:
        self._server = server
        self._engine_of = engine_of
        self._uri_of = uri_of
        self._asked: dict[str, str] = {}  # URIs of pages that the client has, and their missions
        self._due: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._refreshing: set[asyncio.Task[None]] = set()

    def register(self) -> None:
        """Register the command and the request with the server."""

        @self._server.command("/show")
        async def show_page(mission: str | None = None, task: str | None = None) -> object:
            return await self.show(mission, task or "")

        @self._server.feature(
            lsp.WORKSPACE_TEXT_DOCUMENT_CONTENT, lsp.TextDocumentContentOptions([SCHEME])
        )
        async def content(params: lsp.TextDocumentContentParams) -> lsp.TextDocumentContentResult:
            return lsp.TextDocumentContentResult(await self.content(params.uri))

    async def show(self, mission: str | None, task: str) -> object:
        """Show the page of a mission, the newest by default, or of one task of it.

        Raises:
            RequestError: there is no such mission or task.
            CleanupError: the page cannot be written.
        """
        engine = await self._engine_of(mission)
        page = await engine.records.transcript(mission, task)
        if takes_pages(self._server.client_capabilities):
            uri = uri_of(page.mission, task)
            return {"uri": uri, "shown": await show(self._server, uri)}
        name = re.sub(r"[^\w.-]+", "-", "-".join(filter(None, (page.mission, task))))
        path = await engine.write_page(name, page.text)
        uri = self._uri_of(engine, path)
        shown = await show(self._server, uri)
        if not shown:
            self._server.window_show_message(
                lsp.ShowMessageParams(lsp.MessageType.Info, f"Orchestrator: the page is {path}")
            )
        return {"uri": uri, "shown": shown}

    async def content(self, uri: str) -> str:
        """The text of a virtual document.

        Raises:
            RequestError: it is none of this server, or there is no such mission or task.
        """
        mission, task = mission_and_task(uri)
        page = await (await self._engine_of(mission)).records.transcript(mission, task)
        self._asked.pop(uri, None)
        self._asked[uri] = mission
        while len(self._asked) > _MOST:
            del self._asked[next(iter(self._asked))]
        return page.text

    def stepped(self, event: AnyEvent) -> None:
        """A mission took a step: have its pages asked for again, soon."""
        for uri, mission in self._asked.items():
            if mission == event.mission_id:
                self._due[uri] = None
        if self._due and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_REFRESH_S, self._refresh)

    def _refresh(self) -> None:
        self._timer = None
        due, self._due = self._due, {}
        for uri in due:
            refreshing = asyncio.ensure_future(self._ask_again(uri))
            self._refreshing.add(refreshing)
            refreshing.add_done_callback(self._refreshing.discard)

    async def _ask_again(self, uri: str) -> None:
        try:
            await self._server.request(
                lsp.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH,
                lsp.TextDocumentContentRefreshParams(uri),
            )
        except (JsonRpcException, ConnectionError) as error:
            log.info("the editor does not refresh %s: %s", uri, error)
            self._asked.pop(uri, None)


def takes_pages(client: lsp.ClientCapabilities) -> bool:
    """Whether a client shows documents that only this server has."""
    return client.workspace is not None and client.workspace.text_document_content is not None


def uri_of(mission: str, task: str) -> str:
    """The URI of a page."""
    about = f"/{quote(task, safe='')}" if task else ""
    return f"{SCHEME}:/{quote(mission, safe='')}{about}.md"


def mission_and_task(uri: str) -> tuple[str, str]:
    """What a URI is the page of, however the client spells it.

    Raises:
        RequestError: it is no page.
    """
    parts = urlsplit(uri)
    mission, _, task = unquote(parts.path).strip("/").removesuffix(".md").partition("/")
    if parts.scheme != SCHEME or not mission:
        raise RequestError(f"{uri} is no page of the orchestrator")
    return mission, task
