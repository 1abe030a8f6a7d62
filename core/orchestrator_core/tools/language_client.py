"""The client's half of the language server protocol, as far as linting and renaming need it.

How messages are framed, what the client says of itself, and what it answers a server that asks.
No process and no thread: functions of what they are given, but for the stream of `read_frames`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.decoding import decode
from orchestrator_core.runtime.json_rpc import METHOD_NOT_FOUND, Message
from orchestrator_core.runtime.process import CHUNK_BYTES

if TYPE_CHECKING:
    import io
    from collections.abc import Generator, Mapping
    from pathlib import Path

INITIALIZE_ID = 0
_ERROR = 1
_CAPABILITIES: dict[str, object] = {
    "general": {"positionEncodings": ["utf-32", "utf-8", "utf-16"]},
    "window": {"workDoneProgress": False},
    "workspace": {
        "configuration": True,
        "workspaceFolders": True,
        "workspaceEdit": {"documentChanges": True},
    },
    "textDocument": {
        "synchronization": {"dynamicRegistration": False},
        "diagnostic": {"dynamicRegistration": False},
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}},
        },
        "formatting": {"dynamicRegistration": False},
        "rename": {"dynamicRegistration": False, "prepareSupport": True},
        "references": {"dynamicRegistration": False},
        "definition": {"dynamicRegistration": False, "linkSupport": False},
        "typeHierarchy": {"dynamicRegistration": False},
        "documentSymbol": {"hierarchicalDocumentSymbolSupport": True},
    },
}


class _Shown(Struct, frozen=True):
    type: int
    message: str


class _ConfigurationParams(Struct, frozen=True):
    items: tuple[msgspec.Raw, ...]


class _ServerCapabilities(Struct, frozen=True, rename="camel"):
    position_encoding: str = "utf-16"


class _InitializeResult(Struct, frozen=True):
    capabilities: _ServerCapabilities


def frame(message: Mapping[str, object]) -> bytes:
    """A message as it goes over the wire."""
    body = msgspec.json.encode({"jsonrpc": "2.0", **message})
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def read_frames(stream: io.FileIO) -> Generator[bytes]:
    """The bodies of the messages of a stream. Blocks.

    Raises:
        ValueError: a header does not say how long its body is.
    """
    received = bytearray()
    chunk = memoryview(bytearray(CHUNK_BYTES))
    while True:
        end = received.find(b"\r\n\r\n")
        length = _content_length(bytes(received[:end])) if end >= 0 else 0
        start = end + 4
        if end >= 0 and len(received) >= start + length:
            body = bytes(received[start : start + length])
            del received[: start + length]
            yield body
        elif count := stream.readinto(chunk):
            received += chunk[:count]
        else:
            return


def _content_length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError(f"a header without a length: {header[:100]!r}")


def initialize(root: Path, settings: Mapping[str, object]) -> dict[str, object]:
    """The request that begins the handshake; ``settings`` are the ``initializationOptions``."""
    params: dict[str, object] = {
        "processId": os.getpid(),
        "clientInfo": {"name": "opencode-orchestrator"},
        "rootUri": root.as_uri(),
        "workspaceFolders": [_folder(root)],
        "initializationOptions": settings,
        "capabilities": _CAPABILITIES,
    }
    return {"id": INITIALIZE_ID, "method": "initialize", "params": params}


def agreed_encoding(answer: Message) -> str:
    """The unit of positions that the server chose in its answer to the handshake.

    Raises:
        ValueError: it refused the handshake.
        msgspec.DecodeError: the answer is none.
    """
    if answer.error is not None:
        raise ValueError(f"no to the handshake: {answer.error.message}")
    return decode(answer.result, _InitializeResult).capabilities.position_encoding


def complaint(notification: Message) -> str | None:
    """The error that the server wants shown to the person, if the notification is one."""
    if notification.method != "window/showMessage":
        return None
    shown = decode(notification.params, _Shown)
    return shown.message if shown.type == _ERROR else None


def reply(request: Message, root: Path) -> dict[str, object]:
    """The answer to a request of the server, with its id."""
    answer: dict[str, object] = {"id": request.id}
    match request.method:
        case "workspace/configuration":
            asked = decode(request.params, _ConfigurationParams)
            answer["result"] = [None for _ in asked.items]  # no section is configured
        case "workspace/workspaceFolders":
            answer["result"] = [_folder(root)]
        case "workspace/applyEdit":
            answer["result"] = {"applied": False}
        case (
            "client/registerCapability"
            | "client/unregisterCapability"
            | "window/workDoneProgress/create"
            | "window/showMessageRequest"
            | "workspace/diagnostic/refresh"
            | "workspace/semanticTokens/refresh"
            | "workspace/inlayHint/refresh"
        ):
            answer["result"] = None
        case _:
            answer["error"] = {"code": METHOD_NOT_FOUND, "message": f"no {request.method}"}
    return answer


def _folder(root: Path) -> dict[str, object]:
    return {"uri": root.as_uri(), "name": root.name}
