"""One editor's session: the folders that it has open, and which of them something is about.

Each folder has an engine of its own, with its own settings, journal and missions: a mission
belongs to one folder. When the editor closes a folder its missions are cancelled, like by
``/stop``, and the person is told.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.uris import to_fs_path

from orchestrator_core.config import SETTINGS_FILES
from orchestrator_core.errors import RequestError, WorkspaceError
from orchestrator_server.diff_view import DiffView
from orchestrator_server.folder import Folder
from orchestrator_server.settings_report import SettingsReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.mission.engine import Listener
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.settings_sources import InvalidSetting
    from orchestrator_server.editor_model import EditorModel
    from orchestrator_server.log import ServerLog
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)

NO_WORKSPACE = "no folder is open: open the folder that the task is about, then run it again"
SECTION = "orchestrator"
MODEL_OFFER = "languageModel"
"""In ``initializationOptions``: the client answers ``orchestrator/lm.chat``."""

INPUT_OFFER = "input"
"""In ``initializationOptions``: the client answers ``orchestrator/input``."""


class EditorSession:
    """What the features share. Lives on the event loop; not thread-safe.

    Args:
        server: the conversation with the editor.
        server_log: the process's log.
        listener: makes the listener of a folder's missions.

    Attributes:
        diffs: shows diffs to the person.
        offers_input: whether the editor can ask for a text (:mod:`orchestrator_server.here`).
    """

    def __init__(
        self, server: HardenedServer, server_log: ServerLog, listener: Callable[[Path], Listener]
    ) -> None:
        self.server = server
        self.folders: dict[Path, Folder] = {}
        self._log = server_log
        self._listener = listener
        self._editor_settings: dict[str, Any] = {}
        self.diffs = DiffView(server)
        self._report = SettingsReport(server)
        self._last: Path | None = None  # the folder that a person worked in last
        self._closing: set[asyncio.Task[None]] = set()
        self.offers_input = False
        self._offers_model = False
        self._model: EditorModel | None = None

    def begin(self, params: lsp.InitializeParams) -> None:
        """Take what ``initialize`` says: the folders and the editor's settings."""
        uris = [folder.uri for folder in params.workspace_folders or ()]
        paths = [to_fs_path(uri) for uri in uris or [params.root_uri] if uri]
        for path in paths or [params.root_path]:
            if path:
                self._add(Path(path))
        options = params.initialization_options
        if isinstance(options, dict):
            options = dict(cast("dict[str, Any]", options))
            self._offers_model = bool(options.pop(MODEL_OFFER, False))
            self.offers_input = bool(options.pop(INPUT_OFFER, False))
        self._editor_settings = _section(options)

    def hear_model(self, params: object) -> None:
        """The editor's model has said a piece of an answer."""
        if self._model is not None:
            self._model.on_delta(params)

    async def offer_model(self, params: object) -> None:
        """The editor has a model from now on, or none any more."""
        told = cast("dict[str, Any]", params) if isinstance(params, dict) else {}
        self._offers_model = told.get("offered") is True
        for folder in list(self.folders.values()):
            with suppress(WorkspaceError):  # told to whoever wants something of that folder
                (await folder.orchestrator()).offer_model(self.model())

    def model(self) -> EditorModel | None:
        """The editor's own model, if it offers one."""
        if self._offers_model and self._model is None:
            from orchestrator_server.editor_model import EditorModel  # noqa: PLC0415 - only then

            self._model = EditorModel(self.server)
        return self._model if self._offers_model else None

    def warm_up(self) -> None:
        """Start to construct the engines, in the background."""
        for folder in self.folders.values():
            folder.warm_up(self._editor_settings)

    def change_folders(self, event: lsp.WorkspaceFoldersChangeEvent) -> list[Folder]:
        """The editor opened or closed folders; answers the new ones, which are being opened."""
        for removed in event.removed:
            path = to_fs_path(removed.uri)
            folder = self.folders.pop(Path(path), None) if path else None
            if folder is not None:
                closing = asyncio.ensure_future(self._close_removed(folder, removed.name))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        paths = [to_fs_path(added.uri) for added in event.added]
        added = [self._add(Path(path)) for path in paths if path and Path(path) not in self.folders]
        for folder in added:
            folder.warm_up(self._editor_settings)
        return added

    def folder(self, name: str | None = None) -> Folder:
        """The folder that a request is about.

        Args:
            name: its name, path or URI; by default the only one, or the one that the person
                worked in last.

        Raises:
            WorkspaceError: no folder is open.
            RequestError: no folder has that name.
        """
        if name is None:
            last = self._last if self._last in self.folders else next(iter(self.folders), None)
            if last is None:
                raise WorkspaceError(NO_WORKSPACE)
            return self.folders[last]
        for root, folder in self.folders.items():
            if name in (root.name, str(root), root.as_uri()):
                return folder
        known = ", ".join(root.name for root in self.folders) or "none"
        raise RequestError(f"there is no folder {name!r} in this editor; open: {known}")

    async def orchestrator(self, name: str | None = None) -> Orchestrator:
        """The engine of a folder, as soon as it is there; see :meth:`folder`.

        Raises:
            WorkspaceError: no folder is open, or it cannot be read.
            RequestError: no folder has that name.
        """
        return await self.folder(name).orchestrator()

    @property
    def opened(self) -> list[Orchestrator]:
        """The engines that are there already, that of :meth:`folder` first."""
        first = self._last
        folders = sorted(self.folders.values(), key=lambda folder: folder.root != first)
        return [engine for folder in folders if (engine := folder.opened) is not None]

    async def reconfigure(self, values: object) -> None:
        """Take settings that the editor changed; editors that do not send them are asked."""
        if values is None or values == {}:
            values = await self._ask_settings()
        self._editor_settings = _section(values)
        for folder in list(self.folders.values()):
            await folder.reconfigure(self._editor_settings)

    async def close(self, reason: str) -> None:
        """Stop missions and close the engines; called once, at shutdown."""
        log.info("closing: %s", reason)
        folders, self.folders = list(self.folders.values()), {}
        closing = [folder.close("the server is shutting down") for folder in folders]
        results = await asyncio.gather(*closing, *self._closing, return_exceptions=True)
        self.diffs.close()
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed

    def place(self, uri: str) -> tuple[Folder, str] | None:
        """The folder of a document and its path there; None where it lies elsewhere.

        Where folders lie in one another, it belongs to the innermost.
        """
        found = to_fs_path(uri) if uri.startswith("file:") else None
        if found is None:
            return None
        path = Path(found)
        for root in sorted(self.folders, key=lambda root: -len(root.parts)):
            if path.is_relative_to(root):
                return self.folders[root], path.relative_to(root).as_posix()
        return None

    def uri_of(self, engine: Orchestrator, path: str) -> str:
        """The URI of a path of an engine's folder."""
        folder = next((each for each in self.folders.values() if each.opened is engine), None)
        if folder is None:
            raise WorkspaceError(f"the folder of {path} is no longer open")
        return folder.uri(path)

    def tell(self, uri: str, *, opened: bool = False) -> None:
        """Hand the engine of a document's folder the text that it has now."""
        if (place := self.place(uri)) is not None:
            folder, path = place
            self._last = folder.root
            folder.tell(path, uri, opened=opened)

    async def saved(self, uri: str) -> None:
        """The editor wrote a document to disk: perhaps one with settings."""
        if (place := self.place(uri)) is not None:
            folder, path = place
            folder.saved(path)
            if path in SETTINGS_FILES:
                await folder.reconfigure(self._editor_settings)

    def stop(self, mission: str | None, reason: str) -> list[str]:
        """Ask a mission, or all of all folders, to end.

        Returns:
            The ids of those that were running.

        Raises:
            RequestError: no mission has that id.
        """
        if mission is None:
            return [each for engine in self.opened for each in engine.stop(None, reason)]
        for engine in self.opened:
            if engine.runs(mission):
                return engine.stop(mission, reason)
        raise RequestError(f"no mission {mission} is running here")

    def forget(self, uri: str) -> None:
        """The editor closed a document."""
        if (place := self.place(uri)) is not None:
            place[0].forget(place[1])

    def _add(self, root: Path) -> Folder:
        listener = self._listener(root)
        folder = Folder(
            self.server,
            root,
            listener,
            self._log,
            self._configured,
            model=self.model,
            diffs=self.diffs,
        )
        self.folders[root] = folder
        return folder

    def _configured(self, folder: Folder, invalid: list[InvalidSetting]) -> None:
        """A folder's settings were read."""
        self._report.show(folder.root, invalid)
        self._log.set_level(*(known.settings.log_level for known in self.folders.values()))

    async def _close_removed(self, folder: Folder, name: str) -> None:
        stopped = await folder.close(f"the folder {name} was closed in the editor")
        if stopped:
            missions = "a mission was" if stopped == 1 else f"{stopped} missions were"
            self.server.window_show_message(
                lsp.ShowMessageParams(
                    type=lsp.MessageType.Warning,
                    message=f"Orchestrator: {missions} stopped, for the folder {name} was closed",
                )
            )

    async def _ask_settings(self) -> object:
        workspace = self.server.client_capabilities.workspace
        if workspace is None or not workspace.configuration:
            return None
        items = [lsp.ConfigurationItem(section=SECTION)]
        try:
            answers = await self.server.workspace_configuration_async(
                lsp.ConfigurationParams(items)
            )
        except JsonRpcException as error:
            log.info("the editor does not tell its settings: %s", error)
            return None
        return answers[0] if answers else None


def _section(values: object) -> dict[str, Any]:
    """Settings may come bare or below ``orchestrator``."""
    if not isinstance(values, dict):
        return {}
    given = cast("dict[str, Any]", values)
    section: Any = given.get(SECTION, given)
    return dict(cast("dict[str, Any]", section)) if isinstance(section, dict) else {}
