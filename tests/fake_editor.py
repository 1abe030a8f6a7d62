"""An editor without a screen: buffers, edits with versions, progress, messages.

Installed on a pygls client, it answers what a server asks of an editor the way real ones do:
edits go into open buffers first, ``didChange`` follows, files that are not open are changed on
disk (as editors do that save what they edited), and versions that do not fit are refused.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from lsprotocol import types as lsp
from pygls.uris import from_fs_path, to_fs_path

from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pygls.lsp.client import LanguageClient

FIXTURES = Path(__file__).parents[1] / "fixtures"
EDITORS = sorted(path.stem for path in (FIXTURES / "editors").glob("*.json"))
"""The editors whose InitializeParams are known."""


class Buffer:
    """An open document."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.version = 1


class FakeEditor:
    """Behaves like an editor on ``client``; what it saw is in its attributes.

    Attributes:
        edits: every ``workspace/applyEdit`` that it was asked for.
        refuse: answer ``applied: false`` with this reason instead of applying.
        choose: title to pick when asked by ``window/showMessageRequest``; None picks nothing.
        preview: what the person leaves of an edit whose parts ask for consent.
        asked: called when the person is asked something, before ``choose`` is looked at.
        undisclosed: apply edits without sending ``didChange``, as some test clients do.
        typed: what the person types when asked for a text; None is Escape.
    """

    def __init__(self, client: LanguageClient, root: Path) -> None:
        self.client = client
        self.root = root
        self.buffers: dict[str, Buffer] = {}
        self.edits: list[lsp.ApplyWorkspaceEditParams] = []
        self.progress: list[tuple[Any, Any]] = []
        self.stats: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.questions: list[lsp.ShowMessageRequestParams] = []
        self.messages: list[lsp.ShowMessageParams] = []
        self.shown: list[str] = []
        self.selections: list[lsp.Range | None] = []
        self.prompts: list[str] = []
        self.typed: list[str | None] = []
        self.capabilities = lsp.ClientCapabilities()
        self.refreshed: list[str] = []
        self.diagnostics: dict[str, list[lsp.Diagnostic]] = {}
        self.refuse: str | None = None
        self.choose: str | None = None
        self.undisclosed = False
        self.preview: Callable[[lsp.WorkspaceEdit], lsp.WorkspaceEdit] = lambda edit: edit
        self.asked: Callable[[lsp.ShowMessageRequestParams], object] = lambda _: None
        self.handled: set[str] = set()
        self.encoding: lsp.PositionEncodingKind | str = lsp.PositionEncodingKind.Utf16
        self._changed = asyncio.Event()
        self._install()

    def uri(self, path: str) -> str:
        """The URI of a path below the root."""
        uri = from_fs_path(str(self.root / path))
        assert uri is not None
        return uri

    def open(self, path: str, text: str | None = None) -> None:
        """Open a file; ``text`` stands for unsaved changes that a person has made."""
        saved = (self.root / path).read_bytes().decode() if (self.root / path).exists() else ""
        self.buffers[self.uri(path)] = Buffer(saved)
        item = lsp.TextDocumentItem(self.uri(path), "python", 1, saved)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        if text is not None:
            self.type(path, text)

    def type(self, path: str, text: str) -> None:
        """Replace the whole text of a buffer, without saving."""
        buffer = self.buffers[self.uri(path)]
        buffer.text = text
        self._tell(self.uri(path), [lsp.TextDocumentContentChangeWholeDocument(text)])

    def text(self, path: str) -> str:
        """What a person sees of a file: the buffer, else the disk."""
        buffer = self.buffers.get(self.uri(path))
        return buffer.text if buffer else (self.root / path).read_bytes().decode()

    async def execute(self, command: str, *arguments: object, token: str | None = None) -> Any:
        """Run a command of the server."""
        params = lsp.ExecuteCommandParams(
            command=command, arguments=list(arguments), work_done_token=token
        )
        return await self.client.workspace_execute_command_async(params)

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The server's process."""
        server = self.client._server
        assert server is not None
        return server

    async def until(self, condition: Any, timeout_s: float = 60.0) -> Any:
        """Wait until ``condition()`` is true, looking whenever something arrives."""
        async with asyncio.timeout(timeout_s):
            while not (found := condition()):
                await self.changed()
        return found

    async def changed(self) -> None:
        """Wait until something arrives."""
        self._changed.clear()
        await self._changed.wait()

    async def event(self, kind: str, mission: str | None = None) -> dict[str, Any]:
        """Wait for a mission event."""
        return await self.until(
            lambda: next(
                (e for e in self.events if e["kind"] == kind and mission in (None, e["missionId"])),
                None,
            )
        )

    def _install(self) -> None:
        converter: Any = self.client.protocol._converter

        def action(sent: dict[str, Any], _: Any) -> Any:
            # lsprotocol takes every code action with a command for a command.
            is_command = isinstance(sent.get("command"), str)
            return converter.structure(sent, lsp.Command if is_command else lsp.CodeAction)

        either = Union[lsp.Command, lsp.CodeAction]  # noqa: UP007 - the very key of theirs
        converter.register_structure_hook(either, action)

        def feature(method: str) -> Any:
            self.handled.add(method)
            return self.client.feature(method)

        @feature(lsp.WORKSPACE_APPLY_EDIT)
        def apply_edit(params: lsp.ApplyWorkspaceEditParams) -> lsp.ApplyWorkspaceEditResult:
            self.edits.append(params)
            self._changed.set()
            edit = self.preview(params.edit) if params.edit.change_annotations else params.edit
            reason = self.refuse or self._apply(edit)
            return lsp.ApplyWorkspaceEditResult(applied=reason is None, failure_reason=reason)

        @feature(lsp.CLIENT_REGISTER_CAPABILITY)
        def register(_: lsp.RegistrationParams) -> None:
            return None

        @feature(lsp.WINDOW_WORK_DONE_PROGRESS_CREATE)
        def create(_: lsp.WorkDoneProgressCreateParams) -> None:
            return None

        @feature(lsp.WINDOW_SHOW_MESSAGE_REQUEST)
        def ask(params: lsp.ShowMessageRequestParams) -> lsp.MessageActionItem | None:
            self.questions.append(params)
            self._changed.set()
            self.asked(params)
            actions = params.actions or []
            return next((action for action in actions if action.title == self.choose), None)

        @feature(lsp.WINDOW_SHOW_DOCUMENT)
        def show(params: lsp.ShowDocumentParams) -> lsp.ShowDocumentResult:
            self.shown.append(params.uri)
            self.selections.append(params.selection)
            return lsp.ShowDocumentResult(success=True)

        @feature("orchestrator/input")
        def ask_text(params: Any) -> str | None:
            self.prompts.append(plain(params)["prompt"])
            return self.typed.pop(0)

        @feature(lsp.PROGRESS)
        def progress(params: lsp.ProgressParams) -> None:
            self.progress.append((params.token, plain(params.value)))
            self._changed.set()

        @feature(lsp.WINDOW_SHOW_MESSAGE)
        def message(params: lsp.ShowMessageParams) -> None:
            self.messages.append(params)
            self._changed.set()

        for refresh in (
            lsp.WORKSPACE_CODE_LENS_REFRESH,
            lsp.WORKSPACE_INLAY_HINT_REFRESH,
            lsp.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH,
        ):

            @feature(refresh)
            def refreshed(_: Any, method: str = refresh) -> None:
                self.refreshed.append(method)
                self._changed.set()

        @feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def diagnosed(params: lsp.PublishDiagnosticsParams) -> None:
            self.diagnostics[params.uri] = list(params.diagnostics)
            self._changed.set()

        @feature("$/orchestrator/poolStats")
        def stats(params: Any) -> None:
            self.stats.append(plain(params))
            self._changed.set()

        @feature("$/orchestrator/missionEvent")
        def event(params: Any) -> None:
            self.events.append(plain(params))
            self._changed.set()

    def _apply(self, edit: lsp.WorkspaceEdit) -> str | None:
        """Apply an edit whole or not at all; answer why not."""
        steps: list[Any] = list(edit.document_changes or [])
        for uri, edits in (edit.changes or {}).items():
            document = lsp.OptionalVersionedTextDocumentIdentifier(uri=uri, version=None)
            steps.append(lsp.TextDocumentEdit(text_document=document, edits=list(edits)))
        for step in steps:
            if isinstance(step, lsp.TextDocumentEdit) and step.text_document.version is not None:
                buffer = self.buffers.get(step.text_document.uri)
                if buffer is None or buffer.version != step.text_document.version:
                    have = buffer.version if buffer else None
                    return f"edit is for version {step.text_document.version}, not {have}"
        for step in steps:
            self._step(step)
        return None

    def _step(self, step: Any) -> None:
        match step:
            case lsp.TextDocumentEdit():
                self._edit(step.text_document.uri, step.edits)
            case lsp.CreateFile():
                _path(step.uri).parent.mkdir(parents=True, exist_ok=True)
                _path(step.uri).touch()
            case lsp.DeleteFile():
                _path(step.uri).unlink()
            case lsp.RenameFile():
                _path(step.new_uri).parent.mkdir(parents=True, exist_ok=True)
                _path(step.old_uri).rename(_path(step.new_uri))
            case _:
                raise AssertionError(step)

    def _edit(self, uri: str, edits: Sequence[Any]) -> None:
        buffer = self.buffers.get(uri)
        text = buffer.text if buffer else _path(uri).read_bytes().decode()
        index = LineIndex(text, self.encoding)
        spans = sorted(
            ((index.offset(e.range.start), index.offset(e.range.end), e.new_text) for e in edits),
            reverse=True,
        )
        for start, end, new in spans:
            text = text[:start] + new + text[end:]
        if buffer is None:
            _path(uri).write_bytes(text.encode())
            return
        buffer.text = text
        if not self.undisclosed:
            self._tell(uri, [lsp.TextDocumentContentChangeWholeDocument(text)])

    def _tell(self, uri: str, changes: list[Any]) -> None:
        buffer = self.buffers[uri]
        buffer.version += 1
        document = lsp.VersionedTextDocumentIdentifier(version=buffer.version, uri=uri)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, changes))


def _path(uri: str) -> Path:
    path = to_fs_path(uri)
    assert path is not None
    return Path(path)


def plain(value: Any) -> Any:
    """pygls makes namedtuples of untyped params; make them dicts again."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
