"""What a cleanup did, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from orchestrator_core.cleanup.steps import CleanReport, KeptFile, RestoreReport

_SHOWN = 40


def show_cleanup(out: Console, report: CleanReport) -> None:
    """Show each step, what stays and why, and what was freed."""
    for step in report.steps[:_SHOWN]:
        out.print(f"{step.action} {step.path}: {step.reason}", markup=False)
    if (more := len(report.steps) - _SHOWN) > 0:
        out.print(f"and {more} more (--json shows all)", style="dim")
    _show_kept(out, "kept", report.kept)
    if report.note:
        out.print(report.note, style="yellow", markup=False)
    if not report.steps:
        out.print("nothing to clean up")
        return
    would = "would free" if report.dry_run else "freed"
    taken = f"{would} {report.freed_bytes:,} bytes, {_files(report.files_removed)} gone"
    if report.quarantined:
        taken += f", {_files(report.quarantined)} of these in the quarantine"
    out.print(taken)
    if report.restore_id:
        out.print(
            f"bring them back with: opencode-orchestrator clean --restore {report.restore_id}",
            style="dim",
        )


def show_restored(out: Console, report: RestoreReport) -> None:
    """Show what came back."""
    out.print(f"{_files(len(report.restored))} restored")
    _show_kept(out, "not restored", report.unrestored)


def _show_kept(out: Console, what: str, kept: Iterable[KeptFile]) -> None:
    for file in kept:
        out.print(f"{what} {file.path}: {file.reason}", style="yellow", markup=False)


def _files(count: int) -> str:
    return f"{count} file{'s'[: count != 1]}"
