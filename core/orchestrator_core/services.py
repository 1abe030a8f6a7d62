"""What the missions of a workspace run on.

It is constructed in the order of the layers, and closed in reverse by the ShutdownManager.

The journal is opened with the first mission that changes something, so that a look, a dry run
or a mistake leaves no trace in the workspace, and a server that does nothing keeps nobody out.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from orchestrator_core.cleanup.cleaner import Cleaner
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import record
from orchestrator_core.cleanup.manifest import Manifest
from orchestrator_core.cleanup.scheduler import CleanupScheduler
from orchestrator_core.errors import JournalError
from orchestrator_core.mission.engine import Engine
from orchestrator_core.mission.figures import Figures
from orchestrator_core.mission.lazy_journal import LazyJournal
from orchestrator_core.mission.overviews import Overviews
from orchestrator_core.mission.pools import Pools
from orchestrator_core.mission.reviewer import Reviewer
from orchestrator_core.places import Places
from orchestrator_core.redaction import Redactor
from orchestrator_core.runtime.concurrency import DEFAULT_LIMITS, ConcurrencyController
from orchestrator_core.runtime.confinement import Confinement
from orchestrator_core.runtime.process import kill_children
from orchestrator_core.runtime.programs import tool_server
from orchestrator_core.runtime.shutdown import ShutdownManager
from orchestrator_core.runtime.tool_pool import RustToolPool
from orchestrator_core.runtime.worker_pool import WorkStealingPool
from orchestrator_core.tools.code import CodeTools
from orchestrator_core.tools.lint import Linter
from orchestrator_core.tools.rename import Renamer
from orchestrator_core.tools.shell import Shell
from orchestrator_core.tools.toolbox import Toolbox
from orchestrator_core.tools.trust import TrustStore
from orchestrator_core.workspace.content_store import ContentStore
from orchestrator_core.workspace.disk_applier import DiskApplier
from orchestrator_core.workspace.documents import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from orchestrator_core.config import Limits, Settings
    from orchestrator_core.mission.engine import Listener
    from orchestrator_core.workspace.apply import Applier

    ApplierFactory = Callable[[Workspace, Applier], Applier]

log = logging.getLogger(__name__)


class Services:
    """The services of one workspace. Open with :meth:`open`, close with :meth:`close`.

    Attributes:
        engine: what a mission is handed.
        places: where state lies.
        tools: the tool processes.
        pools: what missions use again.
        trust: whose commands may run.
        journal: what missions did; see :meth:`open_journal`.
        overviews: what ``status`` tells of the missions in it.
        figures: of the pools and the process.
        manifest: what this program made in ``.opencode``.
        cleaner: cleans it up; ``cleanup`` has it do so from time to time.
        shutdown: ends everything; whoever builds on the services registers with it.
        on_owned: called in a thread once this process owns the workspace's journal.
    """

    def __init__(
        self,
        engine: Engine,
        places: Places,
        tools: RustToolPool,
        journal: LazyJournal,
        pools: Pools,
        *,
        trust: TrustStore,
    ) -> None:
        self.engine = engine
        self.places = places
        self.tools = tools
        self.pools = pools
        self.trust = trust
        self.journal = journal
        self.overviews = Overviews(journal)
        self.figures = Figures(engine, tools, pools)
        engine.stats = self.figures.stats
        self.manifest = Manifest(places.project)
        self.cleaner = Cleaner(
            engine.workspace.root, self.manifest, lambda: engine.settings.cleanup, journal
        )
        self.cleanup = CleanupScheduler(self.cleaner, engine.pool.submit, engine.listener.on_notice)
        self.shutdown = ShutdownManager(
            last_resort=lambda: kill_children(engine.workspace.root, places.scratch)
        )
        self.on_owned: Callable[[], None] = lambda: None

    @classmethod
    async def open(
        cls,
        root: Path,
        settings: Settings,
        listener: Listener,
        *,
        applier: ApplierFactory | None = None,
        places: Places | None = None,
    ) -> Self:
        """Construct everything; see :meth:`Orchestrator.open`."""
        places = places or Places.of(root)
        workspace = await asyncio.to_thread(Workspace, root)
        program = tool_server()
        # What can fail comes before what would have to be ended then.
        contents = await asyncio.to_thread(ContentStore, places.contents)
        pools = Pools.of(pooling=settings.flags.task_pooling)
        pool = WorkStealingPool(settings.workers or None, stealing=settings.flags.work_stealing)
        tools = RustToolPool(
            program,
            workspace.root,
            persistent=settings.flags.rust_pool,
            max_processes=settings.tool_processes,
            buffers=pools.buffers,
        )
        trust = TrustStore(places.trust)
        code = CodeTools(tools)
        shell = Shell(
            workspace.root,
            trust,
            _confinement(program, settings),
            pools.buffers,
            scratch=places.scratch,
            passed=settings.pass_environment,
        )
        toolbox = Toolbox(code, Linter(workspace.root), Renamer(workspace, code), shell)
        disk = DiskApplier(workspace, pool.submit)
        redactor = Redactor(os.environ)
        journal = LazyJournal(places.project, pools.strings)
        engine = Engine(
            workspace=workspace,
            settings=settings,
            toolbox=toolbox,
            pool=pool,
            concurrency=_concurrency(settings.limits),
            contents=contents,
            applier=applier(workspace, disk) if applier else disk,
            reviewer=Reviewer(toolbox),
            listener=listener,
            record=lambda event: journal.append(redactor.record(event)),
            scratch=places.scratch,
        )
        services = cls(engine, places, tools, journal, pools, trust=trust)
        services._own()
        await services.figures.look()
        return services

    def _own(self) -> None:
        """Register everything, in the order of construction: it is closed in reverse."""
        engine = self.engine
        own = self.shutdown.register
        own("worker pool", engine.pool.close)
        own("tool processes", self.tools.close)
        own("overlays", _mirror_overlays(engine.workspace, self.tools))
        own("linter", engine.toolbox.lint.close)
        own("rename engine", engine.toolbox.rename.close)
        own("content store", engine.contents.close)
        own("journal", self.journal.close)
        own("overviews", self.overviews.close)
        own("manifest", self.manifest.close)
        own("cleanup", self.cleanup.stop)
        own("statistics", self.figures.stop)

    async def open_journal(self) -> None:
        """Open the journal for writing, unless it is; a damaged one is put aside, and told.

        Raises:
            JournalBusy: another live process works on this workspace.
            JournalError: it cannot be opened.
            DiskFull: there is hardly any room to write.
        """
        aside = await self.engine.pool.submit(self._own_journal)
        if aside is not None:
            self.engine.listener.on_notice(
                f"the journal was damaged and is now {aside.name}: a new one is begun, and "
                "missions before this one cannot be undone or resumed"
            )

    def _own_journal(self) -> Path | None:
        self.cleaner.require_room()
        aside = self.journal.open()
        if aside is not None:
            record(self.manifest, aside, Kind.HISTORY)
        try:
            self.overviews.read()  # before a mission runs; whoever asks is told of errors
        except JournalError as error:
            log.warning("what earlier missions did cannot be told: %s", error)
        self.on_owned()
        return aside

    def reconfigure(self, settings: Settings) -> None:
        """Take changed settings; pools keep their size until the next start."""
        self.engine.settings = settings
        self.engine.toolbox.shell.confinement = _confinement(tool_server(), settings)

    @contextmanager
    def mission_running(self, mission_id: str) -> Generator[None]:
        """Figures are sent while a mission runs; what undo needs of it is pinned."""
        self.figures.start()
        try:
            yield
        finally:
            self.figures.nudge()
            self.cleanup.nudge()
            self.engine.contents.unpin(mission_id)

    async def close(self) -> None:
        """End everything, in reverse order of construction; idempotent."""
        await self.shutdown.shutdown("closed")


def _confinement(program: Path, settings: Settings) -> Confinement:
    return Confinement(program, settings.confinement, network=settings.network)


def _concurrency(limits: Limits) -> ConcurrencyController:
    set_by_somebody = {
        role: limit
        for role, default in DEFAULT_LIMITS.items()
        if (limit := getattr(limits, role)) != default  # what nobody set may scale
    }
    return ConcurrencyController(
        roles=set_by_somebody, maximum=limits.total, wait_limit_s=limits.wait_s
    )


def _mirror_overlays(workspace: Workspace, tools: RustToolPool) -> Callable[[], None]:
    """Tell the tool processes of each unsaved text, once a change; answer how to stop."""

    def told(path: str) -> None:
        overlay = workspace.overlay(path)
        if overlay is None or overlay.text is None:
            tools.clear_overlay(path)
        else:
            tools.set_overlay(path, overlay.text)

    return workspace.subscribe(told)
