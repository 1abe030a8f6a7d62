"""What can be done with the pending hunks of a document, as code lenses and code actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator_core.mission.hunk_settlement import PendingHunk
    from orchestrator_server.text_document import LineIndex

    Placed = tuple[PendingHunk, lsp.Range]

ACCEPT, REJECT, DIFF = "/accept", "/reject", "/diff"


def lenses(found: Sequence[Placed], uri: str) -> list[lsp.CodeLens]:
    """Accept, reject, and whose it is, above each hunk; all of the file's above the first line."""
    shown: list[lsp.CodeLens] = []
    if len(found) > 1:
        top = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
        shown += (
            lsp.CodeLens(top, _command(f"{title} all {len(found)} changes", command, None, uri))
            for title, command in (("Accept", ACCEPT), ("Reject", REJECT))
        )
    for hunk, place in found:
        about = (hunk.mission, uri, hunk.hunk)
        shown += (
            lsp.CodeLens(place, _command(title, command, *about))
            for title, command in (
                (f"Accept{_what(hunk)}", ACCEPT),
                (f"Reject{_what(hunk)}", REJECT),
                (hunk.title, DIFF),
            )
        )
    return shown


def code_actions(found: Sequence[Placed], uri: str, asked: lsp.Range) -> Iterator[lsp.CodeAction]:
    """The same for the hunks that a range touches, for editors that show no lenses."""
    touched = [hunk for hunk, place in found if _touch(place, asked)]
    for hunk in touched:
        about, of = (hunk.mission, uri, hunk.hunk), f"{_what(hunk)} of {hunk.title}"
        yield _action(f"Accept{of}", ACCEPT, *about)
        yield _action(f"Reject{of}", REJECT, *about)
        yield _action(f"Show{of}", DIFF, *about)
    if touched and len(found) > 1:
        for title, command in (("Accept", ACCEPT), ("Reject", REJECT)):
            yield _action(f"{title} all {len(found)} changes of this file", command, None, uri)
    for mission in dict.fromkeys(hunk.mission for hunk in touched):
        for title, command in (("Accept", ACCEPT), ("Reject", REJECT)):
            yield _action(f"{title} all changes of the mission", command, mission)


def where(hunk: PendingHunk, lines: LineIndex) -> lsp.Range:
    """The lines of a hunk, without the last one's end; where nothing is left, the place."""
    start, end = lines.position(hunk.start), lines.position(hunk.end)
    if end.character == 0 and end.line > start.line:
        last = lines.line_start(end.line - 1) + len(lines.line_text(end.line - 1))
        end = lines.position(last)
    return lsp.Range(start, end)


def _action(title: str, command: str, *about: str | None) -> lsp.CodeAction:
    kind = lsp.CodeActionKind.QuickFix
    return lsp.CodeAction(title, kind=kind, command=_command(title, command, *about))


def _command(title: str, command: str, *about: str | None) -> lsp.Command:
    return lsp.Command(title, command, arguments=list(about))


def _what(hunk: PendingHunk) -> str:
    match hunk.kind:
        case "create":
            return " new file"
        case "rename":
            return f" rename from {hunk.old_path}"
        case _:
            return ""


def _touch(place: lsp.Range, asked: lsp.Range) -> bool:
    return place.start.line <= asked.end.line and place.end.line >= asked.start.line
