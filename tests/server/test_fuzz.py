"""Thousands of generated frames: the server stays, and answers whatever can be answered.

Every hostile piece is followed by a valid request, whose answer must come without another
byte being sent. Each well-formed request among the pieces must be answered exactly once.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from lsprotocol import types

from server.wire_client import OURS, WireClient, frame

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = sorted(types.METHOD_TO_TYPES)
ENDING = {types.SHUTDOWN, types.EXIT, types.INITIALIZE}
LENGTHS = [b"0", b"-1", b"1000000000000", b"100000000000000000000", b"", b"x", b"1.5", b"\xff"]
SCALARS: list[Any] = [None, True, False, 0, -1, 2**63, 1e308, "", "x", "\ud800", "\u2028", "é😀"]
KEYS = [
    "jsonrpc", "id", "method", "params", "textDocument", "uri", "position", "line", "character",
    "range", "start", "end", "command", "arguments", "token", "value", "kind", "contentChanges",
    "text", "version", "event", "added", "removed", "changes", "settings", "type_name", "class",
]  # fmt: skip


class Generator:
    """Makes hostile input from a seed; keeps the ids of requests that must be answered."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.ids: list[str] = []

    def piece(self) -> bytes:
        """One hostile piece of a stream."""
        kinds: list[Callable[[], bytes]] = [
            self.bad_length,
            self.wrong_length,
            self.garbage,
            self.bad_utf8,
            self.bad_json,
            self.batch,
            self.deep,
            self.wrong_params,
            self.wrong_params,
            self.wrong_params,
            self.wrong_envelope,
            self.unasked_answer,
        ]
        return self.random.choice(kinds)()

    def value(self, depth: int = 3) -> Any:
        choice = self.random.random()
        if depth == 0 or choice < 0.4:
            return self.random.choice(SCALARS)
        size = self.random.randrange(4)
        if choice < 0.6:
            return [self.value(depth - 1) for _ in range(size)]
        return {self.random.choice(KEYS): self.value(depth - 1) for _ in range(size)}

    def bad_length(self) -> bytes:
        length = self.random.choice(LENGTHS)
        return b"Content-Length: %b\r\n\r\n%b" % (length, self.random.choice([b"", b"{}"]))

    def wrong_length(self) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "method": "$/x", "params": self.value()}).encode()
        length = max(0, len(body) + self.random.choice([-5, -1, 1, 5, 1000]))
        return b"Content-Length: %d\r\n\r\n%b" % (length, body)

    def garbage(self) -> bytes:
        data = self.random.randbytes(self.random.randrange(1, 300))
        return self.random.choice([data, b"\r\n\r\n", b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00"])

    def bad_utf8(self) -> bytes:
        return frame(b'{"jsonrpc":"2.0","method":"%b"}' % self.random.randbytes(8))

    def bad_json(self) -> bytes:
        body = bytearray(json.dumps(self.value()).encode())
        body[self.random.randrange(len(body))] = self.random.randrange(256)
        return frame(bytes(body[: self.random.randrange(1, len(body) + 1)]))

    def batch(self) -> bytes:
        return frame([self.value() for _ in range(self.random.randrange(3))])

    def deep(self) -> bytes:
        depth = self.random.choice([100, 900, 2000, 100_000])
        nested = b"[" * depth + b"]" * depth
        return frame(b'{"jsonrpc":"2.0","method":"$/deep","params":%b}' % nested)

    def wrong_params(self) -> bytes:
        method = self.random.choice(METHODS)
        if method in ENDING:
            method = "none/such"
        message = {"jsonrpc": "2.0", "method": method, "params": self.value()}
        if self.random.random() < 0.5:
            self.count += 1
            message["id"] = f"fuzz-{self.count}"
            self.ids.append(message["id"])
        return frame(message)

    def wrong_envelope(self) -> bytes:
        envelope = {key: self.value(1) for key in ("jsonrpc", "id", "params")}
        if self.random.random() < 0.5:
            envelope["method"] = self.random.choice([5, None, [], {}])
        return frame(envelope)

    def unasked_answer(self) -> bytes:
        outcome = self.random.choice(["result", "error"])
        return frame({"jsonrpc": "2.0", "id": self.value(1), outcome: self.value()})


def fuzz(seed: int, pieces: int) -> None:
    generator = Generator(seed)
    with WireClient(OURS) as client:
        client.initialize()
        client.command("/echo")
        for number in range(pieces):
            piece = generator.piece()
            follower = {"command": "/echo", "arguments": [number]}
            valid = {"jsonrpc": "2.0", "id": number + 10, "method": "workspace/executeCommand"}
            stream = piece + frame({**valid, "params": follower})
            if generator.random.random() < 0.2:
                cut = generator.random.randrange(len(stream))
                client.send_raw(stream[:cut])
                stream = stream[cut:]
            client.send_raw(stream)
            try:
                assert client.answer(number + 10)["result"] == [number]
                while generator.ids:
                    client.answer(generator.ids.pop())
            except TimeoutError:
                pytest.fail(f"seed {seed}, piece {number} was not survived: {piece[:300]!r}")
        ids = [message.get("id") for message in client.messages]
        assert not [i for i in ids if isinstance(i, str) and i.startswith("fuzz")]
        process = psutil.Process(client.process.pid)
        assert process.memory_info().rss < 200_000_000
        assert process.num_threads() < 12
        client.messages.clear()
        assert client.call("shutdown")["result"] is None
        client.notify("exit")
        assert client.wait_exit() == 0


def test_a_thousand_hostile_frames_are_survived() -> None:
    fuzz(seed=0, pieces=1000)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_ten_thousand_hostile_frames_are_survived() -> None:
    for seed in range(1, 6):
        fuzz(seed, pieces=2000)
