"""What an agent asks of us, answered under the permission rules: files, and whether it may act.

Everything is about the session's copy of the workspace. What the rules do not settle is put to
the person; where nobody answers it is denied. Terminals are not offered: the agent is told so.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from typing import TYPE_CHECKING, Any, cast

from acp import RequestError
from acp.schema import (
    AllowedOutcome,
    DeniedOutcome,
    ReadTextFileResponse,
    RequestPermissionResponse,
    WriteTextFileResponse,
)

from orchestrator_core.agents.acp_turn import changed_paths
from orchestrator_core.errors import OrchestratorError, PermissionDenied, UntrustedWorkspace
from orchestrator_core.tools.registry import Permission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping
    from pathlib import Path

    from acp.schema import PermissionOption, ToolCallUpdate

    from orchestrator_core.agents.acp_place import Place

_PATHS = ("path", "filepath", "filePath", "file_path", "abs_path", "fileName")
_SHELLS = frozenset({"sh", "bash", "zsh", "dash"})


class AgentClient:
    """Answers one agent's requests. Lives on the event loop.

    Args:
        places: what each of its sessions works on now.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places

    async def request_permission(
        self,
        session_id: str,
        tool_call: ToolCallUpdate,
        options: list[PermissionOption],
        **_: Any,
    ) -> RequestPermissionResponse:
        """Decide about a tool call, or have the person decide."""
        place = self._places.get(session_id)
        if place is None or place.turn.reason:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        call = tool_call.model_dump(by_alias=True, exclude_none=True)
        with place.turn.asking():
            allowed = await _until_off(place, _judge(place, call))
        kinds = ("allow_once", "allow_always") if allowed else ("reject_once", "reject_always")
        by_kind = {option.kind: option.option_id for option in reversed(options)}
        chosen = next((by_kind[kind] for kind in kinds if kind in by_kind), None)
        if chosen is None or allowed is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(
            outcome=AllowedOutcome(outcome="selected", option_id=chosen)
        )

    async def read_text_file(
        self,
        session_id: str,
        path: str,
        line: int | None = None,
        limit: int | None = None,
        **_: Any,
    ) -> ReadTextFileResponse:
        """Read a file of the session's copy, or some lines of it (from ``line``, 1 is first)."""
        place, name, file = self._file(session_id, path)
        await _allowed(place, place.require("read", Permission.READ, [name]))
        try:
            text = await asyncio.to_thread(file.read_text, "utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError.invalid_params({"details": f"{name}: {error}"}) from error
        if line is not None or limit is not None:
            start = max(0, (line or 1) - 1)
            lines = text.splitlines(keepends=True)
            text = "".join(lines[start : None if limit is None else start + limit])
        return ReadTextFileResponse(content=text)

    async def write_text_file(
        self, session_id: str, path: str, content: str, **_: Any
    ) -> WriteTextFileResponse:
        """Write a file of the session's copy."""
        place, name, file = self._file(session_id, path)
        await _allowed(place, place.require_write(name))
        try:
            await asyncio.to_thread(_write, file, content)
        except OSError as error:
            raise RequestError.invalid_params({"details": f"{name}: {error}"}) from error
        return WriteTextFileResponse()

    def _file(self, session_id: str, path: str) -> tuple[Place, str, Path]:
        place = self._places.get(session_id)
        if place is None:
            raise RequestError.invalid_params({"details": f"session {session_id} does not work"})
        name, file = place.tree.relative(path), place.tree.locate(path)
        if name is None or file is None:
            raise RequestError.invalid_params(
                {"details": f"{path} is outside the copy of the workspace, {place.tree.path}"}
            )
        return place, name, file


async def _until_off(place: Place, deciding: Awaitable[bool]) -> bool | None:
    """What is decided; None if the turn is called off before."""
    asked = asyncio.ensure_future(deciding)
    off = asyncio.ensure_future(place.turn.off.wait())
    try:
        await asyncio.wait((asked, off), return_when="FIRST_COMPLETED")
        return asked.result() if asked.done() else None
    finally:
        asked.cancel()
        off.cancel()


async def _judge(place: Place, call: dict[str, Any]) -> bool:
    """Whether a tool call may be made."""
    kind = str(call.get("kind") or "other")
    given: object = call.get("rawInput")
    raw = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    try:
        if kind in ("edit", "delete", "move"):
            for name in _names(place, call, raw):
                await place.require_write(name)
        elif kind in ("read", "search"):
            names = list(_names(place, call, raw)) or ["."]
            await place.require("read", Permission.READ, names)
        elif kind == "execute":
            place.require_trust()
            await place.require("run", Permission.EXECUTE, command=_command(place, call, raw))
        elif kind != "think":
            title = str(call.get("title") or "")[:80]
            await place.require(f"{kind} {title}".strip(), Permission.EXECUTE)
    except (PermissionDenied, UntrustedWorkspace) as error:
        place.note_refusal(str(error))
        return False
    return True


def _names(place: Place, call: dict[str, Any], raw: dict[str, Any]) -> Iterator[str]:
    """The files that a call is about, relative to the copy.

    Raises:
        PermissionDenied: it leads out of the copy.
    """
    named = [str(raw[key]) for key in _PATHS if isinstance(raw.get(key), str)]
    for path in dict.fromkeys([*changed_paths(call), *named]):
        name = place.tree.relative(path)
        if name is None and os.path.normpath(path) == str(place.tree.path):
            name = "."
        if name is None:
            raise PermissionDenied(f"{path} is outside the agent's copy of the workspace")
        yield name


def _command(place: Place, call: dict[str, Any], raw: dict[str, Any]) -> str:
    """The shell line of a call, as if it ran in the workspace itself."""
    command: object = raw.get("command") or raw.get("cmd") or call.get("title") or ""
    if isinstance(command, list):
        words = [str(word) for word in cast("list[object]", command)]
        is_shell = len(words) == 3 and words[0].rpartition("/")[2] in _SHELLS
        command = words[2] if is_shell and words[1] in ("-c", "-lc") else shlex.join(words)
    return str(command).replace(str(place.tree.path), str(place.root))


async def _allowed(place: Place, deciding: Awaitable[None]) -> None:
    try:
        with place.turn.asking():
            await deciding
    except OrchestratorError as error:
        place.note_refusal(str(error))
        raise RequestError.invalid_params({"details": str(error)}) from error


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode("utf-8"))
