"""Where in the workspace a failed check found something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.mission.finding_places import located, with_places
from orchestrator_core.records import CheckResult, FoundAt, Receipt
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.content_store import ContentStore
from orchestrator_core.workspace.documents import Document, Workspace
from orchestrator_core.workspace.edits import Change, diff_edits

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = "import os\n\n🍕 = 1\nuse(🍕, old)\n"


def change(before: str, after: str) -> Change:
    document = Document("a.py", before, text_file.sha256(before.encode()))
    return Change("a.py", "modify", document, after, diff_edits(before, after))


def found(after: str, *details: str) -> list[tuple[int, int, str]]:
    check = CheckResult("lint", "failed", details=details)
    receipt = with_places(Receipt("T1", False, (check,)), [change(BEFORE, after)])
    return [(at.line, at.column, at.message) for at in receipt.checks[0].found]


def test_a_place_is_told_in_the_text_before_the_edit() -> None:
    after = "# new\n# lines\n" + BEFORE.replace("old", "undefined")
    assert found(after, "a.py:6:8: F821 undefined", "a.py:3:1: F401 os") == [
        (4, 8, "F821 undefined"),
        (1, 1, "F401 os"),
    ]
    assert found("", "a.py:1:1: gone") == [(5, 1, "gone")]


def test_what_names_no_place_is_left_out() -> None:
    details = ("exit code 1", "a.py: does not parse any more", "… and 3 more", "a.py:1:x: no")
    assert found(BEFORE, *details) == []


def test_a_new_file_has_no_place_yet() -> None:
    check = CheckResult("syntax", "failed", details=("b.py:1:1: does not parse any more",))
    made = Change("b.py", "create", None, "(")
    assert with_places(Receipt("T1", False, (check,)), [made]).checks[0].found == ()


def test_checks_that_did_not_fail_tell_none() -> None:
    check = CheckResult("run", "unverified", details=("a.py:1:1: F401",))
    assert with_places(Receipt("T1", True, (check,)), []).checks == (check,)


lines = st.lists(st.sampled_from(["a\n", "b 🍕\n", "c\r\n", "\n"]), max_size=8)


@given(lines, lines)
def test_what_both_texts_have_is_found_again(old: list[str], new: list[str]) -> None:
    before, after = "".join([*old, "the one\n"]), "".join([*new, "the one\n"])
    line = len(new) + 1
    check = CheckResult("lint", "failed", details=(f"a.py:{line}:5: x",))
    receipt = with_places(Receipt("T1", False, (check,)), [change(before, after)])
    (at,) = receipt.checks[0].found
    assert (at.line, at.column) == (len(old) + 1, 5)


@pytest.mark.parametrize("kept", [True, False])
def test_a_place_follows_the_file(tmp_path: Path, kept: bool) -> None:
    (tmp_path / "a.py").write_text("# later\n" + BEFORE, "utf-8")
    workspace = Workspace(tmp_path)
    with ContentStore(tmp_path / "contents") as contents:
        if kept:
            contents.put(BEFORE.encode())
        at = FoundAt("a.py", 4, 8, "F821", text_file.sha256(BEFORE.encode()))
        place = located(at, contents, workspace)
        now = located(FoundAt("a.py", 2, 8, "F401"), contents, workspace)
        assert located(FoundAt("b.py", 1, 1, "F401"), contents, workspace) is None
    assert now is not None
    assert now.text[now.start : now.end] == "os"
    if kept:
        assert place is not None
        assert place.text[place.start : place.end] == "old"
    else:
        assert place is None
