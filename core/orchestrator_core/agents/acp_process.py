"""An agent's process and the messages on its pipes: JSON-RPC, one message a line.

The process leads a group of its own, ends with this one, and its stderr is drained and bounded
(:class:`~orchestrator_core.runtime.process.Child`). What it writes to stdout is bounded as well: a
message by its size, what is no message by its count. What an agent tells of its turns is heard
here, in its order; the SDK would hand it to concurrent tasks.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from orchestrator_core.runtime.pipe_writer import PipeWriter
from orchestrator_core.runtime.process import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

MESSAGE_BYTES = 32 * 2**20
GARBAGE_LINES = 50
"""Some programs greet on stdout before they speak the protocol; more than this is no greeting."""

_TURN = 64
"""After so many messages without a pause, others get their turn on the event loop."""

_SHOWN = 120
_ENDS_S = 0.5
"""How long after its output the end of a process is waited for, to say how it ended."""


class AgentProcess:
    """A running agent; a ``Transport`` of the SDK. Lives on one event loop.

    Args:
        child: the process; owned from now on.
        on_update: told of each ``session/update``, in the order they came.

    Attributes:
        fault: what was wrong with its output, if that is why nothing more is read.
    """

    def __init__(self, child: Child, on_update: Callable[[str, dict[str, Any]], None]) -> None:
        self._child = child
        self._on_update = on_update
        self._reader = asyncio.StreamReader(limit=MESSAGE_BYTES)
        self._reading: asyncio.ReadTransport | None = None
        self._writer = PipeWriter(child.stdin)
        self._garbage = 0
        self._closing: asyncio.Future[None] | None = None
        self.fault = ""

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_update: Callable[[str, dict[str, Any]], None],
    ) -> Self:
        """Start the program.

        Raises:
            ToolUnavailable: it cannot be started.
        """
        child = await asyncio.to_thread(Child, argv, cwd=cwd, env=env)
        process = cls(child, on_update)
        loop = asyncio.get_running_loop()
        process._reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(process._reader), child.stdout
        )
        return process

    @property
    def alive(self) -> bool:
        """Whether it runs, and can be understood."""
        return not self.fault and self._closing is None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._child.pid

    def epitaph(self) -> str:
        """Why nothing can be expected from it any more, as far as is known. Blocks a moment."""
        code = self._child.wait(_ENDS_S)
        ended = self.fault or (
            "it closed its output" if code is None else f"it ended with exit code {code}"
        )
        tail = self._child.stderr_tail().splitlines()[-3:]
        return f"{ended}: {' / '.join(tail)[-500:]}" if tail else ended

    async def send(self, message: dict[str, Any]) -> None:
        """Write a message, or keep it until the agent reads."""
        if self._closing is not None:
            raise ConnectionError("the agent's process is closed")
        if message.get("method") == "initialize":
            # The SDK has no field for it. Without it agents put their own notices into the
            # answer, where they look like what the model said.
            message["params"]["clientCapabilities"]["session"] = {"notices": {}}
        self._writer.send(msgspec.json.encode(message) + b"\n")

    async def receive(self) -> dict[str, Any] | None:
        """The next message that is no update; None at the end, or where it cannot go on."""
        heard = 0
        while not self.fault:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return None
            except asyncio.LimitOverrunError:
                self.fault = f"it wrote a message of more than {MESSAGE_BYTES // 2**20} MiB"
                return None
            message = self._message(line)
            if message is not None and message.get("method") != "session/update":
                return message
            if message is not None:
                self._update(message.get("params"))
            heard += 1
            if heard % _TURN == 0:
                await asyncio.sleep(0)
        return None

    async def close(self) -> None:
        """End the process and all that it started; idempotent, and the same for all who call."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._reading is not None:
            self._reading.close()
            await asyncio.sleep(0)  # the pipe is closed in the turn after its transport
        self._writer.abandon()
        await asyncio.to_thread(self._child.close)

    def _message(self, line: bytes) -> dict[str, Any] | None:
        """The message in a line; None if it holds none."""
        if not line.strip():
            return None
        try:
            message: object = msgspec.json.decode(line)
        except msgspec.DecodeError:
            message = None
        if isinstance(message, dict):
            return cast("dict[str, Any]", message)
        self._garbage += 1
        said = line[:_SHOWN].decode("utf-8", "replace").strip()
        logger.info("the agent wrote what is no message: %s", said)
        if self._garbage > GARBAGE_LINES:
            self.fault = f"it does not speak the protocol, but writes {said!r}"
        return None

    def _update(self, params: object) -> None:
        told = cast("dict[str, Any]", params) if isinstance(params, dict) else {}
        session, update = told.get("sessionId"), told.get("update")
        if isinstance(session, str) and isinstance(update, dict):
            self._on_update(session, cast("dict[str, Any]", update))
