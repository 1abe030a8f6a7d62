"""The commands: ``/task``, ``/plan``, ``/run``, ``/stop``, ``/undo``, ``/status``, ``/stats``.

Each handler is a coroutine on the event loop, so that ``$/cancelRequest`` reaches it. What is
wrong with a request is an LSP error whose message says what to do; nothing has changed then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from lsprotocol import types as lsp
from msgspec import Meta, Struct
from orchestrator_core.errors import OrchestratorError, RequestError
from orchestrator_core.records import MissionStatus, Mode
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from orchestrator_server.ask import ask_for_task
from orchestrator_server.notifications import wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.mission.mission import Mission

    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.progress import MissionProgressBars
    from orchestrator_server.server import HardenedServer

REQUEST_FAILED = -32803
TITLE_LENGTH = 60


class TaskOptions(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The second argument of ``/task``, ``/plan`` and ``/run``."""

    mode: Mode | None = None
    backend: Annotated[str, Meta(min_length=1)] | None = None
    dry_run: bool = False
    plan: str | None = None
    wait: bool = False


class Commands:
    """The handlers. Lives on the event loop."""

    def __init__(self, session: EditorSession, bars: MissionProgressBars) -> None:
        self._session = session
        self._bars = bars
        self._watching: set[asyncio.Task[None]] = set()

    def register(self, server: HardenedServer) -> None:
        """Register every command with the server."""
        for names, handler in (
            (("/task",), self.task),
            (("/plan",), self.plan),
            (("/run",), self.run),
            (("/stop", "/cancel"), self.stop),
            (("/retry",), self.retry),
            (("/undo",), self.undo),
            (("/status",), self.status),
            (("/stats",), self.stats),
        ):
            for name in names:
                server.command(name)(_command(handler))

    async def task(self, text: object = None, options: object = None) -> object:
        """Start a mission from a text; without one, ask for it."""
        chosen = _options(options)
        if chosen.plan is not None:
            return await self._start_plan(chosen.plan, chosen)
        engine = await self._session.orchestrator()
        if text is None:
            answer = await ask_for_task(self._session.server, engine)
            if answer is None:
                return {"missionId": None, "status": MissionStatus.CANCELLED}
            if answer.plan_file:
                return await self._start_plan(answer.plan_file, chosen)
            text = answer.text
        request = engine.request(_text(text), **_choices(chosen))
        return await self._start(await engine.start(request), wait=chosen.wait)

    async def plan(self, text: object = None, options: object = None) -> object:
        """Make a plan, write it to the plan file, and change nothing else."""
        engine = await self._session.orchestrator()
        request = engine.request(_text(text), **_choices(_options(options)))
        written = await engine.write_plan(request)
        await self._show(written.path)
        return wire(written)

    async def run(self, file: object = None, options: object = None) -> object:
        """Carry out the plan file."""
        chosen = _options(options)
        name = None if file is None else _text(file)
        return await self._start_plan(name or self._session.settings.plan_file, chosen)

    async def stop(self, mission: object = None) -> object:
        """Stop one mission, or all."""
        engine = await self._session.orchestrator()
        stopped = engine.stop(None if mission is None else _text(mission), "stopped by /stop")
        return {"stopped": stopped}

    async def retry(self, mission: object = None) -> object:
        """Start a mission that failed or was cancelled again."""
        engine = await self._session.orchestrator()
        again = await engine.retry(None if mission is None else _text(mission))
        return await self._start(again, wait=False)

    async def undo(self, mission: object = None) -> object:
        """Take a mission's changes back."""
        engine = await self._session.orchestrator()
        return wire(await engine.undo(None if mission is None else _text(mission)))

    async def status(self) -> object:
        """Missions, their tasks and receipts."""
        engine = await self._session.orchestrator()
        return wire(await engine.status())

    async def stats(self) -> object:
        """The pools' figures."""
        engine = await self._session.orchestrator()
        return wire(engine.stats())

    async def _start_plan(self, file: str, options: TaskOptions) -> object:
        engine = await self._session.orchestrator()
        request = await engine.request_from_file(file, **_choices(options))
        return await self._start(await engine.start(request), wait=options.wait)

    async def _start(self, mission: Mission, *, wait: bool) -> object:
        self._bars.open(mission.id, mission.title, self._session.server.current_work_done_token())
        watching = asyncio.ensure_future(self._watch(mission))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        if not wait:
            return {"missionId": mission.id, "status": "accepted"}
        try:
            await asyncio.shield(watching)
        except asyncio.CancelledError:
            mission.stop("cancelled by the editor")
            raise
        return wire(mission.report)

    async def _watch(self, mission: Mission) -> None:
        """Follow a mission to its end and close its bar."""
        try:
            report = await mission.wait()
        finally:
            self._bars.close(mission.id, mission.summary)
        if report.status is MissionStatus.FAILED:
            self._session.server.window_show_message(
                lsp.ShowMessageParams(
                    type=lsp.MessageType.Error, message=f"Orchestrator: {mission.summary}"
                )
            )

    async def _show(self, path: str) -> None:
        window = self._session.server.client_capabilities.window
        if window is None or window.show_document is None or not window.show_document.support:
            return
        assert self._session.root is not None
        uri = (self._session.root / path).as_uri()
        await self._session.server.window_show_document_async(
            lsp.ShowDocumentParams(uri=uri, take_focus=True)
        )


def _command(handler: Callable[..., Awaitable[object]]) -> Callable[..., Any]:
    async def run(*arguments: object) -> object:
        try:
            return await handler(*arguments)
        except TypeError as error:
            if error.__traceback__ and error.__traceback__.tb_next is None:
                raise JsonRpcInvalidParams(f"too many arguments: {error}") from error
            raise
        except OrchestratorError as error:
            raise JsonRpcException(str(error), code=REQUEST_FAILED, data=_data(error)) from error

    return run


def _data(error: OrchestratorError) -> dict[str, object]:
    kind = "request" if isinstance(error, RequestError) else "failure"
    return {"kind": kind, "error": type(error).__name__}


def _options(value: object) -> TaskOptions:
    if value is None:
        return TaskOptions()
    try:
        return msgspec.convert(value, TaskOptions)
    except msgspec.ValidationError as error:
        raise JsonRpcInvalidParams(f"options: {error}") from error


def _choices(options: TaskOptions) -> dict[str, Any]:
    return {"mode": options.mode, "backend": options.backend, "dry_run": options.dry_run}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise JsonRpcInvalidParams(f"a text is expected, not {value!r:.80}")
    return value
