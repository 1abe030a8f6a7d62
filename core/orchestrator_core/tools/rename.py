"""Semantic rename of Python symbols across a workspace, unsaved texts included.

The type checker ty finds the references. What it leaves out is completed here:

- the same method in super- and subclasses (a method is renamed with all it overrides and all that
  override it), and calls of it through ``super()``;
- names in ``__all__``;
- the other half of a stub and its module;
- any other occurrence whose definition, asked for one by one, is one of those renamed.

Then the result is checked in ty itself, over the new texts: every renamed reference must still
mean the renamed definition, and every name that was there before must mean what it meant.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import hashlib
import threading
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from orchestrator_core.errors import WorkspaceError
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.programs import beside_python
from orchestrator_core.tools.code import MOST, FileEdits, TextEdit
from orchestrator_core.tools.python_names import (
    Literals,
    Modules,
    SymbolError,
    check_new_name,
    occurrences,
)
from orchestrator_core.tools.symbol_rename import SymbolRename
from orchestrator_core.tools.symbol_search import Candidate, candidates_in, in_parameters
from orchestrator_core.tools.type_engine import TypeEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from orchestrator_core.tools.code import CodeTools, Documents
    from orchestrator_core.workspace.documents import Workspace

T = TypeVar("T")

_PYTHON = ("**/*.py", "**/*.pyi")
_SHOWN = 10


class RenameResult(Struct, frozen=True):
    """What a rename would change.

    Attributes:
        files: the edits; nothing is written.
        mentions: how often the old name is left as a word in comments, strings and other files.
        unresolved: ``path:line`` of uses of that name whose meaning is not known, of attributes
            of untyped values above all: they are as they were, and may have been meant.
    """

    files: tuple[FileEdits, ...]
    mentions: int
    unresolved: tuple[str, ...] = ()


class Renamer:
    """Renames symbols of one workspace. Coroutines may run in any loop, several at once.

    Args:
        workspace: says what the files hold.
        code: finds the files.
    """

    def __init__(self, workspace: Workspace, code: CodeTools) -> None:
        self._workspace = workspace
        self._code = code
        self._ty = str(beside_python("ty") or "ty")
        self._lock = threading.Lock()
        self._running: set[TypeEngine] = set()

    async def find(
        self, symbol: str, globs: Sequence[str] = (), *, documents: Documents | None = None
    ) -> Candidate:
        """The one definition that ``symbol`` names.

        Args:
            symbol: ``load``, ``module.load``, ``Class.method``, ``package.module.Class.method``,
                an attribute as ``Class.name``, or a parameter as ``function.name``.
            globs: where it may be defined; anywhere by default.
            documents: texts in place of the files.

        Raises:
            SymbolError: there is no such definition, or more than one; the message names them.
        """
        found = await self.candidates(symbol, globs, documents=documents)
        if len(found) == 1:
            return found[0]
        if not found:
            raise SymbolError(await self._nothing(symbol, globs, documents))
        listed = "\n".join(f"  {c.name} ({c.kind}, {c.path}:{c.line})" for c in found[:_SHOWN])
        more = f"\n  … and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise SymbolError(
            f"{symbol} is defined in {len(found)} places:\n{listed}{more}\n"
            f"Say which one, for example: rename {found[0].name} -> …"
        )

    async def candidates(
        self, symbol: str, globs: Sequence[str] = (), *, documents: Documents | None = None
    ) -> list[Candidate]:
        """All definitions that ``symbol`` may name.

        A plain name means a definition at the top of a module if there is one, and only then a
        method or an attribute.

        Raises:
            SymbolError: ``symbol`` is not a dotted name.
        """
        parts = symbol.split(".")
        if not all(part.isidentifier() for part in parts):
            raise SymbolError(f"{symbol!r} is not a name: say name, module.name or Class.name")
        modules = await self._modules(documents)
        inside = modules.paths
        if globs:
            inside &= set(await self._code.glob(globs, documents=documents))
        paths = await self._mentioning(parts[-1], inside, documents)
        if not paths:
            return []

        def work(engine: TypeEngine) -> list[Candidate]:
            readable = _readable(engine, paths)
            found = candidates_in(engine, readable, parts, modules)
            return found or in_parameters(engine, readable, parts, modules)

        found = await self._in_session(work, modules, documents)
        top = [c for c in found if c.top_level]
        return top if len(parts) == 1 and top else found

    async def rename(
        self, candidate: Candidate, new_name: str, *, documents: Documents | None = None
    ) -> RenameResult:
        """The edits that give a symbol another name, wherever it is meant.

        Raises:
            SymbolError: the new name is none, or is taken where it would be used; or the symbol
                overrides something outside of the workspace.
            ToolError: ty cannot run.
        """
        old = candidate.simple_name
        check_new_name(old, new_name)
        modules = await self._modules(documents)
        everywhere = await self._code.grep(
            old, literal=True, word=True, limit=MOST, documents=documents
        )
        with_old = sorted({match.path for match in everywhere.matches} & modules.paths)
        with_new = await self._mentioning(new_name, modules.paths, documents)

        def work(engine: TypeEngine) -> RenameResult:
            job = SymbolRename(
                engine, candidate, new_name, _readable(engine, with_old), with_new, modules=modules
            )
            edits = job.run()
            elsewhere = sum(match.path not in modules.paths for match in everywhere.matches)
            left = sum(_mentions(text, old, edits.get(p, {})) for p, text in job.originals.items())
            changed = tuple(_file_edits(p, job.originals[p], e) for p, e in sorted(edits.items()))
            return RenameResult(changed, elsewhere + left, job.unresolved)

        return await self._in_session(work, modules, documents)

    def close(self) -> None:
        """End what is under way."""
        with self._lock:
            engines = [*self._running]
        for engine in engines:
            engine.stop()

    async def _modules(self, documents: Documents | None) -> Modules:
        paths = await self._code.glob(_PYTHON, documents=documents)
        return Modules(self._workspace.root, paths)

    async def _mentioning(
        self, name: str, paths: Collection[str], documents: Documents | None
    ) -> list[str]:
        """The files among ``paths`` that hold ``name`` as a word."""
        if not paths:
            return []
        found = await self._code.grep(
            name, paths=sorted(paths), literal=True, word=True, limit=MOST, documents=documents
        )
        return sorted({match.path for match in found.matches})

    async def _in_session(
        self, work: Callable[[TypeEngine], T], modules: Modules, documents: Documents | None
    ) -> T:
        """Run ``work`` in a thread, with an engine; cancelling the coroutine ends both."""
        given = dict(documents or {})
        ended: Future[T] = Future()
        engines: list[TypeEngine] = []

        def read(path: str) -> str:
            text = given.get(path)
            return text if text is not None else self._workspace.read(path).text

        def run() -> None:
            try:
                unsaved = {**self._workspace.unsaved(), **given}
                with TypeEngine(
                    self._ty, self._workspace.root, read, unsaved, sources=modules.sources
                ) as engine:
                    engines.append(engine)
                    with self._lock:
                        self._running.add(engine)
                    try:
                        ended.set_result(work(engine))
                    finally:
                        with self._lock:
                            self._running.discard(engine)
            except BaseException as error:  # noqa: BLE001 - the waiting coroutine raises it
                ended.set_exception(error)

        ended.set_running_or_cancelled()
        threading.Thread(target=run, name="rename", daemon=True).start()
        try:
            return await ended
        except asyncio.CancelledError:
            for engine in engines:
                engine.stop()
            raise

    async def _nothing(self, symbol: str, globs: Sequence[str], documents: Documents | None) -> str:
        """What to say when a symbol is not found: what comes close to it."""
        outlines = await self._code.outline(_PYTHON, documents=documents)
        names = {
            ".".join(filter(None, (found.container, found.name))): f"{path}:{found.line}"
            for path, symbols in outlines.items()
            for found in symbols
            if path.endswith((".py", ".pyi"))
        }
        last = symbol.rpartition(".")[2]
        close = [name for name in names if name.rpartition(".")[2] == last]
        close += difflib.get_close_matches(symbol, [n for n in names if n not in close], n=3)
        where = f" in {', '.join(globs)}" if globs else ""
        hint = ", ".join(f"{name} ({names[name]})" for name in close[:5])
        text = f"nothing named {symbol} is defined{where}"
        return f"{text}; close to it: {hint}" if hint else text


def _readable(engine: TypeEngine, paths: Sequence[str]) -> list[str]:
    """The files that are text; others are left alone."""
    readable: list[str] = []
    for path in paths:
        with contextlib.suppress(WorkspaceError):
            engine.text(path)
            readable.append(path)
    return readable


def _mentions(text: str, old: str, edits: dict[int, TextEdit]) -> int:
    """How often the name is left in comments and strings."""
    literals = Literals(text)
    return sum(o in literals and o not in edits for o in occurrences(text, old))


def _file_edits(path: str, text: str, edits: dict[int, TextEdit]) -> FileEdits:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return FileEdits(path, digest, tuple(edits[offset] for offset in sorted(edits)))
