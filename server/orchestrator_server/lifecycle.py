"""Serving one client from its first byte to the end of the process, whatever ends it.

The end comes from ``exit``, the end of the input, SIGTERM, SIGINT or SIGHUP, the editor's
death, a broken output, or a handler that raises SystemExit. Each leads to the same: the
shutdown callback runs once, what is queued is written, and `run` returns the exit code.

============================  =========
what ends the server          exit code
============================  =========
``exit`` after ``shutdown``   0
``exit`` without it           1
the end of the input, the     0 after ``shutdown``, else 1
editor's death, or a broken
output
SIGTERM, SIGINT, SIGHUP       0 (the wish of whoever sent it was carried out)
SystemExit in a handler       its code
============================  =========

Where the shutdown callback raises, a 0 becomes 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from orchestrator_core.runtime import collector
from orchestrator_core.runtime.watchdog import HardExit, ProcessWatch
from orchestrator_server.transport import Wire, WireReader, claim_stdio
from orchestrator_server.wire_writer import WireWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from orchestrator_server.server import HardenedServer

    OnShutdown = Callable[[str], Awaitable[None]]

logger = logging.getLogger(__name__)

HARD_EXIT_S = 12.0
"""The shutdown callback has 10 s; two more and the process is ended by force."""

_SWITCH_INTERVAL_S = 0.001
_CANCEL_S = 1.0
_FLUSH_S = 1.0
_ABRUPT_FLUSH_S = 0.2  # to a client that did not ask for the end, and may be gone


def run(
    server: HardenedServer,
    *,
    on_shutdown: OnShutdown,
    last_resort: Callable[[], None] = lambda: None,
    hard_exit_s: float = HARD_EXIT_S,
) -> int:
    """Serve on standard input and output until the end and return the exit code.

    Runs its own event loop. The two are the protocol's alone for the rest of the process.

    Once ``initialize`` was answered, what has been loaded is taken out of the garbage
    collector's sight: the types of the LSP are some 100,000 objects, and each full pass over
    them would cost tens of milliseconds under load; and it looks less often, for the engine's
    records have no cycles. Threads hand over the interpreter's lock every millisecond, for an
    answer needs it three times, and at the default of five waits that often behind a busy worker.

    Args:
        server: the server, with all its features registered.
        on_shutdown: releases everything that was constructed; called once, on the loop, with
            what ended the server. It must bound itself to 10 s.
        last_resort: kills what is left when the end hangs; called in a thread.
        hard_exit_s: the process ends by force this long after the end began, even when `run`
            has returned.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    return asyncio.run(
        Session(
            server,
            claim_stdio(),
            on_shutdown,
            last_resort=last_resort,
            hard_exit_s=hard_exit_s,
            on_ready=collector.settle,
        ).serve()
    )


def leave(exit_code: int) -> None:
    """End the process at once, its log flushed.

    Nothing of ours is left to tear down after `run`, and the interpreter's own way out would
    wait for any handler's thread that is still busy.
    """
    # In a thread, for whoever reads standard error may be stuck.
    flushing = threading.Thread(target=_flush, name="flush", daemon=True)
    flushing.start()
    flushing.join(_FLUSH_S)
    os._exit(exit_code)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def kill_children() -> None:
    """Kill every descendant of this process: the last resort of an end that hangs."""
    from orchestrator_core.runtime import process  # noqa: PLC0415 (start-up does not pay for it)

    process.kill_children()


class Session:
    """One client's conversation: the wire, what may end it, and its one end.

    Args: as `run`, and
        on_ready: called after ``initialize`` was answered.
    """

    def __init__(
        self,
        server: HardenedServer,
        wire: Wire,
        on_shutdown: OnShutdown,
        *,
        last_resort: Callable[[], None] = lambda: None,
        hard_exit_s: float | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._on_ready = on_ready
        self._wire = wire
        self._on_shutdown = on_shutdown
        self._hard_exit_s = hard_exit_s
        self._hard_exit = HardExit(last_resort)
        self._lock = threading.RLock()  # a signal's handler may interrupt its holder
        self._reason: str | None = None
        self._exit_code: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._released: asyncio.Task[bool] | None = None
        self._watch: ProcessWatch | None = None

    async def serve(self) -> int:
        """Serve until something ends it; return the exit code."""
        self._loop = asyncio.get_running_loop()
        writer = WireWriter(self._wire.output_fd, on_broken=self._on_broken)
        reader = WireReader(
            self._wire.input_fd,
            self._loop,
            deliver=self._server.protocol.receive,
            on_end=lambda: self.end("the end of the input"),
            on_end_seen=self._arm,
            may_read=lambda: not writer.congested,
        )
        self._server.session = self
        self._server.protocol.outgoing.sink = writer
        with self._signals():
            writer.start()
            reader.start()
            try:
                await self._ended.wait()
                return await self._finish(reader, writer)
            finally:
                self._server.session = None

    def end(self, reason: str, *, exit_code: int | None = None) -> None:
        """Begin the end; from any thread or a signal handler. Only the first call counts.

        Args:
            reason: what ended the server.
            exit_code: the process's; where None, 0 after ``shutdown`` and else 1.
        """
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            self._exit_code = exit_code
        self._arm()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._ended.set)

    async def release(self, reason: str, timeout_s: float | None = None) -> bool:
        """Run the shutdown callback once; wait for it, at most ``timeout_s``.

        Returns:
            Whether it is done, and went well.
        """
        if self._released is None:
            self._released = asyncio.create_task(self._release(reason))
        done, _ = await asyncio.wait({self._released}, timeout=timeout_s)
        return bool(done) and self._released.result()

    def initialized(self, editor_pid: int | None) -> None:
        """The answer to ``initialize`` is about to be sent.

        From now on the editor's death ends the server, even while the pipes stay open.
        """
        if self._loop is not None:
            self._loop.call_soon(self._on_ready)
        if editor_pid is not None and self._watch is None:
            self._watch = ProcessWatch(editor_pid, lambda: self.end("the editor's death"))

    async def _release(self, reason: str) -> bool:
        try:
            await self._on_shutdown(reason)
        except Exception:
            logger.exception("the shutdown callback failed")
            return False
        return True

    async def _finish(self, reader: WireReader, writer: WireWriter) -> int:
        reason = self._reason or "unknown"
        logger.info("ending: %s", reason)
        protocol = self._server.protocol
        exit_code = self._exit_code
        if exit_code is None:
            exit_code = 0 if protocol.shut_down else 1
        # Handlers may wait for what the callback closes, and for a client that is gone.
        protocol.outgoing.cancel_requests()
        protocol.invoker.cancel_all()
        if not await self.release(reason):
            exit_code = exit_code or 1
        if not await protocol.invoker.wait_all(_CANCEL_S):
            logger.warning("some handlers did not end within %.1f s", _CANCEL_S)
        self._server.stop_threads()
        self._close_wire(reader, writer)
        if self._watch is not None:
            self._watch.close()
        if self._hard_exit_s is None:
            self._hard_exit.disarm()
        return exit_code

    def _close_wire(self, reader: WireReader, writer: WireWriter) -> None:
        if reader.close():
            os.close(self._wire.input_fd)
        orderly = self._server.protocol.shut_down
        if not writer.close(_FLUSH_S if orderly else _ABRUPT_FLUSH_S):
            logger.warning("the client did not read all that was sent to it")
        if writer.ended:
            os.close(self._wire.output_fd)

    def _arm(self) -> None:
        """Bound the end from the moment it is seen, in case the loop is blocked."""
        if self._hard_exit_s is not None:
            self._hard_exit.arm(self._hard_exit_s, self._exit_code or 1)

    def _on_broken(self, error: OSError) -> None:
        self.end(f"the client cannot be written to: {error}")

    @contextlib.contextmanager
    def _signals(self) -> Generator[None]:
        """Let signals end the server the same way (mends 17).

        They are handled by ``signal.signal`` rather than by the loop, so that the time for
        the end starts even while the loop is blocked.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = ["SIGTERM", "SIGINT", "SIGHUP"]
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before: dict[int, Any] = {n: signal.signal(n, self._on_signal) for n in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.end(signal.Signals(number).name, exit_code=0)
