"""One editor's session: its workspace, its settings, and the engine that serves both.

The engine's modules are imported and constructed after ``initialized``, off the event loop, so
that the answer to ``initialize`` waits for none of it. A command that comes earlier waits for
the engine; documents that were opened earlier are handed to it when it is there.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lsprotocol import types as lsp
from pygls.uris import to_fs_path

from orchestrator_core.config import InvalidSetting, Settings, load
from orchestrator_core.errors import WorkspaceError

if TYPE_CHECKING:
    from orchestrator_core.mission.engine import Listener
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_server.editor import EditorApplier
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)

NO_WORKSPACE = "no folder is open: open the folder that the task is about, then run it again"


class EditorSession:
    """What the features share. Lives on the event loop; not thread-safe."""

    def __init__(self, server: HardenedServer, listener: Listener) -> None:
        self.server = server
        self.root: Path | None = None
        self.settings = Settings()
        self._editor_settings: dict[str, Any] = {}
        self._listener = listener
        self._uris: dict[str, str] = {}  # of open documents below the root, by path
        self._opening: asyncio.Task[Orchestrator] | None = None

    def begin(self, params: lsp.InitializeParams) -> None:
        """Take what ``initialize`` says: the folder and the editor's settings."""
        folders = params.workspace_folders or []
        uri = folders[0].uri if folders else params.root_uri
        path = to_fs_path(uri) if uri else params.root_path
        self.root = Path(path) if path else None
        self._editor_settings = _section(params.initialization_options)

    def warm_up(self) -> None:
        """Start to construct the engine, in the background."""
        if self._opening is None and self.root is not None:
            self._opening = asyncio.ensure_future(self._open(self.root))
            # A failure is told to whoever runs a command; here it must only not go unseen.
            self._opening.add_done_callback(_log_failure)

    async def orchestrator(self) -> Orchestrator:
        """The engine, as soon as it is there.

        Raises:
            WorkspaceError: no folder is open, or it cannot be read.
        """
        if self.root is None:
            raise WorkspaceError(NO_WORKSPACE)
        self.warm_up()
        assert self._opening is not None
        try:
            return await asyncio.shield(self._opening)
        except WorkspaceError:
            self._opening = None  # the folder may be there the next time
            raise

    @property
    def opened(self) -> Orchestrator | None:
        """The engine if it is there already."""
        opening = self._opening
        if opening is None or not opening.done() or opening.cancelled() or opening.exception():
            return None
        return opening.result()

    async def reconfigure(self, values: object) -> None:
        """Take settings that the editor changed."""
        self._editor_settings = _section(values)
        self.settings, invalid = await asyncio.to_thread(self._load)
        self.report(invalid)
        if (engine := self.opened) is not None:
            engine.reconfigure(self.settings)

    def report(self, invalid: list[InvalidSetting]) -> None:
        """Tell the person which settings were replaced by their defaults."""
        for problem in invalid:
            where = f"{problem.source}: orchestrator.{problem.key}".rstrip(".")
            self.server.window_show_message(
                lsp.ShowMessageParams(
                    type=lsp.MessageType.Warning,
                    message=f"{where}: {problem.message}; the default is used",
                )
            )

    async def close(self, reason: str) -> None:
        """Stop missions and close the engine; called once, at shutdown."""
        log.info("closing: %s", reason)
        if self._opening is None:
            return
        try:
            engine = await self._opening
        except Exception:  # noqa: BLE001 - it was logged and reported when it happened
            return
        await engine.close()

    def _load(self) -> tuple[Settings, list[InvalidSetting]]:
        return load(self.root, editor=self._editor_settings, environment=os.environ)

    async def _open(self, root: Path) -> Orchestrator:
        self.settings, invalid = await asyncio.to_thread(self._load)
        self.report(invalid)
        orchestrator, applier = await asyncio.to_thread(_import_engine)
        engine = await orchestrator.open(
            root,
            self.settings,
            self._listener,
            applier=lambda workspace, disk: applier(self.server, workspace, disk, self.uri),
        )
        for path, uri in self._uris.items():
            document = self.server.workspace.get_text_document(uri)
            engine.workspace.opened(path, document.source, document.version)
        return engine

    def tell(self, uri: str, *, opened: bool = False) -> None:
        """Hand the engine the text that an open document has now."""
        path = self.relative(uri)
        if path is None:
            return
        if opened:
            self._uris[path] = uri
        if self.opened is not None:
            document = self.server.workspace.get_text_document(uri)
            self.opened.workspace.changed(path, document.source, document.version)

    def forget(self, uri: str) -> None:
        """The editor closed a document."""
        path = self.relative(uri)
        if path is not None:
            self._uris.pop(path, None)
            if self.opened is not None:
                self.opened.workspace.closed(path)

    def uri(self, path: str) -> str:
        """The URI of a path below the root, as the editor spells it where it has it open."""
        assert self.root is not None
        return self._uris.get(path) or (self.root / path).as_uri()

    def relative(self, uri: str) -> str | None:
        """The path of a document below the root, or None where it lies elsewhere."""
        path = to_fs_path(uri) if uri.startswith("file:") else None
        if path is None or self.root is None:
            return None
        try:
            return Path(path).relative_to(self.root).as_posix()
        except ValueError:
            return None


def _section(values: object) -> dict[str, Any]:
    """Settings may come bare or below ``orchestrator``."""
    if not isinstance(values, dict):
        return {}
    given = cast("dict[str, Any]", values)
    section: Any = given.get("orchestrator", given)
    return dict(cast("dict[str, Any]", section)) if isinstance(section, dict) else {}


def _import_engine() -> tuple[type[Orchestrator], type[EditorApplier]]:
    from orchestrator_core.orchestrator import Orchestrator  # noqa: PLC0415 - after initialize
    from orchestrator_server.editor import EditorApplier  # noqa: PLC0415

    return Orchestrator, EditorApplier


def _log_failure(opening: asyncio.Task[Any]) -> None:
    if not opening.cancelled() and (error := opening.exception()) is not None:
        log.error("the engine could not be started", exc_info=error)
