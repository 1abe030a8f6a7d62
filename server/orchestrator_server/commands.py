"""The commands: ``/task``, ``/plan``, ``/run``, ``/stop``, ``/undo``, ``/status``, ``/clean``, ….

Each handler is a coroutine on the event loop, so that ``$/cancelRequest`` reaches it. What is
wrong with a request is raised as an OrchestratorError, which the protocol answers as an LSP
error with its message; nothing has changed then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from lsprotocol import types as lsp
from msgspec import Meta, Struct

from orchestrator_core.records import MissionStatus, Mode
from orchestrator_server.ask import ask_for_task
from orchestrator_server.here import Lines, ask_text, folder_of, task_at
from orchestrator_server.notifications import wire
from orchestrator_server.resume import offer_to_resume
from orchestrator_server.show import show

if TYPE_CHECKING:
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.mission.plan_addition import AddedTask
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.folder import Folder
    from orchestrator_server.progress import MissionProgressBars
    from orchestrator_server.server import HardenedServer


class TaskOptions(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The second argument of ``/task``, ``/plan`` and ``/run``.

    Attributes:
        folder: where several are open: name, path or URI of the one that it is about. By default
            it is the one of the document that was opened or changed last.
        task: for ``/run``: only this task of the plan, and what it waits for.
        at: for ``/task``: the lines that the text is about.
    """

    mode: Mode | None = None
    backend: Annotated[str, Meta(min_length=1)] | None = None
    dry_run: bool = False
    plan: str | None = None
    wait: bool = False
    folder: str | None = None
    task: str = ""
    at: Lines | None = None


class CleanOptions(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The argument of ``/clean``."""

    dry_run: bool = False
    restore: Annotated[str, Meta(min_length=1)] | None = None


class Commands:
    """The handlers. Lives on the event loop."""

    def __init__(self, session: EditorSession, bars: MissionProgressBars) -> None:
        self._session = session
        self._bars = bars
        self._watching: set[asyncio.Task[None]] = set()

    def register(self, server: HardenedServer) -> None:
        """Register every command with the server."""

        @server.command("/task")
        async def task(text: str | None = None, options: TaskOptions | None = None) -> object:
            return await self.task(text, options or TaskOptions())

        @server.command("/plan")
        async def plan(text: str | None = None, options: TaskOptions | None = None) -> object:
            return await self.plan(text, options or TaskOptions())

        @server.command("/run")
        async def run(file: str | None = None, options: TaskOptions | None = None) -> object:
            return await self.run_plan(file, options or TaskOptions())

        for name in ("/stop", "/cancel"):

            @server.command(name)
            async def stop(mission: str | None = None) -> object:
                return await self.stop(mission)

        @server.command("/retry")
        async def retry(mission: str | None = None) -> object:
            return await self.retry(mission)

        @server.command("/resume")
        async def resume(mission: str | None = None) -> object:
            return await self.resume(mission)

        @server.command("/undo")
        async def undo(mission: str | None = None, task: str | None = None) -> object:
            return await self.undo(mission, task)

        @server.command("/status")
        async def status() -> object:
            return await self.status()

        @server.command("/stats")
        async def stats() -> object:
            return await self.stats()

        @server.command("/clean")
        async def clean(options: CleanOptions | None = None) -> object:
            return await self.clean(options or CleanOptions())

    async def task(self, text: str | None, options: TaskOptions) -> object:
        """Start a mission from a text; without one, ask for it."""
        if options.plan is not None:
            return await self.run_plan(options.plan, options)
        if options.at is not None:
            told = await task_at(self._session, options.at, text)
            if not isinstance(told, str):
                return _untold(told)
            text = told
        engine = await self._session.orchestrator(
            options.folder or folder_of(self._session, options.at)
        )
        if text is None and self._session.offers_input:
            text = await ask_text(self._session.server, "What should be done?")
            if text is None:
                return _untold(None)
        if text is None:
            answer = await ask_for_task(self._session.server, engine)
            if answer is None:
                return _untold(None)
            if answer.plan_file:
                return await self.run_plan(answer.plan_file, options)
            text = answer.text
        request = engine.plans.request(text, **_choices(options))
        return await self._start(await engine.start(request), wait=options.wait)

    async def plan(self, text: str | None, options: TaskOptions) -> object:
        """Make a plan, write it to the plan file, and change nothing else."""
        folder = self._session.folder(options.folder)
        engine = await folder.orchestrator()
        written = await engine.plans.write(engine.plans.request(text or "", **_choices(options)))
        await show(self._session.server, folder.uri(written.path))
        return wire(written)

    async def run_plan(self, file: str | None, options: TaskOptions) -> object:
        """Carry out a plan file."""
        engine = await self._session.orchestrator(options.folder)
        request = await engine.plans.request_from_file(
            file or engine.settings.plan_file, task_id=options.task, **_choices(options)
        )
        return await self._start(await engine.start(request), wait=options.wait)

    async def stop(self, mission: str | None) -> object:
        """Stop one mission, or all."""
        return {"stopped": self._session.stop(mission, "stopped by /stop")}

    async def retry(self, mission: str | None) -> object:
        """Start a mission that failed or was cancelled again."""
        engine = await self.engine_of(mission)
        return await self._start(await engine.retry(mission), wait=False)

    async def resume(self, mission: str | None) -> object:
        """Go on with a mission that a crash cut short, or that its budget stopped."""
        engine = await self.engine_of(mission)
        return await self._start(await engine.resume(mission), wait=False)

    async def undo(self, mission: str | None, task: str | None) -> object:
        """Take a mission's changes back, or those of one task."""
        engine = await self.engine_of(mission)
        return wire(await engine.undo(mission, task or ""))

    async def offer_to_resume(self, folder: Folder) -> None:
        """Ask what is to become of a mission that a crash cut short, if there is one."""
        await offer_to_resume(
            self._session.server, folder, lambda mission: self._start(mission, wait=False)
        )

    async def status(self) -> object:
        """Missions of all folders, their tasks and receipts, the newest first."""
        folders = list(self._session.folders.values())
        if len(folders) == 1:
            return wire(await (await folders[0].orchestrator()).records.status())
        engine = await self._session.orchestrator()
        engines = [engine, *(other for other in self._session.opened if other is not engine)]
        missions = [mission for each in engines for mission in await each.records.status()]
        return wire(sorted(missions, key=lambda mission: mission.started_at, reverse=True))

    async def stats(self) -> object:
        """The pools' figures."""
        engine = await self._session.orchestrator()
        return wire(await engine.stats())

    async def engine_of(self, mission: str | None) -> Orchestrator:
        """The engine of the folder that a mission belonged to; by default the present folder's."""
        engine = await self._session.orchestrator()
        others = [other for other in self._session.opened if other is not engine]
        if mission is None or not others:
            return engine
        for other in others:
            if any(past.mission == mission for past in await other.records.status()):
                return other
        return engine

    async def clean(self, options: CleanOptions) -> object:
        """Clean up the state folder, show what that would do, or bring back what it took."""
        engine = await self._session.orchestrator()
        if options.restore is not None:
            return wire(await engine.restore(options.restore))
        return wire(await engine.clean(dry_run=options.dry_run))

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
            self._bars.close(mission.id, mission.outcome)  # beside the title
        if report.status is MissionStatus.FAILED:
            message = f"Orchestrator: {mission.title}: {mission.outcome}"
            self._session.server.window_show_message(
                lsp.ShowMessageParams(lsp.MessageType.Error, message)
            )


def _choices(options: TaskOptions) -> dict[str, Any]:
    return {"mode": options.mode, "backend": options.backend, "dry_run": options.dry_run}


def _untold(drafted: AddedTask | None) -> object:
    """The answer where there is no text: nobody gave one, or it is to be written in the plan."""
    if drafted is None:
        return {"missionId": None, "status": MissionStatus.CANCELLED}
    return {"missionId": None, "status": "drafted", "task": drafted.task_id}
