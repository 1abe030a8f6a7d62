"""The language server object that features and commands are registered on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pygls.lsp.server import LanguageServer

from orchestrator_server.protocol import HardenedProtocol, current_work_done_token
from orchestrator_server.structure import make_converter

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lsprotocol import types
    from pygls.server import ServerErrors

    from orchestrator_server.lifecycle import Session

logger = logging.getLogger(__name__)


class HardenedServer(LanguageServer):
    """pygls' language server on the mended protocol; ``lifecycle.run`` serves it.

    Handlers are registered and written as with pygls. A command handler's defaults apply,
    its arguments may be annotated with attrs classes, msgspec Structs or plain types, and
    cancelling its request cancels the coroutine.

    Args:
        name: what the client is told.
        version: what the client is told.
    """

    protocol: HardenedProtocol  # pyright: ignore[reportIncompatibleVariableOverride] (narrower)

    def __init__(self, name: str, version: str) -> None:
        self.session: Session | None = None
        super().__init__(  # pyright: ignore[reportUnknownMemberType] (its *args are untyped)
            name, version, protocol_cls=HardenedProtocol, converter_factory=make_converter
        )

    def current_work_done_token(self) -> types.ProgressToken | None:
        """The token that the client sent with the command that runs in this context, if any."""
        return current_work_done_token()

    def notify(self, method: str, params: object = None, *, key: Hashable | None = None) -> None:
        """Send a notification from any thread; see `HardenedProtocol.notify` for ``key``."""
        self.protocol.notify(method, params, key=key)

    async def request(self, method: str, params: object = None) -> object:
        """Send a request to the client and await its answer; cancellation is passed on."""
        return await asyncio.wrap_future(self.protocol.send_request(method, params))

    def end(self, reason: str, *, exit_code: int | None = None) -> None:
        """Begin to end the server, from any thread; only the first reason counts."""
        if self.session is not None:
            self.session.end(reason, exit_code=exit_code)

    async def release(self, reason: str, timeout_s: float) -> None:
        """Run the shutdown callback, once; return when it is done or the time is over."""
        if self.session is not None:
            await self.session.release(reason, timeout_s)

    def initialized(self, editor_pid: int | None) -> None:
        """Called by the protocol when ``initialize`` is about to be answered."""
        self.process_id = editor_pid
        if self.session is not None:
            self.session.initialized(editor_pid)

    def stop_threads(self) -> None:
        """Start no more handlers in threads; those that run are not waited for (mends 9)."""
        if self._thread_pool is not None:
            self._thread_pool.shutdown(wait=False, cancel_futures=True)

    def report_server_error(self, error: Exception, source: ServerErrors) -> None:
        """Log an error; stock pygls shows a popup, which no person can do anything about."""
        logger.error("%s: %s", source.__name__, error, exc_info=error)
