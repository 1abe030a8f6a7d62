"""Which classes are related: within the workspace, and to classes outside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.tools.type_engine import CLASS, Place

if TYPE_CHECKING:
    from orchestrator_core.tools.python_names import Modules
    from orchestrator_core.tools.type_engine import ClassItem, Node, TypeEngine


class Inheritance:
    """What classes inherit from, asked of the engine once a class; blocks, for one thread.

    A class is the place of its name.

    Args:
        engine: a session whose class definitions do not change.
        modules: the Python files of the workspace.
    """

    def __init__(self, engine: TypeEngine, modules: Modules) -> None:
        self._engine = engine
        self._modules = modules
        self._supertypes: dict[Place, set[ClassItem]] = {}

    def related(self, one: Place, other: Place) -> bool:
        """Whether one of two classes is the other, or inherits from it."""
        return one in self._above(other) or other in self._above(one)

    def overridden_outside(self, owner: Place, member: str) -> ClassItem | None:
        """A class outside of the workspace that a class inherits from and that has the member."""
        for item in self._supertypes_of(owner):
            if item.detail == "builtins" and item.name == "object":
                continue  # it has special methods only, and those are refused by their names
            if self._place(item) is None and self._defines(item, member):
                return item
        return None

    def _above(self, owner: Place) -> set[Place]:
        """The class and all in the workspace that it inherits from."""
        places = {self._place(item) for item in self._supertypes_of(owner)}
        return {owner} | {place for place in places if place is not None}

    def _supertypes_of(self, owner: Place) -> set[ClassItem]:
        if owner not in self._supertypes:
            item = self._engine.class_at(owner)
            self._supertypes[owner] = self._engine.supertypes(item) if item else set()
        return self._supertypes[owner]

    def _place(self, item: ClassItem) -> Place | None:
        path = self._engine.path(item.uri)
        if path is None or path not in self._modules.paths:
            return None
        return Place(path, self._engine.offset(path, item.selection_range.start))

    def _defines(self, item: ClassItem, member: str) -> bool:
        return any(child.name == member for child in self._members(item))

    def _members(self, item: ClassItem) -> tuple[Node, ...]:
        pending = [*self._engine.outline_of(item.uri)]
        while pending:
            node = pending.pop()
            if node.kind == CLASS and node.selection_range == item.selection_range:
                return node.children
            pending += node.children
        return ()
