"""A mission that its budget stopped goes on with more: in an editor, and in a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from scripted_model import ModelProcess, call, rule, say

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from fake_editor import FakeEditor

pytestmark = pytest.mark.timeout(240)  # five processes that import what models need

TASK = "say what this shop is"
PLAN = """# Mission: Say it
### T1: One | depends: - | files: one.txt
- [ ] write one
### T2: Two | depends: T1 | files: two.txt
- [ ] write two
"""
REVIEW = {"review": False}


@pytest.fixture
def model(tmp_path: Path) -> Generator[ModelProcess]:
    """A model that needs five requests for both tasks; the second is asked for again."""
    rules = [rule(say(PLAN), match=("You are the Planner",))]
    for task, name in (("T1", "one.txt"), ("T2", "two.txt")):
        turns = (call("create", path=name, text="A shop.\n"), say("Written."))
        rules.append(rule(*turns, *turns, match=("You are a Worker", f"Task {task}:")))
    with ModelProcess(tmp_path, *rules) as process:
        yield process


@pytest.fixture
def environment(environment: dict[str, str], model: ModelProcess) -> dict[str, str]:
    """An environment that names the model."""
    return {
        **environment,
        "OPENCODE_ORCHESTRATOR_MODEL": "openai:scripted",
        "OPENCODE_ORCHESTRATOR_BASE_URL": model.base_url,
    }


async def test_in_an_editor(editor: FakeEditor, model: ModelProcess) -> None:
    def budget(requests: int) -> None:
        settings = {"orchestrator": {"budget": {"requests": requests}, "model": REVIEW}}
        params = lsp.DidChangeConfigurationParams(settings=settings)
        editor.client.workspace_did_change_configuration(params)

    budget(3)
    stopped = await editor.execute("/task", TASK, {"wait": True})
    assert stopped["status"] == "cancelled", stopped["reason"]
    mission = stopped["mission"]
    assert f"/resume {mission}" in stopped["reason"]
    assert [task["status"] for task in stopped["tasks"]] == ["done", "cancelled"]
    assert stopped["stats"]["spent"]["requests"] == 3
    with pytest.raises(JsonRpcException, match="not resumed: the budget of 3 requests"):
        await editor.execute("/resume", mission)

    budget(50)
    assert await editor.execute("/resume", mission) == {"missionId": mission, "status": "accepted"}
    await editor.until(lambda: [e for e in editor.events if e["kind"] == "done"][1:], 60.0)
    (status,) = await editor.execute("/status")
    assert status["status"] == "done"
    assert [task["status"] for task in status["tasks"]] == ["done", "done"]
    assert editor.text("two.txt") == "A shop.\n"
    spent = [e["spent"]["requests"] for e in editor.events if e["kind"] == "spent"]
    assert spent[-1] == len(model.requests)
    assert spent == sorted(spent)


def test_in_a_shell(shop: Path, environment: dict[str, str], model: ModelProcess) -> None:
    def command(*arguments: str) -> tuple[int, dict[str, Any]]:
        line = [sys.executable, "-m", "orchestrator_server.cli", "task", *arguments]
        done = subprocess.run(
            [*line, "--workspace", str(shop), "--json"],
            env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    settings = shop / ".opencode" / "orchestrator.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("[budget]\nrequests = 3\n[model]\nreview = false\n")
    code, stopped = command(TASK)
    assert (code, stopped["status"]) == (130, "cancelled"), stopped
    code, refused = command("--resume", stopped["mission"])
    assert (code, refused["status"]) == (2, "refused")
    assert "Raise orchestrator.budget.requests" in refused["error"]

    settings.write_text("[model]\nreview = false\n")
    code, report = command("--resume")
    assert (code, report["status"]) == (0, "done"), report
    assert report["mission"] == stopped["mission"]
    assert report["stats"]["spent"]["requests"] == len(model.requests)
    assert (shop / "two.txt").read_text() == "A shop.\n"
