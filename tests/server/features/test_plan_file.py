from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from orchestrator_core.mission import plan_language
from orchestrator_server.features.plan_file import PlanFiles

if TYPE_CHECKING:
    from lsprotocol import types as lsp

URI = "file:///w/plans/a.plan.md"


class Session:
    """As much of an editor's session as plan files ask for."""

    def __init__(self) -> None:
        self.document = SimpleNamespace(source="", version=0)
        self.published: list[lsp.PublishDiagnosticsParams] = []
        self.on_published: Any = lambda: None
        self.records = self.plans = self
        self.settings = SimpleNamespace(plan_file=".opencode/todo.md")
        workspace = SimpleNamespace(text_documents={URI: self.document}, position_encoding="utf-16")
        self.server = SimpleNamespace(
            workspace=workspace, text_document_publish_diagnostics=self._publish
        )

    def place(self, _: str) -> tuple[Any, str]:
        return self, "plans/a.plan.md"

    async def orchestrator(self) -> Any:
        return self

    def read(self, _: str, text: str) -> Any:
        return plan_language.parse(text)

    async def task_records(self, _: str) -> dict[str, Any]:
        return {}

    def type(self, text: str) -> None:
        self.document.source = text
        self.document.version += 1

    def _publish(self, params: lsp.PublishDiagnosticsParams) -> None:
        self.published.append(params)
        self.on_published()


async def test_a_change_right_behind_the_diagnostics_gets_its_own() -> None:
    session = Session()
    plans = PlanFiles(cast("Any", session))
    both = asyncio.Event()

    def change() -> None:
        session.type("### T1: a | depends: T78\n- [ ] check\n")
        plans.changed(URI)

    def published() -> None:
        if len(session.published) == 1:
            # Runs when the check has looked at the text for the last time, and before anything
            # that waits for its end.
            asyncio.get_running_loop().call_soon(change)
        else:
            both.set()

    session.on_published = published
    session.type("### T1: a | depends: T77\n- [ ] check\n")
    plans.changed(URI)
    async with asyncio.timeout(30):
        await both.wait()
    assert ["T77" in str(p.diagnostics) for p in session.published] == [True, False]
    assert session.published[1].version == 2
