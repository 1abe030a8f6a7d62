"""Documents against a model so naive that it is right by inspection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from lsprotocol import types

from core.primitives.test_text_lines import Model, encodings, small, texts
from orchestrator_server.protocol import _sync_kind
from orchestrator_server.text_document import OpenWorkspace

positions = st.builds(types.Position, small, small)


class Editing(RuleBasedStateMachine):
    """A client edits a document and its model side by side."""

    @initialize(text=texts, encoding=encodings)
    def open(self, text: str, encoding: str) -> None:
        self.workspace = OpenWorkspace(
            None, types.TextDocumentSyncKind.Incremental, [], types.PositionEncodingKind(encoding)
        )
        self.workspace.put_text_document(types.TextDocumentItem("file:///d", "text", 1, text))
        self.model = Model(text, encoding)

    def offset(self, position: types.Position) -> int:
        return self.model.offset(position.line, position.character)

    def change(self, change: types.TextDocumentContentChangeEvent) -> None:
        identifier = types.VersionedTextDocumentIdentifier(2, "file:///d")
        self.workspace.update_text_document(identifier, change)

    @rule(start=positions, end=positions, text=texts)
    def edit(self, start: types.Position, end: types.Position, text: str) -> None:
        a, b = sorted((self.offset(start), self.offset(end)))
        self.model.text = self.model.text[:a] + text + self.model.text[b:]
        self.change(types.TextDocumentContentChangePartial(types.Range(start, end), text))

    @rule(text=texts)
    def replace_all(self, text: str) -> None:
        self.model.text = text
        self.change(types.TextDocumentContentChangeWholeDocument(text))

    @invariant()
    def is_as_the_model(self) -> None:
        if hasattr(self, "model"):
            document = self.workspace.get_text_document("file:///d")
            assert document.source == self.model.text
            assert [*document.lines] == [line for line in self.model.lines if line]


TestEditing = Editing.TestCase


@given(texts, encodings, st.data())
def test_the_interface_of_pygls_agrees_with_the_index(text, encoding, data) -> None:
    workspace = OpenWorkspace(
        None, types.TextDocumentSyncKind.Incremental, [], types.PositionEncodingKind(encoding)
    )
    workspace.put_text_document(types.TextDocumentItem("file:///d", "text", 1, text))
    document = workspace.get_text_document("file:///d")
    offset = data.draw(st.integers(0, len(text)))
    server_position = document.server_position_at_offset(offset)
    assert document.offset_at_server_position(server_position) == offset
    position = document.client_position_at_offset(offset)
    assert position == types.Position(*Model(text, encoding).place(offset))
    asked = data.draw(positions)
    before = types.Position(asked.line, asked.character)
    if asked.line < len(document.lines):
        converted = document.position_from_client_units(asked)
        assert document.offset_at_server_position(converted) == document.offset_at_position(asked)
    assert asked == before


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 5), ("utf-16", 3), ("utf-32", 2)])
def test_the_word_at_a_position_is_found_in_every_encoding(encoding, character) -> None:
    workspace = OpenWorkspace(
        None, types.TextDocumentSyncKind.Incremental, [], types.PositionEncodingKind(encoding)
    )
    workspace.put_text_document(types.TextDocumentItem("file:///d", "text", 1, "😀 word"))
    document = workspace.get_text_document("file:///d")
    assert document.word_at_position(types.Position(0, character)) == "word"


def test_a_change_to_a_document_that_is_not_open_is_ignored(caplog) -> None:
    workspace = OpenWorkspace(
        None, types.TextDocumentSyncKind.Incremental, [], types.PositionEncodingKind.Utf16
    )
    identifier = types.VersionedTextDocumentIdentifier(2, "file:///none")
    workspace.update_text_document(identifier, types.TextDocumentContentChangeWholeDocument("text"))
    assert "file:///none" in caplog.text
    assert not workspace.text_documents


@pytest.mark.parametrize(
    ("opened", "early", "text"), [(0, [1], "text 1"), (0, [2, 1], "text 2"), (3, [2], "opened")]
)
def test_a_whole_text_ahead_of_the_opening_counts_if_it_is_newer(
    opened: int, early: list[int], text: str
) -> None:
    workspace = OpenWorkspace(
        None, types.TextDocumentSyncKind.Full, [], types.PositionEncodingKind.Utf8
    )
    for version in early:
        identifier = types.VersionedTextDocumentIdentifier(version, "file:///a%20d")
        whole = types.TextDocumentContentChangeWholeDocument(f"text {version}")
        workspace.update_text_document(identifier, whole)

    for _ in range(2):  # it counts once: a document that is closed and opened again is as it is
        workspace.put_text_document(types.TextDocumentItem("file:///a d", "x", opened, "opened"))
        document = workspace.get_text_document("file:///a d")
        assert (document.source, document.version) == (text, max(opened, *early))
        workspace.remove_text_document("file:///a d")
        text, early = "opened", [opened]


def test_few_texts_are_kept_for_documents_that_are_never_opened() -> None:
    workspace = OpenWorkspace(
        None, types.TextDocumentSyncKind.Full, [], types.PositionEncodingKind.Utf8
    )
    for number in range(1000):
        identifier = types.VersionedTextDocumentIdentifier(1, f"file:///{number}")
        whole = types.TextDocumentContentChangeWholeDocument("text")
        workspace.update_text_document(identifier, whole)
    assert len(workspace._early) == 64


def test_of_whole_texts_that_overtook_one_another_the_newest_counts() -> None:
    helix = types.ClientInfo("helix", "25.01.1")
    kind = _sync_kind(helix)
    workspace = OpenWorkspace(None, kind, [], types.PositionEncodingKind.Utf8)
    workspace.put_text_document(types.TextDocumentItem("file:///d", "text", 1, "one"))

    for version in (2, 4, 3):
        identifier = types.VersionedTextDocumentIdentifier(version, "file:///d")
        whole = types.TextDocumentContentChangeWholeDocument(f"text {version}")
        workspace.update_text_document(identifier, whole)

    document = workspace.get_text_document("file:///d")
    assert kind is types.TextDocumentSyncKind.Full
    assert (document.source, document.version) == ("text 4", 4)
    assert _sync_kind(None) is types.TextDocumentSyncKind.Incremental


def test_a_document_on_disk_keeps_its_line_ends_and_is_read_anew(tmp_path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"a\r\nb\rc")
    workspace = OpenWorkspace(
        None, types.TextDocumentSyncKind.Incremental, [], types.PositionEncodingKind.Utf16
    )
    document = workspace.get_text_document(path.as_uri())
    assert document.lines == ("a\r\n", "b\r", "c")
    assert document.offset_at_position(types.Position(2, 0)) == 5
    path.write_bytes(b"new")
    assert document.lines == ("new",)
