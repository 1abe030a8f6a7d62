"""Edits and diffs turn one text into another."""

from __future__ import annotations

import difflib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.tool_server.client import ToolServer
from core.tool_server.edited import apply

texts = st.text("ab\n\r é𝄞", max_size=40)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=texts, after=texts)
def test_edits_and_diffs_turn_one_text_into_the_other(
    server: ToolServer, before: str, after: str
) -> None:
    [file] = server.call("edits", before=before, after=after)["files"]
    assert apply(before, file["edits"]) == after
    if before == after:
        assert file["edits"] == []
    result = server.call("diff", files=[{"path": "f", "before": before, "after": after}])
    assert patched(before, result["files"][0]["hunks"], after) == after.split("\n")


def patched(before: str, hunks: list[dict[str, Any]], after: str) -> list[str]:
    """Apply hunks to the lines of a text."""
    lines = before.split("\n")
    out: list[str] = []
    at = 0
    for hunk in hunks:
        start = hunk["oldStart"] - (1 if hunk["oldLines"] else 0)
        out += lines[at:start]
        kept = [line[1:] for line in hunk["lines"] if line[0] in " +"]
        assert len(kept) == hunk["newLines"]
        out += kept
        at = start + hunk["oldLines"]
    rest = lines[at:]
    # A text that ends in a line break has an empty piece after it.
    if after.endswith("\n") or not after:
        return [*out, *rest] if rest else [*out, ""]
    return [*out, *rest] if rest != [""] else out


def test_a_diff_is_what_difflib_makes_of_a_simple_change(server: ToolServer) -> None:
    before = "".join(f"line {n}\n" for n in range(20))
    after = before.replace("line 7\n", "line seven\n").replace("line 15\n", "")
    result = server.call("diff", before=before, after=after, path="f.txt")
    expected = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), "a/f.txt", "b/f.txt"
    )
    assert result["diff"] == "".join(expected)
