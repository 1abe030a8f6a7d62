"""A command that an agent runs: on a copy of the workspace, and it keeps nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.workspace.scratch import ScratchCopy

if TYPE_CHECKING:
    from orchestrator_core.mission.agent import TaskContext


async def run_line(context: TaskContext, command: str) -> str:
    """Run a shell line on the task's texts, and tell how it ended and what it wrote.

    Raises:
        UntrustedWorkspace: nobody has trusted the workspace.
        ToolUnavailable: the shell cannot be started.
    """
    shell, draft = context.toolbox.shell, context.draft
    shell.require_trust()
    texts = {**draft.workspace.unsaved(), **draft.documents()}
    files = await context.toolbox.code.glob(hidden=True)
    root = draft.workspace.root
    scratch = await context.pool.submit(ScratchCopy, root, files, texts, context.scratch)
    try:
        result = await shell.run(command, cwd=scratch.path, timeout_s=context.timeout_s)
    finally:
        await context.pool.submit(scratch.remove)
    how = f"{result.outcome}, exit code {result.exit_code}, {result.duration_s:.1f} s"
    return f"{how}\n{result.output}"
