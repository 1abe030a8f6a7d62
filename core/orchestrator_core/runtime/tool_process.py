"""One tool server process: JSON-RPC messages, one a line, over its pipes.

A *keeper* thread starts the process, reads from it and reaps it, and lives exactly as long as the
process does. It must be that way: a server that asks Linux for a signal at its parent's death
(``PR_SET_PDEATHSIG``) gets it at the death of the *thread* that started it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from orchestrator_core.errors import ToolCrashed, ToolError, ToolUnavailable
from orchestrator_core.primitives.buffer_pool import BufferPool
from orchestrator_core.runtime.json_rpc import METHOD_NOT_FOUND, Message
from orchestrator_core.runtime.pipe_writer import PipeWriter
from orchestrator_core.runtime.process import CHUNK_BYTES, KILL, Child

if TYPE_CHECKING:
    import io
    from collections.abc import Generator, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

PROTOCOL_VERSION = "2025-06-18"


class Owner(Protocol):
    """Who a process reports to, always from its keeper thread."""

    def on_ready(self, process: ToolProcess) -> None:
        """The handshake is done."""

    def on_answer(self, process: ToolProcess, message: Message) -> None:
        """A request was answered."""

    def on_end(self, process: ToolProcess, error: ToolError) -> None:
        """The process is gone; ``error`` says how. Nothing comes after this."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)


def encode(method: str, params: object, request_id: int | None = None) -> bytes:
    """One line: a request, or without ``request_id`` a notification."""
    message: dict[str, object] = {"jsonrpc": "2.0", "method": method, "params": params}
    if request_id is not None:
        message["id"] = request_id
    return _encoder.encode(message) + b"\n"


class ToolProcess:
    """A tool server that is being started, runs, or has ended. Thread-safe.

    Args:
        argv: the program and its arguments.
        cwd: its working directory.
        owner: told of readiness, answers and the end.
        buffers: what its output is read through.
    """

    INITIALIZE_ID = 0

    def __init__(
        self, argv: Sequence[str], cwd: Path, owner: Owner, buffers: BufferPool | None = None
    ) -> None:
        self._buffers = BufferPool(0) if buffers is None else buffers
        self._argv = argv
        self._cwd = cwd
        self._owner = owner
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._writer: PipeWriter | None = None
        self._stopping = False
        self._killed_because = ""
        self.ready = False
        self._keeper = threading.Thread(target=self._keep, name="tool-process", daemon=True)

    def start(self) -> None:
        """Begin; the owner hears of success or failure."""
        self._keeper.start()

    @property
    def pid(self) -> int | None:
        """The process's id once it was started."""
        return None if self._child is None else self._child.pid

    def rss_bytes(self) -> int:
        """Its resident memory; 0 while there is none."""
        return 0 if self._child is None else self._child.rss_bytes()

    def send(self, line: bytes) -> None:
        """Write a message without blocking; dropped when the process is ending (``on_end`` tells)."""
        if self._writer is not None:
            self._writer.send(line)

    def stop(self) -> None:
        """Ask it to end, by the end of its input."""
        with self._lock:
            self._stopping = True
            if self._writer is not None:
                self._writer.finish()

    def kill(self, reason: str) -> None:
        """End it now; ``reason`` becomes part of the error that its calls get."""
        with self._lock:
            self._stopping = True
            self._killed_because = self._killed_because or reason
            child = self._child
        if child is not None:
            child.signal_group(KILL)

    def join(self, timeout_s: float) -> bool:
        """Wait until it is gone and reaped; whether that happened in time."""
        if threading.current_thread() is self._keeper:
            return False
        self._keeper.join(max(0.0, timeout_s))
        return not self._keeper.is_alive()

    def _keep(self) -> None:
        try:
            child = Child(self._argv, cwd=self._cwd, own_session=False, buffers=self._buffers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the calls must not wait for it
            self._owner.on_end(self, ToolUnavailable(str(error)))
            return
        problem = ""
        try:
            self._open(child)
            with self._buffers.lease(CHUNK_BYTES) as buffer:
                for line in _lines(cast("io.FileIO", child.stdout), buffer):
                    self._handle(line)
        except msgspec.DecodeError as error:
            problem = f"sent what is not a JSON-RPC message ({error})"
        except Exception as error:
            logger.exception("reading from a tool process failed")
            problem = f"was given up after an error in its reader ({error!r})"
        with self._lock:
            reason = self._killed_because or problem
            if self._writer is not None:
                self._writer.abandon()
        code = child.close(grace_s=0.0 if reason else 1.0)
        self._owner.on_end(self, self._error(child, code, reason))

    def _open(self, child: Child) -> None:
        with self._lock:
            self._child = child
            self._writer = PipeWriter(child.stdin)
            if self._stopping:  # before there was anything to stop
                self._writer.finish()
        client = {"name": "opencode-orchestrator", "version": "0.1.0"}
        params = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": client}
        self.send(encode("initialize", params, self.INITIALIZE_ID))

    def _handle(self, line: bytearray | memoryview) -> None:
        message = _decoder.decode(line)
        if message.method is not None:
            if message.id is not None:
                error = {"code": METHOD_NOT_FOUND, "message": f"no method {message.method}"}
                answer = {"jsonrpc": "2.0", "id": message.id, "error": error}
                self.send(_encoder.encode(answer) + b"\n")
        elif message.id == self.INITIALIZE_ID:
            if message.error is not None:
                self.kill(f"refused to start: {message.error.message}")
                return
            self.send(encode("notifications/initialized", {}))
            self.ready = True
            self._owner.on_ready(self)
        else:
            self._owner.on_answer(self, message)

    def _error(self, child: Child, code: int, reason: str) -> ToolError:
        tail = child.stderr_tail()
        what = reason or (f"was ended by signal {-code}" if code < 0 else f"ended with code {code}")
        text = f"{child.name} (process {child.pid}) {what}"
        if tail:
            text += f"; its last words: {tail[-500:]}"
        return ToolCrashed(text) if self.ready else ToolUnavailable(text)


def _lines(stream: io.FileIO, view: memoryview) -> Generator[bytearray | memoryview]:
    """The lines of a stream; each is valid only until the next is asked for."""
    buffer = cast("bytearray", view.obj)
    pending = bytearray()
    while count := stream.readinto(buffer):
        start = 0
        while (end := buffer.find(b"\n", start, count)) >= 0:
            if pending:
                pending += view[start:end]
                yield pending
                pending = bytearray()
            elif end > start:
                yield view[start:end]
            start = end + 1
        pending += view[start:count]
