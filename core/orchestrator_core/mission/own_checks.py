"""Commands on a copy of the workspace, and with them the workspace's own checks.

A command never sees the workspace itself: it gets a copy with the texts of a task's draft, what is
unsaved in the editor included, so that what it breaks is the copy's.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.config import SETTINGS_FILES
from orchestrator_core.errors import UntrustedWorkspace
from orchestrator_core.records import CheckResult
from orchestrator_core.workspace.scratch import ScratchCopy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.runtime.command import CommandResult
    from orchestrator_core.runtime.future import Future

_SHOWN = 10


@asynccontextmanager
async def copy_of(
    context: TaskContext, texts: Mapping[str, str | None]
) -> AsyncGenerator[ScratchCopy]:
    """A copy of the workspace with other texts for some files; removed at the end.

    Args:
        context: the task that it is for.
        texts: by path; None where there is to be no file.
    """
    files = await context.toolbox.code.glob(hidden=True)
    root = context.draft.workspace.root
    making = context.pool.submit(ScratchCopy, root, files, texts, context.scratch)
    try:
        copy = await making
    except asyncio.CancelledError:
        making.add_done_callback(_remove)  # it may be made all the same, and would be nobody's
        raise
    try:
        yield copy
    finally:
        await context.pool.submit(copy.remove)


def _remove(made: Future[ScratchCopy]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().remove()


async def run_in(
    context: TaskContext, copy: ScratchCopy, command: str, named_in: Sequence[str]
) -> CommandResult:
    """Run a shell line in a copy, where alone it can write.

    Raises:
        UntrustedWorkspace: nobody has trusted the workspace.
    """
    return await context.toolbox.shell.run(
        command,
        cwd=copy.path,
        writable=[copy.path, *await context.pool.submit(copy.build_folders)],
        timeout_s=context.timeout_s,
        named_in=named_in,
    )


async def own_checks(context: TaskContext, *, against_before: bool) -> tuple[CheckResult, ...]:
    """Run the commands of ``orchestrator.checks`` on the draft's texts.

    Args:
        context: the task; where nobody trusts its workspace, its checks are unverified.
        against_before: whether a command that fails without the draft's changes as well says
            nothing of them, and is unverified.
    """
    if not context.checks:
        return ()
    root = context.draft.workspace.root
    named_in = [name for name in SETTINGS_FILES if (root / name).is_file()]
    try:
        context.toolbox.shell.require_trust(named_in)
    except UntrustedWorkspace as error:
        return tuple(
            CheckResult("run", "unverified", command=command, details=(str(error),))
            for command in context.checks
        )
    unsaved = context.draft.workspace.unsaved()
    async with copy_of(context, {**unsaved, **context.draft.documents()}) as copy:
        results = [
            as_check(command, await run_in(context, copy, command, named_in))
            for command in context.checks
        ]
    failed = [result.command for result in results if result.status == "failed"]
    if not failed or not against_before:
        return tuple(results)
    async with copy_of(context, unsaved) as copy:
        failed_before = {
            command
            for command in failed
            if (await run_in(context, copy, command, named_in)).exit_code != 0
        }
    return tuple(
        _says_nothing(result) if result.command in failed_before else result for result in results
    )


def as_check(command: str, result: CommandResult) -> CheckResult:
    """What a command's end says, as a check."""
    passed = result.exit_code == 0
    tail = result.output.rstrip().splitlines()[-_SHOWN:]
    return CheckResult(
        name="run",
        command=command,
        status="passed" if passed else "failed",
        exit_code=result.exit_code,
        duration_s=round(result.duration_s, 3),
        details=() if passed else (f"exit code {result.exit_code}", result.confined, *tail),
    )


def _says_nothing(result: CheckResult) -> CheckResult:
    details = ("it fails without this task's changes as well", *result.details)
    return msgspec.structs.replace(result, status="unverified", details=details)
