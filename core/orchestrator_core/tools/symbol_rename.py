"""One rename: what ty finds, completed, then checked in ty over the new texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.tools.code import TextEdit, apply_edits
from orchestrator_core.tools.inheritance import Inheritance
from orchestrator_core.tools.python_names import (
    Literals,
    SymbolError,
    exported,
    has_star_import,
    imported_names,
    imports,
    occurrences,
)
from orchestrator_core.tools.symbol_search import Candidate, candidates_in
from orchestrator_core.tools.type_engine import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator_core.tools.python_names import Modules
    from orchestrator_core.tools.type_engine import TypeEngine

_SHOWN = 5


class SymbolRename:
    """The work of one rename; blocks, for one thread.

    Args:
        engine: a session of its own: the texts in it are changed.
        candidate: what is renamed.
        new_name: its new name.
        with_old: the Python files with the old name.
        with_new: those with the new name.
        modules: the Python files of the workspace; no other is changed.
    """

    def __init__(
        self,
        engine: TypeEngine,
        candidate: Candidate,
        new_name: str,
        with_old: Sequence[str],
        with_new: Sequence[str],
        *,
        modules: Modules,
    ) -> None:
        self._engine = engine
        self._candidate = candidate
        self._old = candidate.simple_name
        self._new = new_name
        self._with_old = with_old
        self._with_new = frozenset(with_new)
        self._modules = modules
        self._spans: dict[str, set[int]] = {}
        self._targets: set[Place] = set()
        self._family: list[Place] = []  # the classes whose member is renamed
        self._namesakes_of_old: list[Candidate] | None = None
        self._meant: dict[Place, frozenset[Place | str]] = {}
        self._unresolved: set[Place] = set()
        self._inheritance = Inheritance(engine, modules)
        self._literals: dict[str, Literals] = {}
        self.originals = {path: engine.text(path) for path in with_old}

    def run(self) -> dict[str, dict[int, TextEdit]]:
        """The edits of each file, by their offset.

        Raises:
            SymbolError: the rename would change what a name means.
        """
        self._collect(self._candidate)
        while joined := self._joined():
            for other in joined:
                self._collect(other)
        self._complete_exports()
        self._refuse_taken_name()
        edits = {
            path: {o: TextEdit(o, o + len(self._old), self._new) for o in sorted(offsets)}
            for path, offsets in self._spans.items()
            if offsets
        }
        self._verify(edits)
        return edits

    def _collect(self, candidate: Candidate) -> None:
        """Take a definition and, of a member, its family, with all that refers to them.

        The family are the members of that name in classes that are related by inheritance.
        """
        targets = {*candidate.places}
        if candidate.owner is not None:
            family = [candidate.owner]
            for owner in family:
                self._refuse_outside(owner)
                for other in self._members_named_so():
                    if other.owner is None or other.owner in family:
                        continue
                    if self._inheritance.related(owner, other.owner):
                        targets.update(other.places)
                        family.append(other.owner)
            self._family += family
        self._targets |= targets
        for target in targets:
            self._take(target)
        self._complete()

    def _joined(self) -> list[Candidate]:
        """Other definitions that some reference may mean as well, by a union or a fallback import.

        They share the reference, so they must share the name.
        """
        references = [p for path in self._spans for p in self._in_code(path, self._old)]
        joined: dict[Place, Candidate] = {}
        members = {place: c for c in self._members_named_so() for place in c.places}
        for reference, meant in self._meanings(references).items():
            if not meant & self._targets or reference.offset not in self._spans[reference.path]:
                continue
            for other in meant - self._targets:
                if isinstance(other, str) or other.path not in self._modules.paths:
                    raise SymbolError(
                        f"{self._candidate.name} cannot be renamed: at {reference.path}:"
                        f"{self._line(reference)} it may also be one of "
                        f"{other if isinstance(other, str) else other.path}, which keeps its name"
                    )
                if self._text(other.path).startswith(self._old, other.offset):
                    joined[other] = members.get(other) or self._plain(other)
        return list(dict.fromkeys(joined.values()))

    def _plain(self, place: Place) -> Candidate:
        return Candidate(self._old, "variable", place.path, self._line(place), (place,))

    def _members_named_so(self) -> list[Candidate]:
        if self._namesakes_of_old is None:
            self._namesakes_of_old = self._namesakes(self._with_old, self._old)
        return self._namesakes_of_old

    def _meanings(self, places: Iterable[Place]) -> dict[Place, frozenset[Place | str]]:
        """The definitions of names in the old texts."""
        places = list(places)
        new = [place for place in places if place not in self._meant]
        self._meant.update(self._engine.definitions(new))
        return {place: self._meant[place] for place in places}

    @property
    def unresolved(self) -> tuple[str, ...]:
        """``path:line`` of uses that are left because it is not known what they mean."""
        left = sorted(p for p in self._unresolved if p.offset not in self._spans.get(p.path, ()))
        return tuple(dict.fromkeys(f"{place.path}:{self._line(place)}" for place in left))

    def _namesakes(self, paths: Sequence[str], name: str) -> list[Candidate]:
        """All members of that name in classes of the workspace."""
        found = candidates_in(self._engine, paths, [name], self._modules)
        return [candidate for candidate in found if candidate.owner is not None]

    def _refuse_outside(self, owner: Place) -> None:
        """What overrides something that keeps its name cannot have another."""
        item = self._inheritance.overridden_outside(owner, self._old)
        if item is not None:
            raise SymbolError(
                f"{self._candidate.name} cannot be renamed: it overrides {item.name}."
                f"{self._old} outside of the workspace ({item.detail or item.uri}), "
                "which keeps its name"
            )

    def _take(self, target: Place) -> None:
        """What ty itself would rename."""
        self._add(target)
        for path, spans in self._engine.rename(target, self._new).items():
            for start, end in spans:
                if self._text(path)[start:end] == self._old:
                    self._add(Place(path, start))

    def _add(self, place: Place) -> None:
        if place.path in self._modules.paths:
            self._spans.setdefault(place.path, set()).add(place.offset)
            self.originals.setdefault(place.path, self._text(place.path))

    def _text(self, path: str) -> str:
        return self._engine.text(path)

    def _complete(self) -> None:
        """Ask for the definition of what is left, and take what is defined by a target."""
        left: list[Place] = []
        for path in self._with_old:
            taken = self._spans.get(path, set())
            left += [p for p in self._in_code(path, self._old) if p.offset not in taken]
        for place, definitions in self._meanings(left).items():
            if definitions & self._targets:
                self._add(place)
            elif not definitions and self._candidate.kind != "parameter":
                self._unresolved.add(place)

    def _in_code(self, path: str, name: str) -> list[Place]:
        """Where a name stands outside of comments and strings."""
        literals = self._literals.setdefault(path, Literals(self._text(path)))
        found = occurrences(self._text(path), name)
        return [Place(path, offset) for offset in found if offset not in literals]

    def _complete_exports(self) -> None:
        """``__all__`` of the modules whose own name of the symbol changes."""
        if not self._candidate.top_level:
            return
        for path in self._with_old:
            text = self._text(path)
            names = [*exported(text, self._old)]
            if names and self._binds(path, text):
                for offset in names:
                    self._add(Place(path, offset))

    def _binds(self, path: str, text: str) -> bool:
        """Whether a module has the symbol by its old name: defined, imported or starred."""
        taken = self._spans.get(path, set())
        if any(target.path == path for target in self._targets):
            return True
        if any(imports(text, offset, self._old) for offset in taken):
            return True
        defined = any(node.name == self._old for node in self._engine.outlines([path])[path])
        return has_star_import(text) and not defined and self._old not in imported_names(text)

    def _refuse_taken_name(self) -> None:
        """The new name must be free in every scope that the definition or an import is in."""
        members = self._namesakes(sorted(self._with_new), self._new) if self._family else []
        taken = [
            f"{member.path}:{member.line}"
            for member in members
            for owner in self._family
            if member.owner and self._inheritance.related(owner, member.owner)
        ]
        for path in sorted(self._spans) if self._candidate.top_level else ():
            if path not in self._with_new:
                continue
            text = self._text(path)
            binds = any(t.path == path for t in self._targets) or any(
                imports(text, offset, self._old) for offset in self._spans[path]
            )
            outline = self._engine.outlines([path])[path]
            defined = next((n for n in outline if n.name == self._new), None)
            if binds and defined is not None:
                taken.append(f"{path}:{defined.selection_range.start.line + 1}")
            elif binds and self._new in imported_names(text):
                taken.append(f"{path} (imported)")
        self._refuse(taken, "is defined already")

    def _verify(self, edits: dict[str, dict[int, TextEdit]]) -> None:
        """Hold the new texts against the old meanings; a name that changed its meaning is a clash."""
        references = [
            place
            for path, offsets in self._spans.items()
            for place in self._in_code(path, self._old)
            if place.offset in offsets and place not in self._targets
        ]
        bystanders = [
            place
            for path in sorted(self._with_new.intersection(edits))
            for place in self._in_code(path, self._new)
        ]
        meant = self._meanings(references)
        before = self._meanings(bystanders)
        for path, changes in edits.items():
            self._engine.set_text(path, apply_edits(self._text(path), [*changes.values()]))
        after = self._engine.definitions(self._moved(p) for p in [*references, *bystanders])
        clashes = [
            place
            for place in references
            if (now := after[self._moved(place)])
            and not now & {self._moved_any(d) for d in meant[place]}
        ]
        clashes += [
            place
            for place in bystanders
            if before[place]
            and after[self._moved(place)] != frozenset(self._moved_any(d) for d in before[place])
        ]
        self._refuse([f"{p.path}:{self._line(p)}" for p in clashes], "means something else")

    def _moved(self, place: Place) -> Place:
        """Where a place is after the edits."""
        before = sum(offset < place.offset for offset in self._spans.get(place.path, ()))
        return Place(place.path, place.offset + before * (len(self._new) - len(self._old)))

    def _moved_any(self, place: Place | str) -> Place | str:
        return self._moved(place) if isinstance(place, Place) else place

    def _line(self, place: Place) -> int:
        text = self.originals.get(place.path) or self._text(place.path)
        return text.count("\n", 0, place.offset) + 1

    def _refuse(self, places: Iterable[str], what: str) -> None:
        found = sorted(set(places))
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise SymbolError(
                f"{self._candidate.name} cannot become {self._new}: that name {what} at "
                f"{', '.join(found[:_SHOWN])}{more}; choose another, or rename that one first"
            )
