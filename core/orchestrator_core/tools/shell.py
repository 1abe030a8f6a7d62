"""Commands in a workspace that the person trusts."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator_core.errors import UntrustedWorkspace
from orchestrator_core.runtime.command import (
    CancelSignal,
    CommandResult,
    run_command,
    shell_argv,
)
from orchestrator_core.runtime.confinement import filtered_environment
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator_core.primitives.buffer_pool import BufferPool
    from orchestrator_core.runtime.confinement import Confinement
    from orchestrator_core.tools.trust import TrustStore


class Shell:
    """Runs shell lines for one workspace, if it is trusted, and confines them.

    Args:
        root: the workspace.
        trust: who knows which workspaces are trusted.
        confinement: what keeps commands from the rest of the system.
        buffers: what output is streamed through.
        scratch: where commands have their temporary files; the system's folder by default.
        passed: variables that commands get although their names sound like secrets.
    """

    def __init__(
        self,
        root: Path,
        trust: TrustStore,
        confinement: Confinement,
        buffers: BufferPool | None = None,
        *,
        scratch: Path | None = None,
        passed: Sequence[str] = (),
    ) -> None:
        self._buffers = buffers
        self._root = root
        self._trust = trust
        self.confinement = confinement
        self._scratch = scratch
        self._passed = frozenset(passed)

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
        writable: Sequence[Path] = (),
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
            writable: the folders that it may write below, besides one for temporary files.
            env: its whole environment; this process's without its secrets by default.
            timeout_s: after so long it is ended, which is an outcome and no error.
            on_output: given its output as it comes, in a thread of its own.
            named_in: the files of the workspace that the command was read from.

        Raises:
            UntrustedWorkspace: commands may not run here.
            ToolUnavailable: the shell cannot be started.
            Unconfined: it cannot be confined, and the settings want that.
        """
        self.require_trust(named_in)
        cancel = CancelSignal()
        ended: Future[CommandResult] = Future()
        work = partial(
            self._run_confined,
            shell_argv(command),
            writable,
            dict(env) if env is not None else filtered_environment(os.environ, self._passed),
            cwd=cwd or self._root,
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

    def _run_confined(
        self, argv: Sequence[str], writable: Sequence[Path], env: dict[str, str], **how: Any
    ) -> CommandResult:
        """Run a program to its end with a folder of its own for temporary files."""
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = Path(tempfile.mkdtemp(prefix="tmp-", dir=self._scratch))
        try:
            env["TMPDIR"] = str(temporary)
            # Programs that keep caches fail where they cannot write one.
            env["XDG_CACHE_HOME"] = str(temporary / "cache")
            confined = self.confinement.wrap(argv, [temporary, *writable])
            result = run_command(confined, env=env, **how)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return msgspec.structs.replace(result, confined=self.confinement.in_force())


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
