"""The command line: ``opencode-orchestrator serve | task | undo | status | clean | …``.

Only the arguments are parsed here; what a command needs is imported when it runs, because the
language server's start-up is counted in milliseconds.
"""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_server.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` names.

    Returns:
        0 done, 1 failed, 2 wrong usage or a task that cannot be understood, 130 cancelled.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["serve"]:
        # The types of the LSP come first, out of the garbage collector's sight: its full pass over
        # them while the rest is imported would take as long as all the rest.
        import pygls.lsp.server  # noqa: F401 # pyright: ignore[reportUnusedImport]

        gc.freeze()
        # Editors append flags of their own (--stdio, --clientProcessId=…): all are accepted.
        from orchestrator_server.app import serve
        from orchestrator_server.lifecycle import leave

        leave(serve(arguments[1:]))
    options = _parser().parse_args(arguments)
    if options.command is None:
        _parser().print_help()
        return EXIT_USAGE
    from orchestrator_server import headless

    return headless.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="opencode-orchestrator",
        description="Plans, carries out and checks code changes with parallel agents.",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    commands.add_parser("serve", help="the language server on standard input and output")

    task = commands.add_parser("task", help="carry out a task, with live progress")
    task.add_argument("text", nargs="?", help="what to do, e.g. 'rename load -> read_all in src'")
    task.add_argument("--plan", type=Path, metavar="FILE", help="carry out this plan file instead")
    task.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="MISSION",
        help="go on with a mission that was cut short, or stopped by its budget; the newest one "
        "by default",
    )
    task.add_argument("--dry-run", action="store_true", help="show the diff, change nothing")
    task.add_argument("--mode", choices=["normal", "race", "fractal"], help="how tasks are run")
    task.add_argument("--backend", metavar="NAME", help="who plans and works (builtin)")

    undo = commands.add_parser("undo", help="take a mission's changes back")
    undo.add_argument("mission", nargs="?", help="its id; the newest one by default")
    undo.add_argument("--task", metavar="ID", default="", help="only what this task changed")

    status = commands.add_parser("status", help="missions, tasks and their receipts")
    stats = commands.add_parser("stats", help="pools and processes, live and of the last mission")
    clean = commands.add_parser("clean", help="make .opencode small; what it takes can be restored")
    clean.add_argument("--dry-run", action="store_true", help="show what would be done")
    clean.add_argument("--restore", metavar="ID", help="bring back what a cleanup took away")
    trust = commands.add_parser("trust", help="allow commands to run in a workspace")
    trust.add_argument("--revoke", action="store_true", help="take the trust back")
    doctor = commands.add_parser("doctor", help="what is installed, what answers, what is on")

    for command in (task, undo, status, stats, clean, trust, doctor):
        command.add_argument(
            "--workspace", type=Path, default=Path(), metavar="DIR", help="default: this folder"
        )
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _version() -> str:
    from orchestrator_core import __version__

    return f"opencode-orchestrator {__version__}"


if __name__ == "__main__":
    sys.exit(main())
