"""Names in Python texts, found without parsing: any version's syntax, and texts that are broken."""

from __future__ import annotations

import keyword
import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from orchestrator_core.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_LITERAL = re.compile(
    r"""\#[^\n]*
    | (?<!\w) (?P<prefix>[a-zA-Z]{0,2})
      (?: \"\"\" (?:[^\\]|\\.)*? \"\"\" | ''' (?:[^\\]|\\.)*? '''
        | " (?:[^"\\\n]|\\.)* " | ' (?:[^'\\\n]|\\.)* ' )""",
    re.VERBOSE | re.DOTALL,
)
_EXPORTS = re.compile(
    r"""^__all__ \s* (?: (?: :[^=\n]* )? \+? = | \.extend\( | \.append\( ) \s*
    (?: \( [^()]* \) | \[ [^\[\]]* \] | [^\n]* ) """,
    re.VERBOSE | re.MULTILINE,
)
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+import[ \t]*(?:\([^()]*\)|(?:[^\n\\]|\\.)*)|import[ \t][^\n]*)",
    re.MULTILINE | re.DOTALL,
)
_STAR_IMPORT = re.compile(r"^[ \t]*from[ \t]+[\w.]+[ \t]+import[ \t]*\*", re.MULTILINE)
_ROOTS = ("src", "lib")
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


class SymbolError(RequestError):
    """A symbol cannot be found, or cannot be renamed as asked; nothing was changed."""


class Literals:
    """Where comments and strings are in a text. Fields of f-strings count as code."""

    def __init__(self, text: str) -> None:
        spans = [m.span() for m in _LITERAL.finditer(text) if not _formatted(m["prefix"])]
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def __contains__(self, offset: int) -> bool:
        index = bisect_right(self._starts, offset) - 1
        return index >= 0 and offset < self._ends[index]


def _formatted(prefix: str | None) -> bool:
    return prefix is not None and ("f" in prefix.lower() or "t" in prefix.lower())


def occurrences(text: str, name: str) -> Iterator[int]:
    """Where ``name`` stands as a whole word."""
    for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
        yield match.start()


def exported(text: str, name: str) -> Iterator[int]:
    """Where ``name`` stands as a string of the module's ``__all__``."""
    wanted = re.compile(rf"(?<=['\"]){re.escape(name)}(?=['\"])")
    for statement in _EXPORTS.finditer(text):
        for match in wanted.finditer(statement.group()):
            yield statement.start() + match.start()


def imports(text: str, offset: int, name: str) -> bool:
    """Whether the occurrence of ``name`` at ``offset`` is an import that binds that very name."""
    for statement in _IMPORT.finditer(text):
        if statement.start() <= offset < statement.end():
            rest = text[offset + len(name) : statement.end()].lstrip()
            return re.match(r"as\b", rest) is None
    return False


def imported_names(text: str) -> set[str]:
    """All words of the import statements."""
    return {word for m in _IMPORT.finditer(text) for word in re.findall(r"\w+", m.group())}


def has_star_import(text: str) -> bool:
    """Whether the module imports all names of another."""
    return _STAR_IMPORT.search(text) is not None


class Modules:
    """How the Python files of a workspace are imported.

    Args:
        root: the workspace.
        paths: its Python files.
    """

    def __init__(self, root: Path, paths: Collection[str]) -> None:
        self.paths = frozenset(paths)
        above: list[str] = []
        folder = root
        while (folder / "__init__.py").is_file():
            above.insert(0, folder.name)
            folder = folder.parent
        self._package = above
        homes = {
            path.removesuffix("__init__.py")
            for path in self.paths
            if _is_top_package(path, self.paths)
        }
        inner = {home.rstrip("/").rpartition("/")[0] for home in homes}
        projects = [d for d in sorted(inner) if d and self._is_project(root / d)]
        self.sources: tuple[Path, ...] = ()
        if above or projects:
            self.sources = (folder, *(root / project for project in projects))

    def name(self, path: str) -> str:
        """The dotted name of the module at ``path``."""
        parts = path.rpartition(".")[0].split("/")
        if parts[-1] == "__init__" and len(parts) + len(self._package) > 1:
            parts.pop()
        if len(parts) > 1 and parts[0] in _ROOTS and f"{parts[0]}/__init__.py" not in self.paths:
            parts = parts[1:]
        return ".".join([*self._package, *parts])

    @staticmethod
    def _is_project(folder: Path) -> bool:
        """Whether packages in ``folder`` are imported from there, by what lies beside them."""
        beside = folder.parent if folder.name in _ROOTS else folder
        return any((beside / name).is_file() for name in _PROJECT_FILES)


def _is_top_package(path: str, paths: Collection[str]) -> bool:
    folder, _, name = path.rpartition("/")
    above = folder.rpartition("/")[0]
    outer = f"{above}/__init__.py" if above else "__init__.py"
    return name == "__init__.py" and bool(folder) and outer not in paths


def check_new_name(old: str, new: str) -> None:
    """Refuse a new name that cannot be one.

    Raises:
        SymbolError: the message says why.
    """
    if not new.isidentifier():
        raise SymbolError(f"{new!r} is not a valid Python name: rename {old} to an identifier")
    if keyword.iskeyword(new):
        raise SymbolError(f"{new} is a Python keyword: choose another name for {old}")
    if new == old:
        raise SymbolError(f"{old} has that name already")
    if old.startswith("__") and old.endswith("__"):
        raise SymbolError(f"{old} has a meaning in Python itself: it cannot be renamed")
