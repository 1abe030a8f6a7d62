"""Frames out of any stream of bytes: valid ones always come through."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_server.frames import BadFrame, FrameDecoder, Message, encode_frame

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def encoded(value: object, *, ascii_only: bool = True) -> bytes:
    return encode_frame(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


def messages(frames: list[Message | BadFrame]) -> list[object]:
    return [frame.value for frame in frames if isinstance(frame, Message)]


def bad(frames: list[Message | BadFrame]) -> int:
    return sum(isinstance(frame, BadFrame) for frame in frames)


@given(st.lists(json_values, max_size=5), st.data())
def test_however_the_stream_is_split_the_messages_are_the_same(values, data) -> None:
    stream = b"".join(encoded(value) for value in values)
    decoder = FrameDecoder()
    got: list[object] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += messages(decoder.feed(stream[:size]))
        stream = stream[size:]
    assert got == values


garbage = st.binary(max_size=200) | st.sampled_from(
    [
        b"\r\n\r\n",
        b"\n\n",
        b"Content-Length: -1\r\n\r\n{}",
        b"Content-Length: 1000000000000\r\n\r\n{}",
        b"Content-Length: 100000000000000000000\r\n\r\n",
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: 5\r\n\r\n{}",
        b"Content-Length: 500\r\n\r\n{}",
        b"Content-Length: 70\r\n\r\n{}",
        b"Content-Length: 3\r\n\r\n[1, 2, 3]",
        b"Content-Length: x\r\n\r\n{}",
        b"Content-Type: text\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n<html>\r\n\r\n</html>",
        b"Content-Length: 2\r\n\r\n\xff\xff",
        b"x" * 20_000,
    ]
)


@given(st.lists(garbage, max_size=4), st.booleans())
def test_after_any_garbage_the_next_valid_frame_comes_through(pieces, at_once) -> None:
    """At once: a client that waits for its answer sends no further byte."""
    decoder = FrameDecoder()
    valid = encoded({"id": "the valid one"})
    if at_once:
        got = messages(decoder.feed(b"".join(pieces) + valid))
    else:
        got = []
        for piece in [*pieces, valid]:
            got += messages(decoder.feed(piece))
    assert got[-1] == {"id": "the valid one"}


@pytest.mark.parametrize(
    "piece", [b"Content-Length: 3", b"Content-Length: 3\r\n", b"tail of a body"]
)
def test_a_header_glued_to_what_is_left_of_a_frame_is_found(piece) -> None:
    assert messages(FrameDecoder().feed(piece + encoded(7))) == [7]


def test_a_body_longer_than_its_length_is_skipped_to_the_next_frame() -> None:
    decoder = FrameDecoder()
    frames = decoder.feed(b"Content-Length: 4\r\n\r\n" + b'{"a": [1, 2]}' + encoded(7))
    assert bad(frames) == 1
    assert messages(frames) == [7]


def test_a_body_shorter_than_its_length_is_still_taken() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"Content-Length: 1000\r\n\r\n" + b'{"a": 1}') == []
    assert decoder.feed(encoded(7)) == [Message({"a": 1}), Message(7)]


def test_a_length_that_swallows_half_of_the_next_header_loses_nothing() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"Content-Length: 12\r\n\r\n" + b'{"a":1}' + encoded([7, 8])) == [
        Message({"a": 1}),
        Message([7, 8]),
    ]


def test_header_names_are_case_insensitive_and_other_headers_are_ignored() -> None:
    header = b"content-TYPE: application/vscode-jsonrpc; charset=utf-8\r\ncONTENT-length:  2 \r\n"
    assert FrameDecoder().feed(header + b"\r\n{}") == [Message({})]


def test_a_body_may_speak_of_headers() -> None:
    value = {"text": "Content-Length: 5\r\n\r\nhello", "Content-Length": "\r\n\r\n"}
    decoder = FrameDecoder()
    stream = encoded(value) + encoded(1)
    got = [message for i in range(len(stream)) for message in decoder.feed(stream[i : i + 1])]
    assert got == [Message(value), Message(1)]


def test_a_body_with_white_space_around_is_one_message() -> None:
    assert FrameDecoder().feed(encode_frame(b' \r\n {"a": 1}\r\n\r\n ')) == [Message({"a": 1})]


def test_lone_surrogates_come_through_as_they_were_sent() -> None:
    assert messages(FrameDecoder().feed(encoded("a\ud800b"))) == ["a\ud800b"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"nul", "not JSON"),
        (b"[NaN]", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b"9" * 5000, "not JSON"),
        (b'"\xff"', "not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"[" * 50_000, "nested too deeply"),
    ],
)
def test_the_reason_of_a_bad_body_is_told_once(body, reason) -> None:
    (frame,) = FrameDecoder().feed(encode_frame(body))
    assert isinstance(frame, BadFrame)
    assert reason in frame.reason


def test_memory_is_bounded_whatever_comes() -> None:
    decoder = FrameDecoder(max_frame_bytes=100_000)
    for chunk in [b"x" * 65536, b"Content-Length: 99999999\r\n\r\n", b"y" * 65536] * 20:
        decoder.feed(chunk)
    assert len(decoder._buffer) < 200_000
    assert messages(decoder.feed(encoded(1))) == [1]


def test_a_frame_as_large_as_the_limit_is_taken_and_a_larger_one_is_not() -> None:
    text = json.dumps("x" * 998).encode()
    assert FrameDecoder(1000).feed(encode_frame(text)) == [Message("x" * 998)]
    (frame,) = FrameDecoder(999).feed(encode_frame(text))
    assert isinstance(frame, BadFrame)
    assert "over the limit" in frame.reason
