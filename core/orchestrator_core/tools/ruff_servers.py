"""The ``ruff server`` processes of one workspace, one for each set of rules.

They stay: one for findings and formatting, and one for each set of rules that fixes were asked for
(at most ``MAX_SERVERS``). They are told when the workspace's configuration has changed.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from orchestrator_core.errors import RequestError, ToolCrashed, ToolError, ToolTimeout
from orchestrator_core.tools.language_server import LanguageServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SERVERS = 4
ALWAYS = ("F", "E9")
"""Rules that hold whatever a workspace configures: names that exist, texts that parse."""

Rules = tuple[str, ...] | None
"""Those that a server fixes, the configured ones if empty; None for findings and formatting."""

_CONFIGURATIONS = ("pyproject.toml", "ruff.toml", ".ruff.toml")


class UnknownRule(RequestError):
    """A rule was asked for that the linter does not have."""


class Query(Struct, frozen=True):
    """A request about one document, and the type of its answer."""

    method: str
    params: dict[str, object]
    result_type: Any


class RuffServers:
    """Starts, asks and ends the servers. Thread-safe; coroutines may run in any loop.

    Args:
        root: the workspace.
        ruff: the program.
        timeout_s: the deadline of each answer.
    """

    def __init__(self, root: Path, ruff: str, timeout_s: float) -> None:
        self._root = root
        self._ruff = ruff
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._servers: dict[Rules, LanguageServer] = {}
        self._configuration: dict[Path, int] = {}

    async def ask(self, rules: Rules, path: str, text: str, query: Query) -> tuple[Any, str]:
        """Ask the server for ``rules`` about a text; a crash is survived once.

        Returns:
            The result, and the encoding that its positions are in.

        Raises:
            UnknownRule: there is no such rule.
            ToolError: ruff cannot run, or the workspace's configuration of it is wrong.
        """
        crashed = False
        while True:
            server = self._server(rules, path)
            try:
                async with asyncio.timeout(self._timeout_s):
                    result = await server.query(
                        path, text, query.method, query.params, query.result_type
                    )
            except TimeoutError as error:
                server.kill()
                raise ToolTimeout(
                    f"ruff gave no answer for {path} within {self._timeout_s:g} s"
                ) from error
            except ToolCrashed:
                if crashed:
                    raise
                crashed = True
                continue
            if server.complaints:
                raise await _explain(server)
            return result, server.encoding

    def close(self) -> None:
        """End the servers."""
        with self._lock:
            servers, self._servers = [*self._servers.values()], {}
        for server in servers:
            server.stop()
        for server in servers:
            server.close()

    def _server(self, rules: Rules, path: str) -> LanguageServer:
        with self._lock:
            self._notice_configuration((self._root / path).parent)
            server = self._servers.pop(rules, None)
            if server is None or server.dead:
                settings = {"settings": _settings(rules)}
                server = LanguageServer([self._ruff, "server"], self._root, settings=settings)
            self._servers[rules] = server  # the last used stands last
            idle = [key for key, other in self._servers.items() if not other.busy]
            surplus = len(self._servers) - MAX_SERVERS
            for key in [key for key in idle if key != rules][: max(0, surplus)]:
                self._servers.pop(key).stop()
            return server

    def _notice_configuration(self, folder: Path) -> None:
        """Tell the servers of configuration files that changed from ``folder`` up to the root."""
        changed = [*self._changed_configuration(folder)]
        if not changed:
            return
        changes = {"changes": [{"uri": file.as_uri(), "type": 2} for file in changed]}
        for key, server in [*self._servers.items()]:
            server.notify("workspace/didChangeWatchedFiles", changes)
            if server.complaints:  # perhaps about what has been changed now
                self._servers.pop(key).stop()

    def _changed_configuration(self, folder: Path) -> Iterator[Path]:
        while folder.is_relative_to(self._root):
            for name in _CONFIGURATIONS:
                file = folder / name
                stamp = _stamp(file)
                if self._configuration.setdefault(file, stamp) != stamp:
                    self._configuration[file] = stamp
                    yield file
            folder = folder.parent


def _settings(rules: Rules) -> dict[str, object]:
    """The options of a server."""
    lint = {"extendSelect": list(ALWAYS)} if rules is None else {"select": list(rules)}
    return {
        "configurationPreference": "editorFirst",
        "configuration": {"unsafe-fixes": False},
        "lint": lint if rules or rules is None else {},
        "logLevel": "error",
        "showSyntaxErrors": True,
    }


async def _explain(server: LanguageServer) -> ToolError | UnknownRule:
    """The error behind a complaint about settings: the server logs it."""
    for _ in range(20):
        causes = [line.partition(" ERROR ")[2] for line in server.log().splitlines()]
        for cause in filter(None, causes):
            if "editor settings" in cause:
                return UnknownRule(f"fix: {cause.partition('settings: ')[2]}")
            return ToolError(f"ruff cannot use the workspace's configuration: {cause}")
        await asyncio.sleep(0.01)  # the log comes by another pipe than the complaint
    return ToolError(f"ruff: {'; '.join(server.complaints)}")


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
