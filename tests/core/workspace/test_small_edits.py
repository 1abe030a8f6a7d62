"""Edits that a tool made are kept as they are where a comparison would find none much smaller."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.workspace import edits as module
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.edits import TextEdit, apply_edits, as_small_edits

TEXT = st.text(alphabet="ab\r\n", max_size=20)


@given(TEXT, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), TEXT), max_size=4))
def test_they_make_the_same_text_and_stay_within_lines(text, wishes) -> None:
    edits: list[TextEdit] = []
    for start, length, new_text in sorted(wishes):
        if start >= (edits[-1].end if edits else 0) and start + length <= len(text):
            edits.append(TextEdit(start, start + length, new_text))

    small = as_small_edits(text, edits)

    if small is None:
        return
    assert apply_edits(text, small) == apply_edits(text, edits)
    for edit in small:
        assert not set("\r\n") & set(text[edit.start : edit.end] + edit.new_text)
        assert text[edit.start - 1 : edit.start + 1] != "\r\n" or edit.start == 0


def test_a_draft_compares_no_texts_after_edits_within_lines(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    draft = Draft(Workspace(tmp_path))
    draft.edit("a.txt", [TextEdit(0, 3, "eins"), TextEdit(4, 7, "zwei")])
    monkeypatch.setattr(module, "hunks", None)

    (change,) = draft.changes()

    assert change.after_text == "eins\nzwei\n"
    assert change.edits == (TextEdit(0, 3, "eins"), TextEdit(4, 7, "zwei"))


def test_a_second_step_makes_a_draft_compare(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    draft = Draft(Workspace(tmp_path))
    draft.edit("a.txt", [TextEdit(0, 3, "eins")])
    draft.edit("a.txt", [TextEdit(0, 4, "uno")])

    (change,) = draft.changes()

    assert change.before is not None
    assert apply_edits(change.before.text, change.edits) == "uno\ntwo\n" == change.after_text
