"""Edits as they are sent to an editor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.workspace.edits import apply_edits, diff_edits
from orchestrator_server.editor import _within_lines

texts = st.text(st.sampled_from("ab\r\n"), max_size=12)


@given(texts, texts)
def test_edits_within_lines_make_the_same_text(before: str, after: str) -> None:
    assert apply_edits(before, _within_lines(before, diff_edits(before, after))) == after


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_no_line_is_added_behind_the_last_line_end(line_end: str) -> None:
    before = f"one{line_end}"

    (edit,) = _within_lines(before, diff_edits(before, f"{before}two{line_end}"))

    assert (edit.start, edit.end, edit.new_text) == (3, 3, f"{line_end}two")
