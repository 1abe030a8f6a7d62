"""A client for child language servers over stdio: just what linting and renaming need.

It is built on futures and threads, not on an event loop, so that any loop and any thread may use
one server. Positions are counted in the unit that the server chose (``encoding``).
"""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import unquote, urlsplit

import msgspec

from orchestrator_core.decoding import decode
from orchestrator_core.errors import ToolCrashed, ToolError, ToolTimeout, ToolUnavailable
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.json_rpc import Message, settle
from orchestrator_core.runtime.pipe_writer import PipeWriter
from orchestrator_core.runtime.process import KILL, Child
from orchestrator_core.tools import language_client as client

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from msgspec import Raw

logger = logging.getLogger(__name__)

_SHUTDOWN_ID = -1


class LanguageServer:
    """A language server process, started with the object. Thread-safe.

    A server that has died stays dead (:attr:`dead`): its owner makes another.

    Args:
        argv: the program and its arguments.
        root: the workspace.
        settings: ``initializationOptions``.
    """

    def __init__(
        self, argv: Sequence[str], root: Path, *, settings: Mapping[str, object] | None = None
    ) -> None:
        self._argv = argv
        self._root = root
        self._settings = settings or {}
        self._lock = threading.Lock()
        self._pending: dict[int, _Request] = {}
        self._next_id = 1
        self._held: list[bytes] | None = []  # messages that wait for the end of the handshake
        self._child: Child | None = None
        self._writer: PipeWriter | None = None
        self._error: ToolError | None = None
        self._closing = False
        self._ready = threading.Event()
        self._complaints: list[str] = []
        self.encoding = "utf-16"
        self._keeper = threading.Thread(target=self._keep, name="language-server", daemon=True)
        self._keeper.start()

    def wait_ready(self, timeout_s: float = 10.0) -> None:
        """Wait for the handshake: only then is :attr:`encoding` known. Blocks.

        Raises:
            ToolError: the server died, or was not ready in time.
        """
        if not self._ready.wait(timeout_s):
            raise ToolTimeout(f"{self._argv[0]} was not ready within {timeout_s:g} s")
        if self._error is not None:
            raise type(self._error)(str(self._error))

    @property
    def complaints(self) -> tuple[str, ...]:
        """The errors that the server wanted shown to the person."""
        return tuple(self._complaints)

    def log(self) -> str:
        """The end of what the server wrote to stderr."""
        return "" if self._child is None else self._child.stderr_tail()

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._pending)

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return self._error is not None

    def uri(self, path: str) -> str:
        """The URI of a file, relative to the workspace."""
        return (self._root / path).as_uri()

    def path(self, uri: str) -> str | None:
        """The path of a URI, relative to the workspace; ``None`` if it is elsewhere."""
        name = unquote(urlsplit(uri).path)
        if os.name == "nt":
            name = name.lstrip("/")
        for root in (self._root, self._root.resolve()):
            relative = os.path.relpath(name, root).replace(os.sep, "/")
            if not relative.startswith(".."):
                return relative
        return None

    def request(self, method: str, params: object, result_type: Any = Any) -> Future[Any]:
        """Ask; the future gives the result as ``result_type``. Cancelling it tells the server.

        Raises (from the future):
            ToolRejected: the server answered with an error.
            ToolCrashed: the server died; ToolUnavailable: it could not be started.
        """
        request = _Request(method, result_type)
        with self._lock:
            self._ask(request, params)
        if self._error is not None:  # it may have died before it could be asked
            self._fail(request, self._error)
        return request.future

    def query(
        self, path: str, text: str, method: str, params: Mapping[str, object], result_type: Any
    ) -> Future[Any]:
        """Ask something of a document that is open for this one request.

        The server sees opening, request and closing in one piece: several queries of one path,
        each with a text of its own, may be under way at once.
        """
        request = _Request(method, result_type)
        document = {"textDocument": {"uri": self.uri(path)}}
        with self._lock:
            self._post({"method": "textDocument/didOpen", "params": self._opened(path, text)})
            self._ask(request, {**document, **params})
            self._post({"method": "textDocument/didClose", "params": document})
        if self._error is not None:
            self._fail(request, self._error)
        return request.future

    def notify(self, method: str, params: object) -> None:
        """Tell; lost without a word if the server is dead."""
        with self._lock:
            self._post({"method": method, "params": params})

    def open(self, path: str, text: str) -> None:
        """Give the server the text of a file, until :meth:`close_document`."""
        self.notify("textDocument/didOpen", self._opened(path, text))

    def close_document(self, path: str) -> None:
        """Have the server read the file from disk again."""
        self.notify("textDocument/didClose", {"textDocument": {"uri": self.uri(path)}})

    def stop(self) -> None:
        """Ask the server to shut down, without waiting for it."""
        with self._lock:
            self._closing = True
            if self._held is None:
                self._post({"id": _SHUTDOWN_ID, "method": "shutdown"})
                self._post({"method": "exit"})
            if self._writer is not None:
                self._writer.finish()

    def close(self, deadline_s: float = 2.0) -> None:
        """Shut the server down politely, then by force; what is pending fails."""
        self.stop()
        self._keeper.join(deadline_s)
        if self._keeper.is_alive():
            self.kill()
            self._keeper.join(1.0)

    def kill(self) -> None:
        """End the server at once."""
        child = self._child
        if child is not None:
            child.signal_group(KILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self, path: str, text: str) -> dict[str, object]:
        document = {"uri": self.uri(path), "languageId": "python", "version": 1, "text": text}
        return {"textDocument": document}

    def _ask(self, request: _Request, params: object) -> None:
        """Send a request and expect its answer; the lock is held."""
        call_id = self._next_id
        self._next_id += 1
        request.future.set_running_or_cancelled(partial(self._cancel, call_id))
        self._pending[call_id] = request
        self._post({"id": call_id, "method": request.method, "params": params})

    def _fail(self, request: _Request, error: ToolError) -> None:
        request.future.set_exception(type(error)(f"{request.method}: {error}"))

    def _cancel(self, call_id: int) -> None:
        with self._lock:
            pending = self._pending.pop(call_id, None)
            if pending is not None:
                self._post({"method": "$/cancelRequest", "params": {"id": call_id}})
        if pending is not None:
            pending.future.set_cancelled()

    def _post(self, message: dict[str, object]) -> None:
        """Send a message, after the handshake; the lock is held."""
        frame = client.frame(message)
        if self._held is not None:
            self._held.append(frame)
        elif self._writer is not None:
            self._writer.send(frame)

    def _keep(self) -> None:
        """Start the server, read from it until it ends, and fail what is then pending."""
        try:
            child = Child(self._argv, cwd=self._root, own_session=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, requests must not wait for it
            self._end(ToolUnavailable(str(error)))
            return
        problem = ""
        writer = PipeWriter(child.stdin)
        try:
            with self._lock:
                self._child = child
                self._writer = writer
                if self._closing:
                    writer.finish()
            writer.send(client.frame(client.initialize(self._root, self._settings)))
            for body in client.read_frames(cast("io.FileIO", child.stdout)):
                self._handle(decode(body, Message), writer)
        except (msgspec.DecodeError, ValueError) as error:
            problem = f"sent what is not a message ({error})"
        with self._lock:
            self._writer = None
        writer.abandon()
        code = child.close(grace_s=0.0 if problem else 1.0)
        text = f"{child.name} {problem or f'ended with code {code}'}"
        tail = child.stderr_tail()[-500:]
        self._end(ToolCrashed(f"{text}; its last words: {tail}" if tail else text))

    def _end(self, error: ToolError) -> None:
        with self._lock:
            self._error = error
            pending = [*self._pending.values()]
            self._pending.clear()
        self._ready.set()
        if not self._closing:
            logger.warning("%s", error)
        for request in pending:
            self._fail(request, error)

    def _handle(self, message: Message, writer: PipeWriter) -> None:
        if message.method is not None:
            if message.id is not None:
                writer.send(client.frame(client.reply(message, self._root)))
            elif (complaint := client.complaint(message)) is not None:
                self._complaints.append(complaint)
            else:
                logger.debug("%s: %s", message.method, bytes(message.params)[:500])
            return
        if message.id == client.INITIALIZE_ID:
            self._begin(message, writer)
            return
        with self._lock:
            request = self._pending.pop(cast("int", message.id), None)
        if request is not None:
            settle(request.future, message, request.decode, request.method)

    def _begin(self, message: Message, writer: PipeWriter) -> None:
        """The handshake is answered: send what waited for it."""
        self.encoding = client.agreed_encoding(message)
        with self._lock:
            writer.send(client.frame({"method": "initialized", "params": {}}))
            for frame in self._held or ():
                writer.send(frame)
            self._held = None
            self._ready.set()
            if self._closing:
                writer.finish()


class _Request:
    """A request that waits for its answer."""

    __slots__ = ("_result_type", "future", "method")

    def __init__(self, method: str, result_type: Any) -> None:
        self.method = method
        self.future: Future[Any] = Future()
        self._result_type = result_type

    def decode(self, result: Raw) -> Any:
        return decode(result, self._result_type)
