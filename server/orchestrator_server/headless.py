"""The commands without an editor: the same engine, edits on disk, progress on the terminal.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console

from orchestrator_core.errors import OrchestratorError, RequestError
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import own_settings
from orchestrator_core.records import MissionStatus, Mode
from orchestrator_core.redaction import RedactingFilter, Redactor
from orchestrator_core.settings_sources import load
from orchestrator_core.workspace.documents import Workspace
from orchestrator_server.clean import show_cleanup, show_restored
from orchestrator_server.doctor import diagnose
from orchestrator_server.exit_codes import (
    EXIT_CANCELLED,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_USAGE,
)
from orchestrator_server.terminal import TerminalListener, show_missions, show_report, show_stats
from orchestrator_server.terminal_questions import AskingApplier, TerminalAsker

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from pathlib import Path

    from orchestrator_core.mission.agent import MissionRequest

    Command = Callable[["Run"], Coroutine[None, None, int]]


class Run:
    """One run of a command: its options, its consoles and, once open, its engine."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.root: Path = options.workspace.absolute()
        self.out = Console(soft_wrap=True, highlight=False)
        self.err = Console(stderr=True, soft_wrap=True, highlight=False)
        self.listener = TerminalListener(self.err, quiet=options.json)

    async def open(self) -> Orchestrator:
        """Construct the engine of the workspace."""
        Workspace(self.root)  # a folder that cannot be read is the first thing to say
        settings, invalid = load(self.root, person=own_settings(), environment=os.environ)
        for problem in invalid:
            self.err.print(
                f"{problem.source}: orchestrator.{problem.key}: {problem.message}; "
                "the default is used",
                style="yellow",
                markup=False,
            )
        level = "WARNING" if settings.log_level == "info" else settings.log_level.upper()
        logging.basicConfig(level=level, stream=sys.stderr)
        for handler in logging.getLogger().handlers:
            handler.addFilter(RedactingFilter(Redactor(os.environ)))
        asker = TerminalAsker(self.err, sys.stdin, self.listener.paused)
        return await Orchestrator.open(
            self.root,
            settings,
            self.listener,
            applier=lambda _, disk: AskingApplier(disk, self.err, sys.stdin, self.listener.paused),
            asker=asker,
        )

    def print_json(self, value: object) -> None:
        """Print one JSON object."""
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def run(options: argparse.Namespace) -> int:
    """Run a command and answer its exit code; errors are told in words."""
    this = Run(options)
    command = _COMMANDS[options.command]
    try:
        return asyncio.run(command(this))
    except KeyboardInterrupt:
        return EXIT_CANCELLED
    except OrchestratorError as error:
        usage = isinstance(error, RequestError)
        if options.json:
            status = "refused" if usage else "failed"
            this.print_json({"status": status, "error": str(error), "kind": type(error).__name__})
        this.err.print("error: ", style="bold red", end="")
        this.err.print(str(error), markup=False)
        return EXIT_USAGE if usage else EXIT_FAILED


async def _task(this: Run) -> int:
    options = this.options
    if sum(given is not None for given in (options.text, options.plan, options.resume)) != 1:
        raise RequestError("give a task's text, --plan FILE or --resume: see `task --help`")
    async with _engine(this) as engine:
        if options.resume is not None:
            mission = await engine.resume(options.resume or None)
        else:
            mission = await engine.start(await _request(engine, options))
        with (
            _stopping_on_signals(lambda: engine.stop(None, "stopped by the person")),
            this.listener.live(mission.title),
        ):
            report = await mission.wait()
    if options.json:
        this.print_json(report)
    else:
        show_report(this.out, report)
    match report.status:
        case MissionStatus.DONE:
            return EXIT_DONE
        case MissionStatus.CANCELLED:
            return EXIT_CANCELLED
        case _:
            return EXIT_FAILED


async def _request(engine: Orchestrator, options: argparse.Namespace) -> MissionRequest:
    choices: dict[str, Any] = {
        "mode": Mode(options.mode) if options.mode else None,
        "backend": options.backend,
        "dry_run": options.dry_run,
    }
    if options.plan is not None:
        return await engine.plans.request_from_file(str(options.plan), **choices)
    return engine.plans.request(options.text, **choices)


@contextlib.contextmanager
def _stopping_on_signals(stop: Callable[[], object]) -> Generator[None]:
    """Ctrl-C and SIGTERM stop the mission; a second Ctrl-C ends the process at once."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop()

    try:
        loop.add_signal_handler(signal.SIGINT, first)
        loop.add_signal_handler(signal.SIGTERM, stop)
    except NotImplementedError:  # Windows: Ctrl-C ends the process through KeyboardInterrupt
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.asynccontextmanager
async def _engine(this: Run) -> AsyncGenerator[Orchestrator]:
    engine = await this.open()
    try:
        yield engine
    finally:
        await engine.close()


async def _undo(this: Run) -> int:
    async with _engine(this) as engine:
        report = await engine.undo(this.options.mission, this.options.task)
    if this.options.json:
        this.print_json(report)
    else:
        count = len(report.files_restored)
        this.out.print(f"mission {report.mission}: {count} file{'s'[: count != 1]} restored")
        for path in report.unrestored:
            this.out.print(f"  not restored: {path}", style="yellow", markup=False)
    return EXIT_FAILED if report.unrestored else EXIT_DONE


async def _status(this: Run) -> int:
    async with _engine(this) as engine:
        missions = await engine.records.status()
    if this.options.json:
        this.print_json({"missions": missions})
    else:
        show_missions(this.out, missions)
    return EXIT_DONE


async def _stats(this: Run) -> int:
    async with _engine(this) as engine:
        last = await engine.records.last_stats()
    if this.options.json:
        this.print_json(last)
    else:
        show_stats(this.out, last)
    return EXIT_DONE


async def _clean(this: Run) -> int:
    options = this.options
    if options.restore is not None and options.dry_run:
        raise RequestError("--dry-run and --restore do not go together")
    async with _engine(this) as engine:
        if options.restore is not None:
            restored = await engine.restore(options.restore)
            if options.json:
                this.print_json(restored)
            else:
                show_restored(this.out, restored)
            return EXIT_FAILED if restored.unrestored else EXIT_DONE
        report = await engine.clean(dry_run=options.dry_run)
    if options.json:
        this.print_json(report)
    else:
        show_cleanup(this.out, report)
    return EXIT_DONE


async def _trust(this: Run) -> int:
    async with _engine(this) as engine:
        await engine.trust(revoke=this.options.revoke)
    state = "is not trusted any more" if this.options.revoke else "may run commands now"
    if this.options.json:
        this.print_json({"workspace": str(this.root), "trusted": not this.options.revoke})
    else:
        this.out.print(f"{this.root} {state}", markup=False)
    return EXIT_DONE


async def _doctor(this: Run) -> int:
    findings = await diagnose(this.root)
    if this.options.json:
        this.print_json({"ok": all(f.ok for f in findings), "checks": findings})
    else:
        for finding in findings:
            mark = "[green]ok  [/green]" if finding.ok else "[red]fail[/red]"
            this.out.print(mark, end=" ")
            this.out.print(f"{finding.name}: {finding.detail}", markup=False)
    return EXIT_DONE if all(finding.ok for finding in findings) else EXIT_FAILED


_COMMANDS: dict[str, Command] = {
    "task": _task,
    "undo": _undo,
    "status": _status,
    "stats": _stats,
    "clean": _clean,
    "trust": _trust,
    "doctor": _doctor,
}
