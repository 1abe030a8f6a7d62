"""A mission is stopped in each way that an editor has, and when the editor goes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from pathlib import Path

    from fake_editor import FakeEditor

REPLACE = r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py"


@pytest.fixture
def endless(shop: Path, environment: dict[str, str]) -> str:
    """A task that changes a file and then runs until it is stopped; commands are trusted."""
    trust = [sys.executable, "-m", "orchestrator_server.cli", "trust", "--workspace", str(shop)]
    subprocess.run(trust, env=environment, check=True, capture_output=True)
    return f"{REPLACE} then run sleep 600"


def command_line(process: psutil.Process) -> str:
    """What it runs; nothing if it has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


async def running(editor: FakeEditor) -> list[psutil.Process]:
    """Wait until the endless command runs; answer its processes."""
    server = psutil.Process(editor.process.pid)
    sleeps: list[psutil.Process] = []
    async with asyncio.timeout(60):
        while not sleeps:
            await asyncio.sleep(0.02)
            family = server.children(recursive=True)
            sleeps = [p for p in family if command_line(p) == "sleep 600"]
    return sleeps


async def assert_stopped(editor: FakeEditor, mission: str, sleeps: list[psutil.Process]) -> None:
    done = await editor.event("done", mission)
    assert done["status"] == "cancelled"
    assert not psutil.wait_procs(sleeps, timeout=30)[1]
    finished = {
        event["taskId"]: event["state"]
        for event in editor.events
        if event["kind"] == "taskFinished"
    }
    assert finished == {"T1": "done", "T2": "cancelled"}
    assert "assertEqual(" in editor.text("tests/test_shop.py")


async def test_stop_command(editor: FakeEditor, endless: str) -> None:
    mission = (await editor.execute("/task", endless))["missionId"]
    sleeps = await running(editor)

    assert await editor.execute("/stop") == {"stopped": [mission]}

    await assert_stopped(editor, mission, sleeps)
    assert await editor.execute("/stop") == {"stopped": []}


async def test_cancel_alias_with_the_missions_id(editor: FakeEditor, endless: str) -> None:
    mission = (await editor.execute("/task", endless))["missionId"]
    sleeps = await running(editor)

    assert await editor.execute("/cancel", mission) == {"stopped": [mission]}

    await assert_stopped(editor, mission, sleeps)


async def test_stop_of_an_unknown_mission_is_an_error(editor: FakeEditor) -> None:
    with pytest.raises(JsonRpcException, match="no mission nonsense"):
        await editor.execute("/stop", "nonsense")


async def test_cancel_button_of_the_progress_bar(editor: FakeEditor, endless: str) -> None:
    mission = (await editor.execute("/task", endless))["missionId"]
    sleeps = await running(editor)
    await editor.until(lambda: editor.progress)
    token = editor.progress[0][0]

    editor.client.window_work_done_progress_cancel(lsp.WorkDoneProgressCancelParams(token))

    await assert_stopped(editor, mission, sleeps)


async def test_cancelled_request(editor: FakeEditor, endless: str) -> None:
    waiting = asyncio.ensure_future(editor.execute("/task", endless, {"wait": True}))
    sleeps = await running(editor)
    mission = editor.events[0]["missionId"]
    (request_id,) = editor.client.protocol._request_futures

    editor.client.cancel_request(lsp.CancelParams(request_id))

    with pytest.raises(JsonRpcException):
        await waiting
    await assert_stopped(editor, mission, sleeps)


async def test_retry_starts_a_stopped_mission_again(editor: FakeEditor, endless: str) -> None:
    mission = (await editor.execute("/task", endless))["missionId"]
    sleeps = await running(editor)
    await editor.execute("/stop")
    await assert_stopped(editor, mission, sleeps)

    again = (await editor.execute("/retry"))["missionId"]

    assert again != mission
    await editor.event("planned", again)
    await editor.execute("/stop")
    await editor.event("done", again)


async def test_shutdown_during_a_mission_leaves_nothing(editor: FakeEditor, endless: str) -> None:
    # The fixture ends the session and looks for what is left of the family.
    await editor.execute("/task", endless)
    await running(editor)
