"""What can be done about what a check found, as code actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator


class ShownFinding(Struct, frozen=True):
    """A finding as it is shown.

    Attributes:
        applied: whether it is about the file as it is, and not as a task would have made it.
    """

    diagnostic: lsp.Diagnostic
    task: str
    applied: bool


def actions(
    found: ShownFinding, mission: str, plan_file: str, folder: str
) -> Iterator[lsp.CodeAction]:
    """Try the task again, where its edit was refused; open its record.

    Args:
        found: the finding.
        mission: where it was found.
        plan_file: where that mission's plan came from; empty if from a text.
        folder: the URI of the mission's folder.
    """
    if not found.applied and plan_file:
        again = [plan_file, {"folder": folder, "task": found.task}]
        yield _action(f"Try {found.task} again", "/run", again, found)
    elif not found.applied:
        yield _action("Try the mission again", "/retry", [mission], found)
    yield _action(f"Show what became of {found.task}", "/show", [mission, found.task], found)


def _action(
    title: str, command: str, arguments: list[lsp.LSPAny], found: ShownFinding
) -> lsp.CodeAction:
    return lsp.CodeAction(
        title,
        kind=lsp.CodeActionKind.QuickFix,
        diagnostics=[found.diagnostic],
        command=lsp.Command(title, command, arguments=arguments),
    )
