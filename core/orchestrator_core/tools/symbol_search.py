"""Finding where a Python symbol is defined, by a dotted name or the end of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.tools.python_names import Literals, occurrences
from orchestrator_core.tools.type_engine import (
    CLASS,
    CONSTRUCTOR,
    FIELD,
    FUNCTION,
    METHOD,
    PROPERTY,
    Place,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator_core.tools.python_names import Modules
    from orchestrator_core.tools.type_engine import Node, TypeEngine

_KINDS = {
    CLASS: "class",
    METHOD: "method",
    CONSTRUCTOR: "method",
    PROPERTY: "attribute",
    FIELD: "attribute",
    FUNCTION: "function",
}


class Candidate(Struct, frozen=True):
    """A definition that can be renamed.

    Attributes:
        name: dotted, from the package down.
        kind: ``function``, ``class``, ``method``, ``attribute``, ``variable`` or ``parameter``.
        path: where it is defined first; ``line`` is 1-based.
        places: all places that define it: overloads, setters, branches, a stub.
        owner: the place of the name of the class that it belongs to, if it does.
        top_level: whether it stands at the top of its module.
    """

    name: str
    kind: str
    path: str
    line: int
    places: tuple[Place, ...]
    owner: Place | None = None
    top_level: bool = False

    @property
    def simple_name(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]


class _Found(Struct):
    """A definition in an outline, and what is around it."""

    name: str
    kind: str
    place: Place
    owner: Place | None
    top_level: bool


def candidates_in(
    engine: TypeEngine, paths: Sequence[str], parts: Sequence[str], modules: Modules
) -> list[Candidate]:
    """The definitions in ``paths`` whose dotted name ends with ``parts``."""
    found: list[_Found] = []
    for path, outline in engine.outlines(paths).items():
        module = modules.name(path)
        found += [
            item
            for item in _walk(engine, path, outline, module, parts[-1])
            if item.name.split(".")[-len(parts) :] == list(parts)
        ]
    return _merged(engine, found)


def in_parameters(
    engine: TypeEngine, paths: Sequence[str], parts: Sequence[str], modules: Modules
) -> list[Candidate]:
    """The parameters ``parts[-1]`` of functions whose dotted name ends with the other parts."""
    if len(parts) < 2:
        return []
    found: list[_Found] = []
    for function in candidates_in(engine, paths, parts[:-1], modules):
        for place in function.places:
            offset = _parameter(engine.text(place.path), place.offset, parts[-1])
            if offset is not None:
                name = f"{function.name}.{parts[-1]}"
                found.append(
                    _Found(name, "parameter", Place(place.path, offset), None, top_level=False)
                )
    return _merged(engine, found)


def _walk(
    engine: TypeEngine, path: str, outline: Sequence[Node], module: str, wanted: str
) -> Iterator[_Found]:
    """The definitions named ``wanted`` in an outline, at any depth."""
    pending = [(node, module, None, True) for node in outline]
    while pending:
        node, container, owner, top_level = pending.pop()
        place = Place(path, engine.offset(path, node.selection_range.start))
        name = f"{container}.{node.name}"
        if node.name == wanted:
            kind = _KINDS.get(node.kind, "variable")
            yield _Found(name, kind, place, owner, top_level)
        inner = place if node.kind == CLASS else None
        pending += [(child, name, inner, False) for child in node.children]
        if node.kind == CLASS and all(child.name != wanted for child in node.children):
            offset = _self_attribute(engine, path, node, wanted)
            if offset is not None:
                attribute = Place(path, offset)
                yield _Found(f"{name}.{wanted}", "attribute", attribute, place, top_level=False)


def _self_attribute(engine: TypeEngine, path: str, node: Node, name: str) -> int | None:
    """Where a method of the class first assigns the attribute."""
    text = engine.text(path)
    start, end = engine.offset(path, node.range.start), engine.offset(path, node.range.end)
    nested = [
        (engine.offset(path, c.range.start), engine.offset(path, c.range.end))
        for c in node.children
        if c.kind == CLASS
    ]
    assigned = re.compile(rf"(?<!\w)self\.({re.escape(name)})[ \t]*(?::[^=\n]+)?=(?!=)")
    literals = Literals(text)
    for match in assigned.finditer(text, start, end):
        offset = match.start(1)
        if offset not in literals and not any(a <= offset < b for a, b in nested):
            return offset
    return None


def _parameter(text: str, function: int, name: str) -> int | None:
    """Where a function's parameter stands: its first occurrence within the parentheses."""
    opening = text.find("(", function)
    depth, end = 0, opening
    literals = Literals(text)
    while 0 <= end < len(text):
        if end not in literals:
            depth += (text[end] in "([{") - (text[end] in ")]}")
            if depth == 0:
                break
        end += 1
    for offset in occurrences(text[:end], name):
        if offset > opening >= 0 and offset not in literals:
            before = text[opening:offset].rstrip()
            if before.endswith(("(", ",", "*")):
                return offset
    return None


def _merged(engine: TypeEngine, found: Sequence[_Found]) -> list[Candidate]:
    """One candidate for each name: overloads, branches, setters and stubs are one symbol."""
    groups: dict[str, list[_Found]] = {}
    for item in sorted(found, key=lambda item: (item.place.path.endswith(".pyi"), item.place)):
        groups.setdefault(item.name, []).append(item)
    candidates: list[Candidate] = []
    for name, group in groups.items():
        first = group[0]
        line = engine.text(first.place.path).count("\n", 0, first.place.offset) + 1
        places = tuple(dict.fromkeys(item.place for item in group))
        candidates.append(
            Candidate(
                name, first.kind, first.place.path, line, places, first.owner, first.top_level
            )
        )
    return sorted(candidates, key=lambda c: c.name)
