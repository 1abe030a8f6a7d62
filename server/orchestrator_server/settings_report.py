"""Tells which settings were not valid: a diagnostic in the file, a message for the editor's own.

A file that cannot be read at all is never moved: it is the person's, and may hold more than
settings. The server runs on defaults until it is mended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from orchestrator_core.config import SETTINGS_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator_core.settings_sources import InvalidSetting
    from orchestrator_server.server import HardenedServer

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


class SettingsReport:
    """What is wrong with the settings of any folder. Lives on the event loop."""

    def __init__(self, server: HardenedServer) -> None:
        self._server = server
        self._told: set[str] = set()
        self._marked: set[str] = set()

    def show(self, root: Path, invalid: Iterable[InvalidSetting]) -> None:
        """Show what is wrong now, and nothing of what was wrong before. Reads small files."""
        problems = list(invalid)
        for name in SETTINGS_FILES:
            here = [problem for problem in problems if problem.source == name]
            uri = (root / name).as_uri()
            if not here and uri not in self._marked:
                continue
            (self._marked.add if here else self._marked.discard)(uri)
            lines = _lines(root / name) if here else []
            self._server.text_document_publish_diagnostics(
                lsp.PublishDiagnosticsParams(uri, [_diagnostic(p, lines) for p in here])
            )
        elsewhere = [problem for problem in problems if problem.source not in SETTINGS_FILES]
        for problem in elsewhere:
            message = f"{problem.source}: orchestrator.{problem.key}: {problem.message}"
            if message not in self._told:
                self._told.add(message)
                self._server.window_show_message(
                    lsp.ShowMessageParams(
                        type=lsp.MessageType.Warning, message=f"{message}; the default is used"
                    )
                )


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _diagnostic(problem: InvalidSetting, lines: list[str]) -> lsp.Diagnostic:
    line, start, end = _place(problem, lines)
    return lsp.Diagnostic(
        range=lsp.Range(lsp.Position(line, start), lsp.Position(line, end)),
        message=f"{problem.message}; the default is used",
        severity=lsp.DiagnosticSeverity.Warning if problem.key else lsp.DiagnosticSeverity.Error,
        source="orchestrator",
    )


def _place(problem: InvalidSetting, lines: list[str]) -> tuple[int, int, int]:
    """Line, first and last column, 0-based, as near as can be told."""
    if not problem.key:
        place = _PLACE.search(problem.message)
        line = min(int(place[1]), len(lines)) - 1 if place else 0
        return max(0, line), 0, len(lines[line]) if lines else 0
    assignment = re.compile(
        rf"\s*(?:[\w.\"'-]*\.)?[\"']?({re.escape(problem.key.split('.')[-1])})"
        r"[\"']?\s*="
    )
    for number, text in enumerate(lines):
        if found := assignment.match(text):
            return number, found.start(1), len(text.rstrip())
    return 0, 0, 0
