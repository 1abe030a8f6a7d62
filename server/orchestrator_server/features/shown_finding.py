"""One finding as an editor shows it: as a diagnostic, with what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from msgspec import Struct

from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator_core.mission.finding_places import Located
    from orchestrator_core.records import FoundAt

SOURCE = "orchestrator"


class Finding(Struct, frozen=True):
    """What a check of a task found, and where."""

    task: str
    check: str
    at: FoundAt


class ShownFinding(Struct, frozen=True):
    """A finding as it is shown.

    Attributes:
        applied: whether it is about the file as it is, and not as a task would have made it.
    """

    diagnostic: lsp.Diagnostic
    task: str
    applied: bool


def show(
    finding: Finding,
    place: Located,
    about: lsp.DiagnosticRelatedInformation | None,
    task: str,
    encoding: lsp.PositionEncodingKind | str,
) -> ShownFinding:
    """A finding with its diagnostic.

    Args:
        finding: what was found.
        place: where it is now.
        about: where its task is written down; None if that cannot be shown.
        task: how the message then names the task.
        encoding: of the client's positions.
    """
    message = finding.at.message
    if finding.at.sha256:
        message += "\nNot applied: this is what the task would have made of it"
    if about is None:
        message += f"\n(task {task})"
    diagnostic = lsp.Diagnostic(
        range=LineIndex(place.text, encoding).range(place.start, place.end),
        message=message,
        severity=lsp.DiagnosticSeverity.Warning,
        code=finding.check,
        source=SOURCE,
        related_information=None if about is None else [about],
    )
    return ShownFinding(diagnostic, finding.task, applied=not finding.at.sha256)


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
