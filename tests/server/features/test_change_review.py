"""Lenses are answered from what is known; texts are compared once for all who ask."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from lsprotocol import types as lsp

from orchestrator_core.mission.hunk_settlement import PendingHunk
from orchestrator_server.features.change_review import ChangeReview

URI = "file:///w/a.py"
HUNK = PendingHunk("m", "a.py", "4.0.0", "change", ("T1",), "T1: x", 2, 4, 2, 3, "z\n", "b\n")
PARAMS = lsp.CodeLensParams(lsp.TextDocumentIdentifier(URI))


class Session:
    """As much of an editor's session, and of an engine's review, as the lenses ask for."""

    def __init__(self) -> None:
        self.document = SimpleNamespace(source="a\nb\nc\n")
        self.settings = SimpleNamespace(review="after")
        self.server = SimpleNamespace(
            workspace=SimpleNamespace(
                text_documents={URI: self.document}, position_encoding="utf-16"
            )
        )
        self.review = self
        self.generation = 0
        self.on_changed: Any = None
        self.looks = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.while_looking: Any = lambda: None

    def place(self, _: str) -> tuple[Any, str]:
        return self, "a.py"

    async def orchestrator(self) -> Any:
        return self

    def concerns(self, _: str) -> bool:
        return True

    async def standing(self, _: str) -> tuple[str, list[PendingHunk]]:
        self.looks += 1
        text = self.document.source
        self.while_looking()
        await self.may_answer.wait()
        return text, [HUNK]


async def test_a_known_text_is_not_looked_at_again() -> None:
    session = Session()
    review = ChangeReview(cast("Any", session))
    for _ in range(5):
        assert len(await review.lenses(PARAMS)) == 3
    assert session.looks == 1
    session.document.source += "d\n"
    await review.lenses(PARAMS)
    session.generation += 1
    await review.lenses(PARAMS)
    assert session.looks == 3


async def test_all_who_ask_meanwhile_share_one_look() -> None:
    session = Session()
    review = ChangeReview(cast("Any", session))
    session.may_answer.clear()
    session.while_looking = lambda: asyncio.get_running_loop().call_soon(session.may_answer.set)
    answers = await asyncio.gather(*(review.lenses(PARAMS) for _ in range(5)))
    assert [len(answer) for answer in answers] == [3] * 5
    assert session.looks == 1


async def test_who_types_meanwhile_gets_the_lenses_of_the_new_text() -> None:
    session = Session()
    review = ChangeReview(cast("Any", session))

    def types() -> None:
        if session.looks == 1:
            session.document.source = "new\n" + session.document.source

    session.while_looking = types
    assert len(await review.lenses(PARAMS)) == 3
    assert session.looks == 2


async def test_nothing_is_shown_where_nobody_wants_it() -> None:
    session = Session()
    session.settings.review = "off"
    assert await ChangeReview(cast("Any", session)).lenses(PARAMS) == []
    assert session.looks == 0
