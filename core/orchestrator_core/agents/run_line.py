"""A command that an agent runs: on a copy of the workspace, and it keeps nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.mission.own_checks import copy_of

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
    async with copy_of(context, texts) as copy:
        result = await shell.run(command, cwd=copy.path, timeout_s=context.timeout_s)
    how = f"{result.outcome}, exit code {result.exit_code}, {result.duration_s:.1f} s"
    return f"{how}\n{result.output}"
