"""What the missions of a workspace run on.

It is constructed in the order of the layers, and closed in reverse by the ShutdownManager.

The journal is opened with the first mission that changes something, so that a look, a dry run
or a mistake leaves no trace in the workspace, and a server that does nothing keeps nobody out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import msgspec

from orchestrator_core.cleanup.cleaner import Cleaner
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import record
from orchestrator_core.cleanup.manifest import Manifest
from orchestrator_core.cleanup.scheduler import CleanupScheduler
from orchestrator_core.config import SETTINGS_FILES
from orchestrator_core.errors import JournalError, ToolUnavailable
from orchestrator_core.mission import journal_file
from orchestrator_core.mission.engine import Engine
from orchestrator_core.mission.lazy_journal import LazyJournal
from orchestrator_core.mission.overviews import Overviews
from orchestrator_core.mission.pending_hunks import reviewable
from orchestrator_core.mission.plan_writing import write_plan
from orchestrator_core.mission.pools import Pools
from orchestrator_core.mission.reviewer import Reviewer
from orchestrator_core.places import Places
from orchestrator_core.records import MissionStatus
from orchestrator_core.redaction import Redactor
from orchestrator_core.runtime.concurrency import DEFAULT_LIMITS, ConcurrencyController
from orchestrator_core.runtime.confinement import Confinement
from orchestrator_core.runtime.polling import AdaptivePoller, StuckWatch
from orchestrator_core.runtime.process import kill_children
from orchestrator_core.runtime.shutdown import ShutdownManager
from orchestrator_core.runtime.tool_pool import RustToolPool
from orchestrator_core.runtime.usage import ProcessUsage, UsageReader
from orchestrator_core.runtime.worker_pool import WorkStealingPool
from orchestrator_core.tools.code import CodeTools, FileText
from orchestrator_core.tools.lint import Linter
from orchestrator_core.tools.rename import Renamer
from orchestrator_core.tools.shell import Shell
from orchestrator_core.tools.toolbox import Toolbox
from orchestrator_core.tools.trust import TrustStore
from orchestrator_core.workspace.content_store import ContentStore
from orchestrator_core.workspace.disk_applier import DiskApplier
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.text_file import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from orchestrator_core.config import Settings
    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Listener
    from orchestrator_core.workspace.apply import Applier
    from orchestrator_core.workspace.draft import Draft

    ApplierFactory = Callable[[Workspace, Applier], Applier]

log = logging.getLogger(__name__)


def beside_python(name: str) -> Path | None:
    """A program that was installed with this one, or one on PATH; None if there is none."""
    suffix = ".exe" if sys.platform == "win32" else ""
    installed = Path(sys.executable).parent / (name + suffix)
    if installed.is_file():
        return installed
    found = shutil.which(name)
    return Path(found) if found else None


def tool_server() -> Path:
    """The Rust tool server.

    Raises:
        ToolUnavailable: it is not installed.
    """
    path = beside_python("opencode-tool-server")
    if path is None:
        raise ToolUnavailable(
            "opencode-tool-server is not installed: install opencode-orchestrator again "
            "(its wheel has it; building from source needs Rust)"
        )
    return path


def confinement(program: Path, settings: Settings) -> Confinement:
    """How the settings want commands confined."""
    return Confinement(program, settings.confinement, network=settings.network)


class Services:
    """The services of one workspace. Open with :meth:`open`, close with :meth:`close`."""

    def __init__(
        self,
        engine: Engine,
        places: Places,
        tools: RustToolPool,
        journal: LazyJournal,
        pools: Pools,
    ) -> None:
        self.engine = engine
        self.places = places
        self.tools = tools
        self.pools = pools
        self.shutdown = ShutdownManager(
            last_resort=lambda: kill_children(engine.workspace.root, places.scratch)
        )
        self._journal = journal
        self.overviews = Overviews(journal)
        self._trust = TrustStore(places.trust)
        self._usage = UsageReader()
        self._looking = asyncio.Lock()
        self._seen = engine.pool.stats()
        self._process = ProcessUsage(0, 0.0, 0, 0, 0)
        self._told: dict[str, object] = {}
        self._pool_told = self._seen
        self.on_owned: Callable[[], None] = lambda: None
        engine.stats = self.stats
        self.manifest = Manifest(places.project)
        self.cleaner = Cleaner(
            engine.workspace.root, self.manifest, lambda: engine.settings.cleanup, journal
        )
        self.cleanup = CleanupScheduler(self.cleaner, engine.pool.submit, engine.listener.on_notice)
        self._stuck = StuckWatch(engine.pool.running)
        self._poller = AdaptivePoller(
            self._tell_stats, self._load, adaptive=engine.settings.flags.adaptive_polling
        )

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
        flags, limits = settings.flags, settings.limits
        pools = Pools.of(pooling=flags.task_pooling)
        pool = WorkStealingPool(settings.workers or None, stealing=flags.work_stealing)
        tools = RustToolPool(
            program,
            workspace.root,
            persistent=flags.rust_pool,
            max_processes=settings.tool_processes,
            buffers=pools.buffers,
        )
        code = CodeTools(tools)
        toolbox = Toolbox(
            code=code,
            lint=Linter(workspace.root),
            rename=Renamer(workspace, code),
            shell=Shell(
                workspace.root,
                TrustStore(places.trust),
                confinement(program, settings),
                pools.buffers,
                scratch=places.scratch,
                passed=settings.pass_environment,
            ),
        )
        disk = DiskApplier(workspace, pool.submit)
        redactor = Redactor(os.environ)
        journal = LazyJournal(places.project, pools.strings)
        engine = Engine(
            workspace=workspace,
            settings=settings,
            toolbox=toolbox,
            pool=pool,
            concurrency=ConcurrencyController(
                roles={
                    role: limit
                    for role, default in DEFAULT_LIMITS.items()
                    if (limit := getattr(limits, role)) != default  # what nobody set may scale
                },
                maximum=limits.total,
                wait_limit_s=limits.wait_s,
            ),
            contents=contents,
            applier=applier(workspace, disk) if applier else disk,
            reviewer=Reviewer(toolbox),
            listener=listener,
            record=lambda event: journal.append(redactor.record(event)),
            scratch=places.scratch,
        )
        services = cls(engine, places, tools, journal, pools)
        services._own()
        await services.look()
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
        own("journal", self._journal.close)
        own("overviews", self.overviews.close)
        own("manifest", self.manifest.close)
        own("cleanup", self.cleanup.stop)
        own("statistics", self._poller.stop)

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
        aside = self._journal.open()
        if aside is not None:
            record(self.manifest, aside, Kind.HISTORY)
        self._read_overviews()
        self.on_owned()
        return aside

    def _read_overviews(self) -> None:
        """Read what ``status`` tells of missions before one runs; whoever asks is told of errors."""
        try:
            self.overviews.read()
        except JournalError as error:
            log.warning("what earlier missions did cannot be told: %s", error)

    def reconfigure(self, settings: Settings) -> None:
        """Take changed settings; pools keep their size until the next start."""
        self.engine.settings = settings
        self.engine.toolbox.shell.confinement = confinement(tool_server(), settings)

    def journalled(self) -> tuple[AnyEvent, ...]:
        """All events of the workspace, the oldest first. Blocks on the disk."""
        return self._journal.events()

    def events_of(self, mission_id: str | None) -> tuple[AnyEvent, ...]:
        """The events of a mission, by default the newest; none where there is no such. Blocks."""
        newest = (mission.mission_id for mission in self._journal.missions())
        name = next(newest, "") if mission_id is None else mission_id
        return self._journal.events(name)

    def cut_short(self, running: Collection[str]) -> list[list[AnyEvent]]:
        """The events of each mission without an end that is not ``running``, the newest first.

        Reads no more than the beginnings and ends of all others. Blocks on the disk.
        """
        return [
            list(self._journal.events(mission.mission_id))
            for mission in self._journal.missions()
            if mission.status is MissionStatus.RUNNING and mission.mission_id not in running
        ]

    def reviewable(self) -> dict[str, tuple[AnyEvent, ...]]:
        """The events of each mission that can be reviewed, the newest first. Blocks on the disk."""
        ids = reviewable(self._journal.missions(), self.engine.now())
        return {each: self._journal.events(each) for each in ids}

    def journal_mark(self) -> object:
        """Another value each time another process has written to the journal."""
        if self._journal.is_open:
            return None  # nobody else can
        file = self.places.project / journal_file.FILE
        seen = [signature(Path(f"{file}{part}")) for part in ("", "-wal")]
        # Whoever reads makes an empty log, and takes it away again.
        return [(each.size_bytes, each.modified_ns) for each in seen if each and each.size_bytes]

    def when_forgotten(self, listener: Callable[[Collection[str]], None]) -> None:
        """Have a listener told, in any thread, which missions were dropped from the journal."""
        known = self._journal.on_forgotten

        def forgotten(missions: Sequence[str]) -> None:
            known(missions)
            listener(missions)

        self._journal.on_forgotten = forgotten

    def owner(self) -> int | None:
        """The live process that works on the workspace. Blocks on the disk."""
        return self._journal.owner()

    @contextmanager
    def mission_running(self, mission_id: str) -> Generator[None]:
        """Figures are sent while a mission runs; what undo needs of it is pinned."""
        self._poller.start()
        try:
            yield
        finally:
            self._poller.nudge()
            self.cleanup.nudge()
            self.engine.contents.unpin(mission_id)

    async def diff(self, draft: Draft) -> str:
        """What a dry run would change, as a unified diff."""
        files = [
            FileText(change.path, change.before.text if change.before else None, change.after_text)
            for change in await self.engine.pool.submit(draft.changes)
        ]
        return await self.engine.toolbox.code.unified_diff(files) if files else ""

    async def write_plan(self, text: str) -> str:
        """Make a text the plan; what stood there goes into the archive. See :func:`write_plan`.

        Returns:
            Where that is now, relative to the workspace; empty if there was nothing.
        """
        kept = await write_plan(self.engine, text, self.places.project / "archive")
        for path in kept:
            await self.engine.pool.submit(record, self.manifest, path, Kind.HISTORY)
        return kept[-1].relative_to(self.engine.workspace.root).as_posix() if kept else ""

    def trust(self, *, revoke: bool) -> None:
        """Trust the workspace with the files that may name commands, or no longer. Blocks."""
        root = self.engine.workspace.root
        if revoke:
            self._trust.revoke(root)
            return
        files = (*SETTINGS_FILES, self.engine.settings.plan_file)
        self._trust.trust(root, [name for name in files if (root / name).is_file()])

    async def look(self) -> dict[str, object]:
        """The figures with the process's usage as it is now, which takes some milliseconds."""
        async with self._looking:
            self._process = await self.engine.pool.submit(self._usage.read)
        return self.stats()

    def stats(self) -> dict[str, object]:
        """The figures of ``$/orchestrator/poolStats``, with its keys.

        The process's usage is that of the last look at it.
        """
        pool, tools, usage = self.engine.pool.stats(), self.tools.stats(), self._process
        return {
            "workers": {
                "total": pool.total,
                "busy": pool.busy,
                "queued": pool.queued,
                "executed": pool.executed,
                "stolen": pool.stolen,
                "stealRate": round(pool.steal_rate, 4),
                "utilization": round(pool.utilization, 4),
            },
            **self.pools.stats(),
            "tools": {name: round(value, 3) for name, value in msgspec.to_builtins(tools).items()},
            "concurrency": {
                role: {"active": s.active, "limit": s.limit, "circuit": str(s.circuit)}
                for role, s in self.engine.concurrency.stats().items()
            },
            "process": {
                "rssBytes": usage.rss_bytes,
                "cpuPercent": usage.cpu_percent,
                "threads": usage.threads,
                "children": usage.children,
                "fds": usage.fds,
            },
        }

    async def close(self) -> None:
        """End everything, in reverse order of construction; idempotent."""
        await self.shutdown.shutdown("closed")

    def _load(self) -> float:
        """The pool's utilization since it was last asked."""
        before, self._seen = self._seen, self.engine.pool.stats()
        return self._seen.utilization_since(before)

    async def _tell_stats(self) -> None:
        """Tell the figures if work was done since they were told, with the utilization since then."""
        stats = await self.look()
        told, self._told = self._told, {**stats, "process": None}
        if self._told != told:
            before, self._pool_told = self._pool_told, self.engine.pool.stats()
            share = round(self._pool_told.utilization_since(before), 4)
            workers = cast("dict[str, object]", stats["workers"])
            self.engine.listener.on_stats({**stats, "workers": {**workers, "utilization": share}})
        for task in self._stuck.look():
            self.engine.listener.on_notice(
                f"{task.name} has run for {task.running_s:.0f} s and may be stuck: /stop ends the "
                "mission that waits for it"
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
