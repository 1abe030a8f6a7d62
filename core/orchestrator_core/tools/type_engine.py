"""What names mean: a session with ``ty server`` over the workspace's texts as they are now.

A session lives for one operation. Starting one takes some 50 ms; keeping one would mean to tell
it of every file that anything changes on disk, and a rename from stale knowledge breaks code.

The methods block and are meant for a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec import Struct

from orchestrator_core.errors import ToolError, ToolTimeout
from orchestrator_core.primitives.text_lines import TextLines
from orchestrator_core.tools.language_server import LanguageServer
from orchestrator_core.tools.positions import Position, ProtocolEdit, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from orchestrator_core.runtime.future import Future

T = TypeVar("T")

CLASS, METHOD, PROPERTY, FIELD, CONSTRUCTOR, FUNCTION = 5, 6, 7, 8, 9, 12
_MOST_CLASSES = 2000


class Place(Struct, frozen=True, order=True):
    """Where a name stands: a file of the workspace and an offset in characters."""

    path: str
    offset: int


class Node(Struct, frozen=True, rename="camel"):
    """A definition in a file's outline, with those inside it."""

    name: str
    kind: int
    range: Range
    selection_range: Range
    children: tuple[Node, ...] = ()


class ClassItem(Struct, frozen=True, rename="camel"):
    """A class, as the server's type hierarchy knows it."""

    name: str
    kind: int
    uri: str
    range: Range
    selection_range: Range
    detail: str | None = None


class _Location(Struct, frozen=True):
    uri: str
    range: Range


class _DocumentId(Struct, frozen=True):
    uri: str


class _DocumentEdits(Struct, frozen=True, rename="camel"):
    text_document: _DocumentId
    edits: tuple[ProtocolEdit, ...]


class _WorkspaceEdit(Struct, frozen=True, rename="camel"):
    document_changes: tuple[_DocumentEdits, ...] = ()
    changes: dict[str, tuple[ProtocolEdit, ...]] = {}


class TypeEngine:
    """One session; a context manager for one thread (``stop`` may come from another).

    Args:
        ty: the program.
        root: the workspace.
        read: the text of a file as it is now.
        unsaved: texts that differ from the disk's; ``None`` for files that are gone.
        sources: folders that imports are resolved from; the server's own choice by default.
        timeout_s: the deadline of each answer.
    """

    def __init__(
        self,
        ty: str,
        root: Path,
        read: Callable[[str], str],
        unsaved: Mapping[str, str | None],
        *,
        sources: Sequence[Path] = (),
        timeout_s: float = 60.0,
    ) -> None:
        self._read = read
        self._timeout_s = timeout_s
        self._known_lines: dict[str, TextLines] = {}
        self._texts: dict[str, str] = {}
        self._open: set[str] = set()
        environment = {"environment": {"root": [str(source) for source in sources]}}
        settings = {"configuration": environment} if sources else {}
        self._server = LanguageServer([ty, "server"], root, settings=settings)
        for path, text in unsaved.items():
            if path.endswith((".py", ".pyi")):
                self.set_text(path, text or "")

    def text(self, path: str) -> str:
        """The text of a file in this session."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def set_text(self, path: str, text: str) -> None:
        """Give a file another text in this session."""
        if path in self._open:
            self._server.close_document(path)
        self._server.open(path, text)
        self._open.add(path)
        self._texts[path] = text
        self._known_lines.pop(path, None)

    def outlines(self, paths: Sequence[str]) -> dict[str, tuple[Node, ...]]:
        """The definitions in each file."""
        method, kind = "textDocument/documentSymbol", tuple[Node, ...] | None
        asked = {path: self._ask(method, self._document(path), kind) for path in paths}
        return {path: self._wait(future) or () for path, future in asked.items()}

    def outline_of(self, uri: str) -> tuple[Node, ...]:
        """The definitions in a file that may lie outside of the workspace."""
        params = {"textDocument": {"uri": uri}}
        kind = tuple[Node, ...] | None
        return self._wait(self._ask("textDocument/documentSymbol", params, kind)) or ()

    def rename(self, place: Place, new_name: str) -> dict[str, list[tuple[int, int]]]:
        """The spans that the server would replace, by file of the workspace."""
        params = {**self._at(place), "newName": new_name}
        edit = self._wait(self._ask("textDocument/rename", params, _WorkspaceEdit | None))
        if edit is None:
            return {}
        documents = [*edit.changes.items()]
        documents += [(d.text_document.uri, d.edits) for d in edit.document_changes]
        spans: dict[str, list[tuple[int, int]]] = {}
        for uri, edits in documents:
            path = self._server.path(uri)
            if path is not None:
                lines = self._lines(path)
                spans[path] = [edit.range.span_in(lines) for edit in edits]
        return spans

    def definitions(self, places: Iterable[Place]) -> dict[Place, frozenset[Place | str]]:
        """Where each name is defined; places outside of the workspace are given as URIs."""
        kind = tuple[_Location, ...] | _Location | None
        asked = {p: self._ask("textDocument/definition", self._at(p), kind) for p in places}
        return {p: self._places(self._wait(future)) for p, future in asked.items()}

    def class_at(self, place: Place) -> ClassItem | None:
        """The class whose name stands at ``place``."""
        method, kind = "textDocument/prepareTypeHierarchy", tuple[ClassItem, ...] | None
        items = self._wait(self._ask(method, self._at(place), kind))
        return items[0] if items else None

    def supertypes(self, item: ClassItem) -> set[ClassItem]:
        """All classes that a class inherits from."""
        found: set[ClassItem] = set()
        pending = [item]
        while pending and len(found) < _MOST_CLASSES:
            params = {"item": pending.pop()}
            kind = tuple[ClassItem, ...] | None
            near = self._wait(self._ask("typeHierarchy/supertypes", params, kind)) or ()
            new = set(near) - found
            found |= new
            pending += new
        return found

    def path(self, uri: str) -> str | None:
        """The path of a URI, relative to the workspace; ``None`` if it is elsewhere."""
        return self._server.path(uri)

    def offset(self, path: str, position: Position) -> int:
        """The offset of a position that the server gave."""
        return position.offset_in(self._lines(path))

    def stop(self) -> None:
        """End the session at once, from any thread: what it waits for fails."""
        self._server.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _places(self, answer: tuple[_Location, ...] | _Location | None) -> frozenset[Place | str]:
        if answer is None:
            return frozenset()
        locations = (answer,) if isinstance(answer, _Location) else answer
        places: set[Place | str] = set()
        for location in locations:
            path = self._server.path(location.uri)
            if path is None:
                places.add(location.uri)
            else:
                places.add(Place(path, self.offset(path, location.range.start)))
        return frozenset(places)

    def _lines(self, path: str) -> TextLines:
        if path not in self._known_lines:
            self._known_lines[path] = TextLines(self.text(path), self._server.encoding)
        return self._known_lines[path]

    def _document(self, path: str) -> dict[str, object]:
        return {"textDocument": {"uri": self._server.uri(path)}}

    def _at(self, place: Place) -> dict[str, object]:
        self._server.wait_ready()
        position = Position(*self._lines(place.path).place_of(place.offset))
        return {**self._document(place.path), "position": position}

    def _ask(self, method: str, params: object, result_type: Any) -> Future[Any]:
        return self._server.request(method, params, result_type)

    def _wait(self, future: Future[Any]) -> Any:
        try:
            return future.result(self._timeout_s)
        except TimeoutError as error:
            self._server.kill()
            raise ToolTimeout(f"ty gave no answer within {self._timeout_s:g} s") from error
        except ToolError as error:
            raise type(error)(f"ty: {error}") from error
