"""The reader's and the writer's threads, on real pipes."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time

import pytest

from orchestrator_server.frames import FrameDecoder, Message, encode_frame
from orchestrator_server.transport import WireReader
from orchestrator_server.wire_writer import WireWriter


class Pipe:
    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        self._open = {self.out, self.into}

    def close(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

    def close_all(self) -> None:
        for fd in list(self._open):
            self.close(fd)

    def read_until(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (chunk := os.read(self.out, 65536)):
            data += chunk
        return data


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close_all()


def await_true(condition, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.001)


def fill(writer: WireWriter, pipe: Pipe) -> None:
    """Make the writer's thread block in a write, with nothing queued behind it."""
    writer.send(b"x" * 2_000_000)
    await_true(lambda: not writer._queue)


def test_frames_are_written_in_order(pipe) -> None:
    writer = WireWriter(pipe.into)
    for number in range(1000):
        writer.send(b"%d\n" % number)
    writer.start()
    assert writer.close(10)
    pipe.close(pipe.into)
    assert pipe.read_until(10**6) == b"".join(b"%d\n" % number for number in range(1000))


def test_a_frame_replaces_the_queued_one_with_its_key_at_its_place(pipe) -> None:
    writer = WireWriter(pipe.into)
    writer.send(b"1 old\n", key="a", droppable=True)
    writer.send(b"2\n")
    writer.send(b"3\n", key="b", droppable=True)
    writer.send(b"1 new\n", key="a", droppable=True)
    assert writer.queued_bytes == len(b"1 new\n2\n3\n")
    writer.start()
    assert writer.close(10)
    pipe.close(pipe.into)
    assert pipe.read_until(10**6) == b"1 new\n2\n3\n"


def test_after_it_was_written_a_frame_with_the_same_key_is_written_again(pipe) -> None:
    writer = WireWriter(pipe.into)
    writer.start()
    for text in (b"first\n", b"second\n"):
        writer.send(text, key="a", droppable=True)
        assert pipe.read_until(len(text)) == text
    assert writer.close(10)


def test_a_client_that_does_not_read_bounds_what_is_queued(pipe) -> None:
    writer = WireWriter(pipe.into, limit_bytes=1_000_000)
    writer.start()
    fill(writer, pipe)
    assert writer.congested
    sent = [writer.send(b"y" * 10_000, droppable=True) for _ in range(1000)]
    assert not any(sent)
    assert writer.dropped == 1000
    assert writer.send(b"an answer")
    reader = threading.Thread(target=pipe.read_until, args=(2_000_009,))
    reader.start()
    reader.join(10)
    await_true(lambda: writer.queued_bytes == 0)
    assert not writer.congested
    assert writer.close(10)


def test_a_coalesced_notification_takes_one_place_however_often_it_is_sent(pipe) -> None:
    writer = WireWriter(pipe.into)
    writer.start()
    fill(writer, pipe)
    before = writer.queued_bytes
    for number in range(10_000):
        writer.send(b"%05d" % number, key="stats", droppable=True)
    assert writer.queued_bytes == before + 5
    pipe.read_until(2_000_000 - 1)
    assert writer.close(10)


def test_closing_does_not_wait_for_a_client_that_does_not_read(pipe) -> None:
    writer = WireWriter(pipe.into)
    writer.start()
    fill(writer, pipe)
    assert not writer.close(0.05)
    assert not writer.ended
    pipe.close(pipe.out)
    await_true(lambda: writer.ended)


def test_a_broken_pipe_is_reported_once_and_nothing_is_kept(pipe) -> None:
    errors: list[OSError] = []
    writer = WireWriter(pipe.into, on_broken=errors.append)
    pipe.close(pipe.out)
    writer.start()
    writer.send(b"x")
    await_true(lambda: writer.ended)
    assert isinstance(errors[0], BrokenPipeError)
    assert len(errors) == 1
    assert not writer.send(b"y")
    assert writer.broken
    assert writer.queued_bytes == 0
    assert not writer.close(1)


class Received:
    """What a reader delivers to the loop."""

    def __init__(self, pipe: Pipe, **options) -> None:
        self.values: list[object] = []
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        self.reader = WireReader(
            pipe.out,
            asyncio.get_running_loop(),
            deliver=self.deliver,
            on_end=self.ended.set,
            **options,
        )
        self.reader.start()

    def deliver(self, frame) -> None:
        assert isinstance(frame, Message)
        self.values.append(frame.value)
        self.changed.set()
        if frame.value == "raise":
            raise ValueError("a handler's mistake")

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.values) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_frames_are_delivered_in_order_and_then_the_end(pipe) -> None:
    received = Received(pipe)
    for number in range(500):
        os.write(pipe.into, encode_frame(b"%d" % number))
    pipe.close(pipe.into)
    async with asyncio.timeout(30):
        await received.ended.wait()
    assert received.values == list(range(500))
    assert received.reader.close()


async def test_a_handler_that_raises_ends_no_delivery(pipe, caplog) -> None:
    received = Received(pipe)
    os.write(pipe.into, encode_frame(b'"raise"') + encode_frame(b"2"))
    await received.wait_for(2)
    assert "could not be handled" in caplog.text
    assert received.reader.close()


async def test_closing_ends_the_thread_while_the_pipe_stays_open(pipe) -> None:
    received = Received(pipe)
    assert received.reader.close()
    assert not received.reader._thread.is_alive()


async def test_reading_pauses_while_the_client_does_not_read_and_goes_on_after(pipe) -> None:
    congested, asked = True, 0

    def may_read() -> bool:
        nonlocal asked
        asked += 1
        return not congested

    received = Received(pipe, may_read=may_read)
    os.write(pipe.into, encode_frame(b"1"))
    before = asked
    await asyncio.to_thread(await_true, lambda: asked > before + 2)  # and none of them was read
    assert received.values == []
    congested = False
    await received.wait_for(1)
    assert received.reader.close()


async def test_the_end_is_noticed_while_reading_pauses(pipe) -> None:
    received = Received(pipe, may_read=lambda: False)
    os.write(pipe.into, encode_frame(b"1"))
    pipe.close(pipe.into)
    async with asyncio.timeout(30):
        await received.ended.wait()
    assert received.values == [1]
    assert received.reader.close()


def pipe_is_full(pipe: Pipe) -> bool:
    return not select.select([], [pipe.into], [], 0)[1]


async def test_what_waits_for_a_blocked_loop_is_bounded(pipe) -> None:
    received = Received(pipe, max_waiting_bytes=100_000)
    frame = encode_frame(b'"' + b"x" * 10_000 + b'"')

    def write() -> None:
        for _ in range(100):
            os.write(pipe.into, frame)
        pipe.close(pipe.into)

    writing = threading.Thread(target=write)
    writing.start()
    # The loop is blocked by this very test.
    await_true(lambda: received.reader._waiting_bytes >= 100_000)
    await_true(lambda: pipe_is_full(pipe))
    assert received.reader._waiting_bytes < 100_000 + 65536 + len(frame)
    async with asyncio.timeout(30):
        await received.ended.wait()
    writing.join(10)
    assert len(received.values) == 100
    assert received.reader.close()


async def test_a_reader_and_a_writer_carry_a_large_message(pipe) -> None:
    received = Received(pipe)
    writer = WireWriter(pipe.into)
    writer.start()
    text = "x" * 5_000_000
    writer.send(encode_frame(b'"%b"' % text.encode()))
    await received.wait_for(1)
    assert received.values == [text]
    assert writer.close(10)
    assert received.reader.close()


def test_no_descriptor_is_left(pipe) -> None:
    async def once() -> None:
        received = Received(pipe)
        assert received.reader.close()

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        asyncio.run(once())
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_decoder_of_a_client_reads_what_the_writer_batches(pipe) -> None:
    writer = WireWriter(pipe.into)
    frames = [encode_frame(b"%d" % number) for number in range(100)]
    for frame in frames:
        writer.send(frame)
    writer.start()
    data = pipe.read_until(sum(map(len, frames)))
    assert FrameDecoder().feed(data) == [Message(number) for number in range(100)]
    assert writer.close(10)
