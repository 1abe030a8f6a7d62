from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from contextlib import suppress

import pytest

from orchestrator_core.runtime.future import CancelledError, Future


class Outcome:
    """Something that can be referred to weakly."""


def finish_from_a_thread(future: Future[object], value: object = 1) -> threading.Thread:
    thread = threading.Thread(target=future.set_result, args=(value,))
    thread.start()
    return thread


def test_result_waits_for_another_thread() -> None:
    future: Future[object] = Future()
    thread = finish_from_a_thread(future, "value")
    assert future.result(timeout_s=10) == "value"
    assert future.exception() is None
    thread.join()


def test_waiting_times_out_and_the_future_goes_on() -> None:
    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        future.result(timeout_s=0)
    with pytest.raises(TimeoutError):
        future.exception(timeout_s=0.001)
    assert future.set_result(1)
    assert future.result() == 1


def test_it_ends_once() -> None:
    future: Future[int] = Future()
    assert future.set_running_or_cancelled()
    assert not future.set_running_or_cancelled()
    assert future.running()
    assert future.set_result(1)
    assert not future.set_result(2)
    assert not future.set_exception(ValueError())
    assert not future.set_cancelled()
    assert not future.cancel()
    assert future.result() == 1


def test_cancelling_a_pending_future_ends_it() -> None:
    future: Future[int] = Future()
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert future.cancel_requested()
    assert not future.set_running_or_cancelled()
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(CancelledError):
        future.exception()


def test_cancelling_a_running_future_tells_its_producer_once() -> None:
    future: Future[int] = Future()
    asked: list[int] = []
    assert future.set_running_or_cancelled(on_cancel=lambda: asked.append(1))
    assert future.cancel()
    assert future.cancel()
    assert asked == [1]
    assert future.cancel_requested()
    assert not future.done()
    assert future.set_cancelled()
    assert future.cancelled()


def test_producer_may_end_the_future_while_it_is_asked_to_stop() -> None:
    future: Future[int] = Future()
    future.set_running_or_cancelled(on_cancel=future.set_cancelled)
    assert future.cancel()
    assert future.cancelled()


def test_exception_keeps_the_traceback_of_where_it_was_raised() -> None:
    def culprit() -> None:
        raise ValueError("broken")

    future: Future[int] = Future()
    try:
        culprit()
    except ValueError as error:
        future.set_exception(error)
    with pytest.raises(ValueError, match="broken") as caught:
        future.result()
    assert "culprit" in [entry.name for entry in caught.traceback]


def test_callbacks_run_once_in_order_and_at_once_when_it_is_done() -> None:
    future: Future[int] = Future()
    called: list[str] = []
    future.add_done_callback(lambda _: called.append("first"))
    future.add_done_callback(lambda _: called.append("second"))
    future.set_result(1)
    future.add_done_callback(lambda f: called.append(f"late {f.result()}"))
    assert called == ["first", "second", "late 1"]


@pytest.mark.parametrize("failure", [ValueError("mistake"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_that_raises_is_logged_and_the_next_still_runs(
    failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    future: Future[int] = Future()
    called: list[int] = []

    def fail(_: object) -> None:
        raise failure

    future.add_done_callback(fail)
    future.add_done_callback(lambda f: called.append(f.result()))
    with caplog.at_level(logging.ERROR):
        future.set_result(7)
    assert called == [7]
    assert "A done callback" in caplog.text


def test_a_done_future_is_in_no_reference_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        future: Future[Outcome] = Future()
        future.add_done_callback(lambda f, future=future: None)
        outcome = Outcome()
        seen = weakref.ref(outcome)
        future.set_result(outcome)
        del future, outcome
        assert seen() is None
    finally:
        gc.enable()


def test_a_raised_result_is_in_no_reference_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        future: Future[int] = Future()
        seen = weakref.ref(future)
        future.set_exception(ValueError())
        with suppress(ValueError):
            future.result()
        del future
        assert seen() is None
    finally:
        gc.enable()


async def test_awaiting_gives_the_result_of_another_thread() -> None:
    futures: list[Future[object]] = [Future() for _ in range(100)]
    threads = [finish_from_a_thread(f, i) for i, f in enumerate(futures)]
    assert await asyncio.gather(*futures) == list(range(100))
    for thread in threads:
        thread.join()


async def test_awaiting_a_done_future_does_not_yield() -> None:
    future: Future[int] = Future()
    future.set_result(5)
    assert await future == 5


async def test_awaiting_raises_what_the_work_raised() -> None:
    future: Future[int] = Future()
    future.set_exception(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await future


async def test_cancelling_the_waiting_task_cancels_the_future() -> None:
    future: Future[int] = Future()

    async def wait() -> int:
        return await future

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()


async def test_awaiting_a_cancelled_future_raises_cancelled() -> None:
    future: Future[int] = Future()
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future


async def test_a_burst_of_completions_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    wakes: list[object] = []
    original = loop.call_soon_threadsafe

    def counted(callback, *args, **kwargs):
        wakes.append(callback)
        return original(callback, *args, **kwargs)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    futures: list[Future[int]] = [Future() for _ in range(50)]
    waiting = asyncio.gather(*futures)
    await asyncio.sleep(0)
    for number, future in enumerate(futures):
        future.set_result(number)
    assert await waiting == list(range(50))
    assert len(wakes) == 1


def test_loop_already_closed_at_completion_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    future: Future[int] = Future()
    called: list[int] = []
    loop = asyncio.new_event_loop()
    waiting = future.__await__()

    async def wait_once() -> None:
        next(waiting)

    loop.run_until_complete(wait_once())
    loop.close()
    future.add_done_callback(lambda f: called.append(f.result()))
    assert future.set_result(3)
    assert called == [3]
    assert not caplog.records
    waiting.close()


def test_two_loops_can_wait_for_the_same_future() -> None:
    future: Future[str] = Future()
    found: list[str] = []
    ready = threading.Barrier(3)

    async def wait() -> None:
        waiting = asyncio.ensure_future(asyncio.shield(future))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.to_thread(ready.wait)
        found.append(await waiting)

    threads = [threading.Thread(target=asyncio.run, args=(wait(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    future.set_result("both")
    for thread in threads:
        thread.join()
    assert found == ["both", "both"]
