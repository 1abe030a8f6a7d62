"""What can be written next in a plan file: options, ids, agents, files and verbs."""

from __future__ import annotations

import os
import re
from itertools import islice
from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from msgspec import Struct

from orchestrator_core.primitives.string_pool import ROLES

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.plan_document import PlanDocument

_HEADING = re.compile(r" {0,3}#{2,6}[ \t]")
_STEP = re.compile(
    r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\[[^\[\]]?\][ \t]+(?:[A-Z]{1,3}[\d.]+:[ \t]*)?"
)
_OPTION = re.compile(r"[ \t]*(?P<key>[A-Za-z][A-Za-z-]*)[ \t]*:(?P<value>.*)", re.DOTALL)
_WORD = re.compile(r"[^\s,;]*$")
MOST = 200
"""So many ids or files are offered at once; with more, the editor asks again as one types on."""

OPTIONS = {
    "depends": "ids of what has to be done before, or -",
    "files": "globs that the task is limited to",
    "agent": "the role that carries it out",
    "parallel-group": "tasks of one group are meant to run side by side",
}
VERBS = {
    "rename": ("rename ${1:old} -> ${2:new}", "a Python symbol, everywhere it is meant"),
    "replace": ("replace /${1:regex}/ -> ${2:text}", "text, by regular expression"),
    "rewrite": ("rewrite ${1:PATTERN} -> ${2:PATTERN}", "code, by syntax tree"),
    "fix": ("fix ${1:E,F,I}", "the linter's safe fixes"),
    "format": ("format", "lay out the code"),
    "run": ("run ${1:command}", "a command, in trusted workspaces"),
    "check": ("check", "count parse errors and findings, run the checks"),
}


class Asked(Struct, frozen=True):
    """What is being written at a place of a line.

    Attributes:
        kind: what it is part of.
        typed: what stands before the cursor of the word that is being written.
    """

    kind: str
    typed: str = ""


def asked(before: str) -> Asked | None:
    """What is being written where a line has ``before`` in front of the cursor."""
    if step := _STEP.match(before):
        return Asked("verb", before[step.end() :])
    if not _HEADING.match(before):
        return None
    *segments, last = re.split(r"(?<!\\)\|", before)
    if not segments:
        return None
    option = _OPTION.fullmatch(last)
    if option is None:
        return Asked("option", last.strip())
    word = _WORD.search(option["value"])
    return Asked(option["key"].lower(), word[0] if word else "")


def complete(
    what: Asked, place: lsp.Range, document: PlanDocument | None, root: Path, *, snippets: bool
) -> list[lsp.CompletionItem]:
    """The items for what is being written. Lists a folder where files are asked for: blocks.

    Args:
        what: see :func:`asked`.
        place: of the word that is being written, which an item replaces.
        document: the plan as it was read last.
        root: the workspace.
        snippets: whether the editor knows placeholders.
    """
    match what.kind:
        case "option":
            items = [_item(place, f"{key}: ", key, help_) for key, help_ in OPTIONS.items()]
        case "depends":
            items = [_item(place, id_, id_, title) for id_, title in _ids(document, what.typed)]
        case "agent":
            items = [_item(place, role, role, "") for role in ROLES]
        case "file" | "files":
            items = [_item(place, path, path, "") for path in _paths(root, what.typed)]
        case "verb" if " " not in what.typed:
            items = [
                _snippet(place, verb, *told) if snippets else _item(place, verb, verb, told[1])
                for verb, told in VERBS.items()
            ]
        case _:
            items = []
    return items


def _ids(document: PlanDocument | None, typed: str) -> list[tuple[str, str]]:
    """Ids with their titles: those that begin with what is typed, as far as :data:`MOST` goes."""
    if document is None:
        return []
    nodes = (*document.tasks, *document.milestones)
    found = ((node.id, node.title) for node in nodes if node.id.startswith(typed))
    return list(islice(found, MOST))


def _paths(root: Path, typed: str) -> list[str]:
    """Files and folders whose path below the root begins with what is typed."""
    folder, _, name = typed.strip("\"'").rpartition("/")
    where = root / folder
    if not where.resolve().is_relative_to(root.resolve()):
        return []
    try:
        with os.scandir(where) as entries:
            found = [
                f"{folder}/{entry.name}".lstrip("/") + ("/" if entry.is_dir() else "")
                for entry in entries
                if entry.name.startswith(name) and not entry.name.startswith(".")
            ]
    except OSError:  # no such folder: there is nothing to offer
        return []
    return sorted(found)[:MOST]


def _item(place: lsp.Range, text: str, label: str, detail: str) -> lsp.CompletionItem:
    return lsp.CompletionItem(
        label=label, detail=detail or None, text_edit=lsp.TextEdit(place, text), filter_text=label
    )


def _snippet(place: lsp.Range, verb: str, snippet: str, detail: str) -> lsp.CompletionItem:
    return lsp.CompletionItem(
        label=verb,
        detail=detail,
        kind=lsp.CompletionItemKind.Snippet,
        insert_text_format=lsp.InsertTextFormat.Snippet,
        text_edit=lsp.TextEdit(place, snippet),
        filter_text=verb,
    )
