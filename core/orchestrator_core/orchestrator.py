"""The facade that every front end uses: the missions of one workspace, from open to close.

All methods are to be called on the event loop that :meth:`Orchestrator.open` ran on. Nothing is
global: two orchestrators in one process do not know of each other.
"""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Self

import msgspec

from orchestrator_core.agents.choice import Backends
from orchestrator_core.cleanup.pages import write_page
from orchestrator_core.config import SETTINGS_FILES
from orchestrator_core.errors import BudgetExceeded, RequestError
from orchestrator_core.mission import history
from orchestrator_core.mission.hunk_review import HunkReview
from orchestrator_core.mission.mission import Mission
from orchestrator_core.mission_plans import MissionPlans
from orchestrator_core.mission_records import MissionRecords
from orchestrator_core.mission_undo import undo
from orchestrator_core.running_missions import RunningMissions
from orchestrator_core.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orchestrator_core.agents.chat import ChatModel
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.cleanup.steps import CleanReport, RestoreReport
    from orchestrator_core.config import Settings
    from orchestrator_core.mission.agent import Backend, MissionRequest
    from orchestrator_core.mission.engine import Listener
    from orchestrator_core.mission.history import MissionOverview
    from orchestrator_core.mission_undo import UndoReport
    from orchestrator_core.places import Places
    from orchestrator_core.services import ApplierFactory
    from orchestrator_core.workspace.documents import Workspace

CLEANUP_WAIT_S = 10.0
"""How long a command waits for another process that is cleaning up."""


class Orchestrator:
    """Missions of one workspace. Open it with :meth:`open`, close it with :meth:`close`.

    Args:
        services: what the missions run on; closed with it.
        backends: who plans and works besides those that are there anyway.
        editor_model: the editor's own model, if it offers one.
        asker: whoever can ask the person what an agent may do; nobody by default.

    Attributes:
        plans: what missions are to do: requests, the plan file, the plans that are made.
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
        self._backends = Backends(
            services.engine, services.trust, backends, editor=editor_model, asker=asker
        )
        services.shutdown.register("backends", self._backends.close)
        self.plans = MissionPlans(services, self._backends)
        self.review = HunkReview(services.engine, services.journal, services.open_journal)
        self._missions = RunningMissions(services, self._backends, self.review)
        self.records = MissionRecords(services, self._missions)

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

    async def start(self, request: MissionRequest) -> Mission:
        """Accept a mission and carry it out in the background.

        What can be known to be wrong is refused here, before anything has changed.

        Raises:
            RequestError: the request cannot be carried out as written.
        """
        backend = self.plans.backend_of(request)
        request = msgspec.structs.replace(request, mission_id=_new_id())
        planning = partial(self.plans.make_for_mission, request)
        at_once = backend.planner.immediate or request.plan is not None
        plan = await planning() if at_once else planning
        if not request.dry_run:
            await self._services.open_journal()
        mission = Mission(request.mission_id, request, self._services.pools.tasks)
        self._missions.begin(mission, backend, plan)
        return mission

    async def resume(self, mission_id: str | None = None) -> Mission:
        """Go on with a mission that a crash cut short, or that its budget stopped.

        By default it is the newest such. What it has spent before counts.

        Raises:
            RequestError: there is none, or its budget would stop it again at once.
            JournalBusy: another live process works on this workspace: nothing was cut short.
        """
        await self._services.open_journal()
        await self._missions.settle()
        events = history.to_resume(await self.records.journalled(), mission_id, self._missions)
        request = history.request_of(events)
        backend = self.plans.backend_of(request)
        state = history.state_of(events)
        try:
            self._backends.budgets.go_on(state.mission_id, state.spent, state.shortage)
        except BudgetExceeded as error:
            raise RequestError(f"mission {state.mission_id} is not resumed: {error}") from error
        mission = Mission(state.mission_id, request, self._services.pools.tasks)
        for event in events:
            mission.add(event)
        plan = None
        if state.out_of_budget:
            plan = state.left() or partial(self.plans.make_for_mission, request)
        self._missions.begin(mission, backend, plan)
        return mission

    async def interrupted(self) -> list[MissionOverview]:
        """The missions that a crash cut short, the newest first; none while another works."""
        journal, submit = self._services.journal, self._services.engine.pool.submit
        if await submit(journal.owner) is not None:
            return []
        cut_short = await submit(journal.cut_short, frozenset(self._missions))
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
        return self._missions.stop(mission_id, reason)

    async def retry(self, mission_id: str | None = None) -> Mission:
        """Start a mission again from its text; the newest that did not end well by default.

        Raises:
            RequestError: there is none.
        """
        known = history.to_retry(await self.records.journalled(), mission_id)
        return await self.start(
            self.plans.request(known.text, mode=known.mode, backend=known.backend)
        )

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
        await self._missions.settle()
        if self._missions and mission_id in (None, *self._missions):
            raise RequestError("the mission is still running: stop it first")
        async with self.review.lock:
            try:
                return await undo(self._services, mission_id, task_id)
            finally:
                self.review.forget()

    async def write_page(self, name: str, text: str) -> str:
        """Write a page for an editor to open; answers its path. It is deleted after some time.

        Raises:
            CleanupError: it cannot be written.
        """
        services, root = self._services, self.workspace.root
        path = await services.engine.pool.submit(write_page, root, services.manifest, name, text)
        return path.relative_to(root).as_posix()

    async def stats(self) -> dict[str, object]:
        """The pools' figures, as ``$/orchestrator/poolStats`` has them."""
        return await self._services.figures.look()

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
        root, trust = self.workspace.root, self._services.trust
        files = (*SETTINGS_FILES, self.settings.plan_file)

        def change() -> None:
            if revoke:
                trust.revoke(root)
            else:
                trust.trust(root, [name for name in files if (root / name).is_file()])

        await self._services.engine.pool.submit(change)

    def offer_model(self, model: ChatModel | None) -> None:
        """Take what the editor offers from now on; None: no model any more."""
        self._backends.editor = model

    def reconfigure(self, settings: Settings) -> None:
        """Take changed settings; pools keep their size until the next start."""
        self._services.reconfigure(settings)

    async def close(self) -> None:
        """Stop all missions and end everything; idempotent."""
        await self._services.close()


def _new_id() -> str:
    """Readable, sortable, and unique enough for one workspace."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
