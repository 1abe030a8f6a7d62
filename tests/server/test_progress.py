"""Progress bars: what editors are told of a mission, and in how many notifications."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from lsprotocol import types as lsp

from orchestrator_core.mission.engine import MissionProgress
from orchestrator_server.progress import MissionProgressBars


class Server:
    """As much of a server as progress bars ask for; the editor answers when it is told to."""

    client_capabilities = SimpleNamespace(window=SimpleNamespace(work_done_progress=True))

    def __init__(self) -> None:
        self.created: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.told: list[Any] = []

    async def request(self, method: str, params: object) -> None:
        assert method == lsp.WINDOW_WORK_DONE_PROGRESS_CREATE
        await self.created

    def notify(self, method: str, params: lsp.ProgressParams, *, key: object = None) -> None:
        self.told.append(params.value)


def progress(done: int) -> MissionProgress:
    return MissionProgress("m", done, 4, done / 4, f"{done}/4 tasks")


async def test_what_is_known_when_the_bar_begins_comes_with_its_beginning() -> None:
    server = Server()
    bars = MissionProgressBars(server)  # pyright: ignore[reportArgumentType]
    bars.open("m", "tidy up", None)
    await asyncio.sleep(0)
    bars.report(progress(1))
    bars.report(progress(2))
    assert server.told == []

    server.created.set_result(None)
    while not server.told:
        await asyncio.sleep(0)
    bars.report(progress(3))

    begin, report = server.told
    assert (begin.kind, begin.title, begin.message, begin.percentage) == (
        "begin",
        "tidy up",
        "2/4 tasks",
        50,
    )
    assert (report.kind, report.message, report.percentage) == ("report", "3/4 tasks", 75)


async def test_a_mission_that_ended_meanwhile_has_no_bar() -> None:
    server = Server()
    bars = MissionProgressBars(server)  # pyright: ignore[reportArgumentType]
    bars.open("m", "tidy up", None)
    await asyncio.sleep(0)
    bars.report(progress(4))
    bars.close("m", "done")

    server.created.set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)

    assert server.told == []
