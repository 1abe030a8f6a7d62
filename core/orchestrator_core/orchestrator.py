"""The facade that every front end uses: the missions of one workspace, from open to close.

All methods are to be called on the event loop that :meth:`Orchestrator.open` ran on. Nothing is
global: two orchestrators in one process do not know of each other.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct

from orchestrator_core.agents.choice import Backends
from orchestrator_core.cleanup.pages import write_page
from orchestrator_core.errors import BudgetExceeded, MissingFile, RequestError
from orchestrator_core.events import MissionAccepted, MissionUndone
from orchestrator_core.mission import history, plan_language, plan_selection
from orchestrator_core.mission.agent import MissionRequest
from orchestrator_core.mission.commander import Commander
from orchestrator_core.mission.hunk_review import HunkReview
from orchestrator_core.mission.mission import Mission, build_report
from orchestrator_core.mission.plan_addition import add_task
from orchestrator_core.mission.restore import revert
from orchestrator_core.mission_records import MissionRecords, overview_of
from orchestrator_core.records import TaskState
from orchestrator_core.services import Services
from orchestrator_core.tools.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orchestrator_core.agents.chat import ChatModel
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.cleanup.steps import CleanReport, RestoreReport
    from orchestrator_core.config import Settings
    from orchestrator_core.events import AnyEvent, EditsReverted
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.commander import Planning
    from orchestrator_core.mission.engine import Listener
    from orchestrator_core.mission.history import MissionOverview
    from orchestrator_core.mission.plan_addition import AddedTask
    from orchestrator_core.mission.plan_document import PlanDocument
    from orchestrator_core.places import Places
    from orchestrator_core.records import Mode, Plan
    from orchestrator_core.services import ApplierFactory
    from orchestrator_core.workspace.documents import Workspace

CLEANUP_WAIT_S = 10.0
"""How long a command waits for another process that is cleaning up."""


_MISSIONS_END_S = 3.0
"""Of the five seconds that a shutdown's step has."""


class WrittenPlan(Struct, frozen=True):
    """A plan that was written to a file.

    Attributes:
        path: relative to the workspace.
        replaced: where the plan that stood there before was put; empty if there was none.
    """

    path: str
    plan: Plan
    replaced: str = ""


class UndoReport(Struct, frozen=True):
    """What an undo did: files brought back, and those that could not be."""

    mission: str
    files_restored: tuple[str, ...]
    unrestored: tuple[str, ...]


class Orchestrator:
    """Missions of one workspace. Open it with :meth:`open`, close it with :meth:`close`.

    Args:
        services: what the missions run on; closed with it.
        backends: who plans and works besides those that are there anyway.
        editor_model: the editor's own model, if it offers one.
        asker: whoever can ask the person what an agent may do; nobody by default.

    Attributes:
        records: what is on record of the missions.
        review: what missions changed and nobody has accepted or rejected.
    """

    def __init__(
        self,
        services: Services,
        backends: Iterable[Backend] = (),
        editor_model: ChatModel | None = None,
        asker: Asker | None = None,
    ) -> None:
        self._services = services
        self._missions: dict[str, Mission] = {}
        self.records = MissionRecords(services, self._missions)
        self._conducting: set[asyncio.Task[None]] = set()
        services.shutdown.register("missions", self._end_missions, priority=1)
        self._backends = Backends(
            services.engine,
            TrustStore(services.places.trust),
            backends,
            editor=editor_model,
            asker=asker,
        )
        services.shutdown.register("backends", self._backends.close)
        self.review = HunkReview(
            services.engine, services.reviewable, services.open_journal, services.journal_mark
        )
        services.when_forgotten(self.review.forgotten)

    @classmethod
    async def open(
        cls,
        root: Path,
        settings: Settings,
        listener: Listener,
        *,
        applier: ApplierFactory | None = None,
        places: Places | None = None,
        on_owned: Callable[[], None] = lambda: None,
        editor_model: ChatModel | None = None,
        asker: Asker | None = None,
    ) -> Self:
        """Construct everything that the missions of a workspace need.

        Args:
            root: the workspace.
            settings: as they are now.
            listener: is told what happens.
            applier: makes the one that makes changes real; by default they are made on disk.
            places: where state lies.
            on_owned: called in a thread once this process owns the workspace's journal.
            editor_model: the editor's own model, if it offers one.
            asker: whoever can ask the person what an agent may do; nobody by default.

        Raises:
            WorkspaceError: the folder does not exist or cannot be read.
            ContentsUnavailable: what undo needs cannot be kept.
            ToolUnavailable: the tool server is not installed.
        """
        services = await Services.open(root, settings, listener, applier=applier, places=places)
        services.on_owned = on_owned
        return cls(services, editor_model=editor_model, asker=asker)

    @property
    def workspace(self) -> Workspace:
        """The documents."""
        return self._services.engine.workspace

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._services.engine.settings

    def request(
        self,
        text: str,
        *,
        mode: Mode | None = None,
        backend: str | None = None,
        dry_run: bool = False,
    ) -> MissionRequest:
        """A request with the settings' defaults filled in.

        Raises:
            RequestError: there is no such backend, or it does not know the mode.
        """
        request = MissionRequest(
            text=text,
            mode=mode or self.settings.mode,
            backend=self._backends.chosen(backend or self.settings.backend, text),
            dry_run=dry_run,
        )
        self._backend(request)
        return request

    async def request_from_file(
        self, path: str, *, task_id: str = "", **choices: Any
    ) -> MissionRequest:
        """A request that carries out a plan file.

        Args:
            path: the file, relative to the workspace.
            task_id: only this task, done or not, and what it waits for that is not done yet.
            choices: see :meth:`request`.

        Raises:
            PlanError: the file has mistakes; each is named with line and column.
            RequestError: there is no such file or task, or nothing in it is left to do.
        """
        request = self.request("", **choices)
        try:
            parsed = await self._services.engine.pool.submit(
                self.read_plan, path, backend=request.backend
            )
        except MissingFile as error:
            raise RequestError(
                f"there is no plan at {path}: write one (/plan makes it from a text)"
            ) from error
        if not (checked := parsed.checked_plan(path)).tasks:
            raise RequestError(f"{path} has no tasks")
        plan = plan_selection.to_be_done(checked, task_id)
        if all(task.state is TaskState.DONE for task in plan.tasks):
            raise RequestError(f"{path}: all tasks are done; untick what is to be done again")
        return MissionRequest(
            text=plan.title or path,
            plan=plan,
            plan_file=path,
            plan_text=parsed.text,
            mode=request.mode,
            backend=self._backends.for_plan(choices.get("backend") or self.settings.backend, plan),
            dry_run=request.dry_run,
        )

    def read_plan(
        self, path: str, text: str | None = None, *, backend: str | None = None
    ) -> PlanDocument:
        """A plan file as it is written, with what is wrong with it. Blocks; from any thread.

        Args:
            path: relative to the workspace.
            text: what it holds; read from the workspace where it is None.
            backend: whose planner says which steps can be carried out.

        Raises:
            MissingFile: there is no such file.
            WorkspaceError: it cannot be read.
        """
        text = self.workspace.read(path).text if text is None else text
        name = self._backends.chosen(backend or self.settings.backend, "")
        planner = self._backends.get(name).planner
        return plan_language.parse(text, check_step=planner.check_step)

    async def add_to_plan(self, title: str, files: tuple[str, ...] = ()) -> AddedTask:
        """Add a task to the plan file that a person has still to write; see :func:`add_task`."""
        return await add_task(self._services.engine, self.settings.plan_file, title, files)

    async def lacking_model(self) -> str:
        """Why no backend takes a text that no verb understands; empty where one does."""
        return await self._services.engine.pool.submit(
            self._backends.lacking, self.settings.backend
        )

    def has_plan(self) -> bool:
        """Whether the plan file exists."""
        return (self.workspace.root / self.settings.plan_file).is_file()

    async def plan(self, request: MissionRequest) -> Plan:
        """What a mission would do, without doing it.

        Raises:
            RequestError: the request cannot be carried out as written.
        """
        async with self._services.engine.concurrency.acquire(role="planner"):
            return await self._backend(request).planner.plan(request)

    async def write_plan(self, request: MissionRequest) -> WrittenPlan:
        """Plan, and write the plan file; one that stands there is put into the archive."""
        plan = await self.plan(request)
        replaced = await self._services.write_plan(plan_language.render(plan))
        return WrittenPlan(path=self.settings.plan_file, plan=plan, replaced=replaced)

    async def start(self, request: MissionRequest) -> Mission:
        """Accept a mission and carry it out in the background.

        What can be known to be wrong is refused here, before anything has changed.

        Raises:
            RequestError: the request cannot be carried out as written.
        """
        backend = self._backend(request)
        request = msgspec.structs.replace(request, mission_id=_new_id())

        planning = partial(self._planned, request)
        at_once = backend.planner.immediate or request.plan is not None
        plan = await planning() if at_once else planning
        if not request.dry_run:
            await self._services.open_journal()
        mission = Mission(request.mission_id, request, self._services.pools.tasks)
        self._begin(mission, backend, plan)
        return mission

    async def _planned(self, request: MissionRequest) -> Plan:
        """The plan of a mission, if it is no larger than a plan may be."""
        plan = await self.plan(request)
        if len(plan.tasks) > self.settings.limits.tasks:
            raise RequestError(
                f"the plan has {len(plan.tasks)} tasks, more than orchestrator.limits.tasks "
                f"({self.settings.limits.tasks}) allows"
            )
        return plan

    async def resume(self, mission_id: str | None = None) -> Mission:
        """Go on with a mission that a crash cut short, or that its budget stopped.

        By default it is the newest such. What it has spent before counts.

        Raises:
            RequestError: there is none, or its budget would stop it again at once.
            JournalBusy: another live process works on this workspace: nothing was cut short.
        """
        await self._services.open_journal()
        events = history.to_resume(await self.records.journalled(), mission_id, self._missions)
        accepted = events[0]
        assert isinstance(accepted, MissionAccepted)
        request = MissionRequest(
            text=accepted.text,
            plan_file=accepted.plan_file,
            plan_text=accepted.plan_text,
            mode=accepted.mode,
            backend=accepted.backend,
            mission_id=accepted.mission_id,
        )
        backend = self._backend(request)
        state = history.state_of(events)
        try:
            self._backends.budgets.go_on(state.mission_id, state.spent, state.shortage)
        except BudgetExceeded as error:
            raise RequestError(f"mission {state.mission_id} is not resumed: {error}") from error
        mission = Mission(accepted.mission_id, request, self._services.pools.tasks)
        for event in events:
            mission.add(event)
        plan = None
        if state.out_of_budget:
            plan = state.left() or partial(self._planned, request)
        self._begin(mission, backend, plan)
        return mission

    async def interrupted(self) -> list[MissionOverview]:
        """The missions that a crash cut short, the newest first; none while another works."""
        if await self._services.engine.pool.submit(self._services.owner) is not None:
            return []
        running = frozenset(self._missions)
        cut_short = await self._services.engine.pool.submit(self._services.cut_short, running)
        return [history.overview(events) for events in cut_short]

    def runs(self, mission_id: str) -> bool:
        """Whether a mission is running here."""
        return mission_id in self._missions

    def stop(self, mission_id: str | None, reason: str) -> list[str]:
        """Ask one running mission, or all, to end.

        Returns:
            The ids of those that were running.

        Raises:
            RequestError: no mission has that id.
        """
        if mission_id is not None and mission_id not in self._missions:
            raise RequestError(f"no mission {mission_id} is running here")
        return [
            mission.id
            for mission in list(self._missions.values())
            if mission_id in (None, mission.id) and mission.stop(reason)
        ]

    async def retry(self, mission_id: str | None = None) -> Mission:
        """Start a mission again from its text; the newest that did not end well by default.

        Raises:
            RequestError: there is none.
        """
        accepted = history.to_retry(await self.records.journalled(), mission_id)
        request = self.request(accepted.text, mode=accepted.mode, backend=accepted.backend)
        return await self.start(request)

    async def undo(self, mission_id: str | None = None, task_id: str = "") -> UndoReport:
        """Take back what a mission changed; the newest that changed something by default.

        Later changes by others are kept where they do not touch it.

        Args:
            mission_id: which mission.
            task_id: only what this task of it changed, and its parts where it was divided; other
                tasks' edits stay.

        Raises:
            RequestError: there is no such mission or task, it runs, or it left nothing to undo.
            EditError: the edits would not be taken; nothing was changed.
        """
        if self._missions and mission_id in (None, *self._missions):
            raise RequestError("the mission is still running: stop it first")
        async with self.review.lock:
            try:
                return await self._undo(mission_id, task_id)
            finally:
                self.review.forget()

    async def _undo(self, mission_id: str | None, task_id: str) -> UndoReport:
        await self._services.open_journal()
        events = history.to_undo(await self.records.journalled(), mission_id)
        overview = history.overview(events)
        if task_id and task_id not in {task.id for task in overview.tasks}:
            raise RequestError(f"mission {overview.mission} has no task {task_id}")
        done: list[EditsReverted] = []
        for each in history.to_undo_in_turn(events, task_id) if task_id else [""]:
            reverted = await revert(self._services.engine, events, task_id=each)
            if reverted is not None:
                await self._add(events, reverted)
                done.append(reverted)
        if not done:
            whose = f"task {task_id} of mission" if task_id else "mission"
            raise RequestError(f"{whose} {overview.mission} left nothing to undo")
        unrestored = tuple(note for reverted in done for note in reverted.unrestored)
        if not task_id:
            await self._add(
                events, MissionUndone(mission_id=overview.mission, unrestored=unrestored)
            )
        undone = await self._services.engine.pool.submit(history.overview, events)
        self._services.overviews.ended(undone)
        files = (change.new_path or change.path for reverted in done for change in reverted.changes)
        return UndoReport(
            mission=overview.mission,
            files_restored=tuple(dict.fromkeys(files)),
            unrestored=unrestored,
        )

    async def _add(self, events: list[AnyEvent], event: AnyEvent) -> None:
        """Tell and journal what comes after a mission's ``events``, and add it to them."""
        place = events[-1].sequence + 1
        placed = msgspec.structs.replace(event, sequence=place, at=time.time())
        self._services.engine.listener.on_event(placed)
        await self._services.engine.record(placed)
        events.append(placed)

    async def write_page(self, name: str, text: str) -> str:
        """Write a page for an editor to open; answers its path. It is deleted after some time.

        Raises:
            CleanupError: it cannot be written.
        """
        services = self._services
        page = partial(write_page, self.workspace.root, services.manifest, name, text)
        path = await services.engine.pool.submit(page)
        return path.relative_to(self.workspace.root).as_posix()

    async def stats(self) -> dict[str, object]:
        """The pools' figures, as ``$/orchestrator/poolStats`` has them."""
        return await self._services.look()

    async def clean(self, *, dry_run: bool = False) -> CleanReport:
        """Clean up the state folder, or say what that would do.

        Raises:
            CleanupRefused: nothing is ever cleaned up in this workspace.
            CleanupBusy: another process is at it.
            CleanupError: it could not be done.
        """
        cleaner = self._services.cleaner
        if dry_run:
            return await self._services.engine.pool.submit(cleaner.preview)
        return await self._services.engine.pool.submit(cleaner.run, wait_s=CLEANUP_WAIT_S)

    async def restore(self, name: str) -> RestoreReport:
        """Bring back what a cleanup moved to the quarantine: one file, or all of one cleanup.

        Raises:
            CleanupRefused: there is nothing by that name.
            CleanupBusy: another process is cleaning up.
            CleanupError: it could not be done.
        """
        restore = self._services.cleaner.restore
        return await self._services.engine.pool.submit(restore, name, wait_s=CLEANUP_WAIT_S)

    async def trust(self, *, revoke: bool = False) -> None:
        """Let commands run in this workspace, or not any more.

        The files that may name commands are trusted as they are now: settings and plan.
        """
        await self._services.engine.pool.submit(self._services.trust, revoke=revoke)

    def offer_model(self, model: ChatModel | None) -> None:
        """Take what the editor offers from now on; None: no model any more."""
        self._backends.editor = model

    def reconfigure(self, settings: Settings) -> None:
        """Take changed settings; pools keep their size until the next start."""
        self._services.reconfigure(settings)

    async def close(self) -> None:
        """Stop all missions and end everything; idempotent."""
        await self._services.close()

    async def _end_missions(self) -> None:
        self.stop(None, "the server is shutting down")
        if self._conducting:
            await asyncio.wait(self._conducting, timeout=_MISSIONS_END_S)
        for conducting in self._conducting:
            conducting.cancel()

    def _begin(self, mission: Mission, backend: Backend, plan: Plan | Planning | None) -> None:
        self._missions[mission.id] = mission
        if not mission.request.dry_run:
            self._services.overviews.began(mission.id)
        self.review.forget()
        conducting = asyncio.ensure_future(self._conduct(mission, backend, plan))
        self._conducting.add(conducting)
        conducting.add_done_callback(self._conducting.discard)

    async def _conduct(
        self, mission: Mission, backend: Backend, plan: Plan | Planning | None
    ) -> None:
        """Carry the plan out, or without one go on with what the mission has."""
        services = self._services
        spent = partial(self._backends.budgets.spent, mission.id)
        commander = Commander(services.engine, mission, backend, spent)
        started = time.monotonic()
        try:
            async with services.engine.concurrency.acquire(role="commander"):
                with services.mission_running(mission.id):
                    await (commander.resume() if plan is None else commander.run(plan))
            diff = await services.diff(commander.rehearsal) if commander.rehearsal else ""
        except BaseException as error:
            self._missions.pop(mission.id, None)
            services.overviews.lost(mission.id)
            mission.crash(error)
            raise
        self._missions.pop(mission.id, None)
        for ended in overview_of(mission):
            services.overviews.ended(ended)
        self.review.forget()
        took_s = round(time.monotonic() - started, 3)
        stats = {**await services.look(), **self._backends.ended(mission.id)}
        mission.finish(build_report(mission, duration_s=took_s, stats=stats, diff=diff))

    def _backend(self, request: MissionRequest) -> Backend:
        backend = self._backends.get(request.backend)
        if request.mode not in backend.modes:
            known = ", ".join(backend.modes)
            raise RequestError(
                f"backend {backend.name} does not know mode {request.mode}: its tasks have one "
                f"possible result, and are as small as they get. It knows: {known}"
            )
        return backend


def _new_id() -> str:
    """Readable, sortable, and unique enough for one workspace."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
