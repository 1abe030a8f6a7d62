"""A slot is held by a token, which is released once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from core.runtime.controllers import controller, settle, virtual
from core.runtime.virtual_time import run_virtual
from orchestrator_core.errors import (
    TokenReleased,
)


def test_a_token_releases_itself_after_six_hundred_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        subject = virtual()
        token = await subject.acquire("commander")
        await asyncio.sleep(599)
        assert not token.released
        await asyncio.sleep(2)
        assert token.released
        (await subject.acquire("commander", wait_limit_s=0.1)).release()
        with pytest.raises(TokenReleased, match="time was up"):
            token.release()

    with caplog.at_level(logging.WARNING):
        run_virtual(main())
    assert "was held for 600" in caplog.text


def test_a_token_is_kept_as_long_as_its_holder_is_at_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        subject = virtual()
        async with subject.acquire("worker", backend="api") as token:
            await asyncio.sleep(599)
            with token.kept():
                await asyncio.sleep(2000)
                with token.kept():
                    await asyncio.sleep(2000)
                await asyncio.sleep(2000)
                assert subject.stats()["worker"].active == 1
            await asyncio.sleep(599)
            assert not token.released
        assert subject.stats()["worker"].active == 0
        lost = await subject.acquire("worker", backend="api")
        with lost.kept():
            await asyncio.sleep(1000)
        await asyncio.sleep(599)
        assert not lost.released
        await asyncio.sleep(2)
        assert lost.released

    with caplog.at_level(logging.WARNING):
        run_virtual(main())
    assert caplog.text.count("was held for 600") == 1


async def test_a_released_token_leaves_no_timer_behind() -> None:
    subject = controller()
    for _ in range(5):
        async with subject.acquire("worker") as token:
            with token.kept():
                pass
    token = await subject.acquire("worker")
    with token.kept():
        await asyncio.to_thread(token.release)
    await settle()
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [t for t in timers if not t.cancelled()] == []


async def test_a_token_cannot_be_released_twice() -> None:
    subject = controller()
    token = await subject.acquire("worker")
    token.release()
    with pytest.raises(TokenReleased, match="already"):
        token.release()
    assert subject.stats()["worker"].active == 0


async def test_leaving_the_block_after_an_explicit_release_is_fine() -> None:
    subject = controller()
    async with subject.acquire("worker") as token:
        token.release()
    with await subject.acquire("worker") as held:
        assert not held.released
    assert held.released
    assert subject.stats()["worker"].active == 0
