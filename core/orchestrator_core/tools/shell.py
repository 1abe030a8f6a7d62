"""Commands in a workspace that the person trusts."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

from orchestrator_core.errors import UntrustedWorkspace
from orchestrator_core.runtime.command import CancelSignal, CommandResult, run_command
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from orchestrator_core.primitives.buffer_pool import BufferPool
    from orchestrator_core.tools.trust import TrustStore


class Shell:
    """Runs shell lines for one workspace, if it is trusted.

    Args:
        root: the workspace.
        trust: who knows which workspaces are trusted.
        buffers: what output is streamed through.
    """

    def __init__(self, root: Path, trust: TrustStore, buffers: BufferPool | None = None) -> None:
        self._buffers = buffers
        self._root = root
        self._trust = trust

    @property
    def trusted(self) -> bool:
        """Whether commands that the person typed may run here."""
        return self.trusts()

    def trusts(self, named_in: Sequence[str] = ()) -> bool:
        """Whether commands may run that these files of the workspace name."""
        return self._trust.is_trusted(self._root, named_in)

    def require_trust(self, named_in: Sequence[str] = ()) -> None:
        """Go on only in a trusted workspace.

        Raises:
            UntrustedWorkspace: it is not, or a file that names the command has changed.
        """
        if self.trusts(named_in):
            return
        if self.trusted:
            names = ", ".join(named_in)
            raise UntrustedWorkspace(
                f"{names} changed since its commands were trusted: look at it, then run "
                f"`opencode-orchestrator trust` in {self._root}"
            )
        raise UntrustedWorkspace(
            f"nobody has trusted {self._root} to run commands: if you do, run "
            "`opencode-orchestrator trust` there"
        )

    async def run(
        self,
        command: str,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        on_output: Callable[[str], None] | None = None,
        named_in: Sequence[str] = (),
    ) -> CommandResult:
        """Run a shell line to its end; see :func:`orchestrator_core.runtime.command.run_command`.

        Cancelling the coroutine ends the command and all it started, and waits for that.

        Args:
            command: the shell line.
            cwd: where it runs; the workspace by default.
            env: its whole environment; this process's by default.
            timeout_s: after so long it is ended, which is an outcome and no error.
            on_output: given its output as it comes, in a thread of its own.
            named_in: the files of the workspace that the command was read from.

        Raises:
            UntrustedWorkspace: commands may not run here.
            ToolUnavailable: the shell cannot be started.
        """
        self.require_trust(named_in)
        cancel = CancelSignal()
        ended: Future[CommandResult] = Future()
        work = partial(
            run_command,
            command,
            cwd=cwd or self._root,
            env=env,
            timeout_s=timeout_s,
            cancel=cancel,
            on_output=on_output,
            buffers=self._buffers,
        )
        threading.Thread(target=_run, args=(work, ended), name="command", daemon=True).start()
        try:
            return await ended
        except asyncio.CancelledError:
            cancel.cancel()
            await _settled(ended)
            raise


def _run(work: Callable[[], CommandResult], ended: Future[CommandResult]) -> None:
    ended.set_running_or_cancelled()
    try:
        ended.set_result(work())
    except BaseException as error:  # noqa: BLE001 - the waiting coroutine raises it
        ended.set_exception(error)


async def _settled(ended: Future[CommandResult]) -> None:
    """Wait for the end of the command, whatever it is."""
    done = asyncio.get_running_loop().create_future()

    def tell(_: object) -> None:
        done.get_loop().call_soon_threadsafe(done.set_result, None)

    ended.add_done_callback(tell)
    await done
