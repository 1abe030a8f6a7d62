"""One folder that is open in the editor: its settings, its documents, and its engine.

The engine's modules are imported and constructed in the background, off the event loop, so that
no answer waits for them but a command's. Documents that were opened earlier are handed to the
engine when it is there.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from orchestrator_core.config import Settings
from orchestrator_core.errors import OrchestratorError, WorkspaceError
from orchestrator_core.places import own_settings
from orchestrator_server.log import WorkspaceLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orchestrator_core.mission.engine import Listener
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.settings_sources import InvalidSetting
    from orchestrator_server.diff_view import DiffView
    from orchestrator_server.editor import EditorApplier
    from orchestrator_server.editor_model import EditorModel
    from orchestrator_server.log import ServerLog
    from orchestrator_server.permission_question import EditorAsker
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)


class Folder:
    """One workspace folder. Lives on the event loop; not thread-safe.

    Args:
        server: whose editor it is open in.
        root: the folder.
        listener: is told what its missions do.
        server_log: the process's log, written to the workspace once that is ours.
        report: is told which settings were replaced by their defaults, after each look.
        model: answers the editor's own model, if it offers one.
        diffs: shows what an edit would change, to who is asked.
    """

    def __init__(
        self,
        server: HardenedServer,
        root: Path,
        listener: Listener,
        server_log: ServerLog,
        report: Callable[[Folder, list[InvalidSetting]], None],
        *,
        model: Callable[[], EditorModel | None],
        diffs: DiffView,
    ) -> None:
        self.root = root
        self.settings = Settings()
        self._server = server
        self._listener = listener
        self._report = report
        self._model = model
        self._diffs = diffs
        self._editor_settings: Mapping[str, Any] = {}
        self._uris: dict[str, str] = {}  # of open documents below the root, by path
        self._opening: asyncio.Task[Orchestrator] | None = None
        self._closing = False
        self._settling = asyncio.Lock()
        self._log = WorkspaceLog(server_log, root)

    def warm_up(self, editor_settings: Mapping[str, Any]) -> None:
        """Start to construct the engine, in the background."""
        self._editor_settings = editor_settings
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
            # A failure is told to whoever runs a command; here it must only not go unseen.
            self._opening.add_done_callback(_log_failure)

    async def orchestrator(self) -> Orchestrator:
        """The engine, as soon as it is there, with the settings that were sent before.

        Raises:
            WorkspaceError: the folder cannot be read, or is being closed.
        """
        if self._closing:
            raise WorkspaceError(f"{self.root} is no longer open")
        self.warm_up(self._editor_settings)
        assert self._opening is not None
        try:
            engine = await asyncio.shield(self._opening)
        except WorkspaceError:
            self._opening = None  # the folder may be there the next time
            raise
        async with self._settling:
            if engine.settings is not self.settings:
                engine.reconfigure(self.settings)
        return engine

    @property
    def opened(self) -> Orchestrator | None:
        """The engine if it is there already."""
        opening = self._opening
        if opening is None or not opening.done() or opening.cancelled() or opening.exception():
            return None
        return opening.result()

    async def reconfigure(self, editor_settings: Mapping[str, Any]) -> None:
        """Take settings that the editor, or a file of the workspace, changed."""
        async with self._settling:
            self._editor_settings = editor_settings
            await self._load()
            if (engine := self.opened) is not None:
                engine.reconfigure(self.settings)

    async def close(self, reason: str) -> int:
        """Stop the missions and close the engine; answers how many missions were stopped."""
        self._closing = True
        if self._opening is None:
            return 0
        try:
            engine = await self._opening
        except Exception:  # noqa: BLE001 - it was logged and reported when it happened
            return 0
        stopped = engine.stop(None, reason)
        try:
            await engine.close()
        finally:
            self._log.close()
        return len(stopped)

    async def _load(self) -> None:
        self.settings, invalid = await asyncio.to_thread(
            _read_settings, self.root, self._editor_settings
        )
        self._report(self, invalid)

    async def _open(self) -> Orchestrator:
        await self._load()
        orchestrator, applier, asker = await asyncio.to_thread(_import_engine)
        engine = await orchestrator.open(
            self.root,
            self.settings,
            self._listener,
            applier=lambda workspace, disk: applier(
                self._server, workspace, disk, self.uri, self._diffs
            ),
            on_owned=self._log.open,
            editor_model=self._model(),
            asker=asker(self._server),
        )
        for path, uri in self._uris.items():
            document = self._server.workspace.get_text_document(uri)
            engine.workspace.opened(path, document.source, document.version)
        return engine

    def tell(self, path: str, uri: str, *, opened: bool = False) -> None:
        """Hand the engine the text that an open document has now."""
        if opened:
            self._uris[path] = uri
        if self.opened is not None:
            document = self._server.workspace.get_text_document(uri)
            self.opened.workspace.changed(path, document.source, document.version)

    def saved(self, path: str) -> None:
        """The editor wrote a document to disk."""
        if self.opened is not None:
            self.opened.workspace.saved(path)

    def forget(self, path: str) -> None:
        """The editor closed a document."""
        self._uris.pop(path, None)
        if self.opened is not None:
            self.opened.workspace.closed(path)

    def uri(self, path: str) -> str:
        """The URI of a path below the root, as the editor spells it where it has it open."""
        return self._uris.get(path) or (self.root / path).as_uri()


def _read_settings(root: Path, editor: Mapping[str, Any]) -> tuple[Settings, list[InvalidSetting]]:
    from orchestrator_core.settings_sources import load  # noqa: PLC0415 - after initialize

    return load(root, editor=editor, person=own_settings(), environment=os.environ)


def _import_engine() -> tuple[type[Orchestrator], type[EditorApplier], type[EditorAsker]]:
    from orchestrator_core.orchestrator import Orchestrator  # noqa: PLC0415 - after initialize
    from orchestrator_server.editor import EditorApplier  # noqa: PLC0415
    from orchestrator_server.permission_question import EditorAsker  # noqa: PLC0415

    return Orchestrator, EditorApplier, EditorAsker


def _log_failure(opening: asyncio.Task[Any]) -> None:
    if opening.cancelled() or (error := opening.exception()) is None:
        return
    told = None if isinstance(error, OrchestratorError) else error
    log.error("the engine could not be started: %s", error, exc_info=told)
