"""Missions on the editor's own model: the fake editor answers as an extension would."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from pygls.exceptions import JsonRpcException
from pytest_lsp import LanguageClient

from e2e.conftest import editor_session
from fake_editor import FakeEditor, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PLAN = "# Mission: Say it\n### T1: Note | depends: - | files: NOTES.md\n- [ ] write a note\n"


class Model:
    """What the editor's model is asked, and how it answers."""

    def __init__(self, client: LanguageClient) -> None:
        self.asked: list[dict[str, Any]] = []
        self.failure: JsonRpcException | None = None
        self.hangs = False
        self.cancelled = asyncio.Event()

        feature: Any = client.feature

        @feature("orchestrator/lm.chat")
        async def chat(params: Any) -> dict[str, Any]:
            told = plain(params)
            self.asked.append(told)
            delta = {"token": told["token"], "text": "…"}
            client.protocol.notify("orchestrator/lm.delta", delta)
            if self.failure:
                raise self.failure
            if self.hangs:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled.set()
            return {"content": self._content(told), "model": "scripted"}

    def _content(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        system = told["messages"][0]["content"]
        if "You are the Planner" in system:
            return [{"type": "text", "text": PLAN}]
        if "You are the Reviewer" in system:
            return [{"type": "text", "text": "PASS"}]
        if any(message.get("toolResults") for message in told["messages"]):
            return [{"type": "text", "text": "Noted."}]
        made = {"path": "NOTES.md", "text": "A note.\n"}
        return [
            {"type": "text", "text": "I write it. "},
            {"type": "toolCall", "id": "1", "name": "create", "input": made},
        ]


@pytest_asyncio.fixture
async def on(
    request: pytest.FixtureRequest, shop: Path, environment: dict[str, str]
) -> AsyncIterator[tuple[FakeEditor, Model]]:
    """A session with an editor that offers its model."""
    models: list[Model] = []
    offered = {"languageModel": getattr(request, "param", True)}
    session = editor_session(
        "vscode-1.139.1", shop, environment, offered, lambda client: models.append(Model(client))
    )
    async with session as editor:
        yield editor, models[0]


async def test_the_editors_model_plans_works_and_reviews(
    on: tuple[FakeEditor, Model], capfd: pytest.CaptureFixture[str]
) -> None:
    editor, model = on
    report = await editor.execute("/task", "leave a note for the next person", {"wait": True})
    assert report["status"] == "done", report["reason"]
    assert editor.text("NOTES.md") == "A note.\n"
    accepted = next(event for event in editor.events if event["kind"] == "accepted")
    assert accepted["backend"] == "editor"
    worker = [a for a in model.asked if "You are a Worker" in a["messages"][0]["content"]]
    assert {tool["name"] for tool in worker[0]["tools"]} >= {"edit", "read", "search"}
    assert worker[1]["messages"][-2]["toolCalls"][0]["input"]["path"] == "NOTES.md"
    assert worker[1]["messages"][-1]["toolResults"][0]["callId"] == "1"
    assert "lm.delta" not in capfd.readouterr().err  # each piece was taken


async def test_a_model_that_may_not_be_used_fails_the_mission_with_advice(
    on: tuple[FakeEditor, Model],
) -> None:
    editor, model = on
    model.failure = JsonRpcException("no", code=-32000, data={"code": "NoPermissions"})
    report = await editor.execute("/task", "leave a note", {"wait": True})
    assert report["status"] == "failed"
    assert "may not be used" in report["reason"]
    assert len(model.asked) == 1


async def test_a_stop_cancels_the_editors_request(on: tuple[FakeEditor, Model]) -> None:
    editor, model = on
    model.hangs = True
    accepted = await editor.execute("/task", "leave a note")
    async with asyncio.timeout(60):
        while not model.asked:
            await asyncio.sleep(0.01)
    await editor.execute("/stop")
    done = await editor.event("done", accepted["missionId"])
    assert done["status"] == "cancelled"
    await asyncio.wait_for(model.cancelled.wait(), 10)


@pytest.mark.parametrize("on", [False], indirect=True)
async def test_a_model_is_used_as_long_as_it_is_offered(on: tuple[FakeEditor, Model]) -> None:
    editor, model = on
    editor.client.protocol.notify("orchestrator/lm.offer", {"offered": True})
    report = await editor.execute("/task", "leave a note for the next person", {"wait": True})
    assert report["status"] == "done", report["reason"]
    asked = len(model.asked)
    editor.client.protocol.notify("orchestrator/lm.offer", {"offered": False})
    with pytest.raises(JsonRpcException, match="needs a model"):
        await editor.execute("/task", "leave another note", {"wait": True})
    assert len(model.asked) == asked


@pytest.mark.parametrize("on", [False], indirect=True)
async def test_a_model_that_is_not_offered_is_not_asked(on: tuple[FakeEditor, Model]) -> None:
    editor, model = on
    with pytest.raises(JsonRpcException, match="needs a model"):
        await editor.execute("/task", "leave a note for the next person", {"wait": True})
    assert model.asked == []
