"""A draft composes a task's steps and says in the end what they come to."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator_core.errors import EditError, EditRefused, MissingFile, StaleEdit, UnreadableText
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.edits import TextEdit
from orchestrator_core.workspace.text_file import sha256


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    (tmp_path / "a.py").write_text("one\ntwo\n")
    (tmp_path / "b.py").write_text("bee\n")
    (tmp_path / "bom.py").write_bytes(b"\xef\xbb\xbfone\r\n")
    return Draft(Workspace(tmp_path))


def kinds(draft: Draft) -> list[tuple[str, ...]]:
    return [
        (c.kind, c.path, c.new_path) if c.new_path else (c.kind, c.path) for c in draft.changes()
    ]


def test_steps_see_what_the_steps_before_wrote(draft: Draft) -> None:
    draft.edit("a.py", [TextEdit(0, 3, "1")])
    draft.edit("a.py", [TextEdit(2, 5, "2")])
    assert draft.read("a.py").text == "1\n2\n"
    assert draft.read("a.py").sha256 == sha256(b"1\n2\n")
    (change,) = draft.changes()
    assert change.before is not None
    assert (change.before.text, change.after_text) == ("one\ntwo\n", "1\n2\n")
    assert change.edits == (TextEdit(0, 3, "1"), TextEdit(4, 7, "2"))
    assert draft.workspace.read("a.py").text == "one\ntwo\n"


def test_what_comes_back_to_its_old_text_is_no_change(draft: Draft) -> None:
    draft.write("a.py", "other")
    draft.write("a.py", "one\ntwo\n")
    draft.write("new", "x")
    draft.delete("new")
    draft.rename("b.py", "c.py")
    draft.rename("c.py", "b.py")
    assert draft.changes() == ()


def test_edits_from_an_older_text_are_stale(draft: Draft) -> None:
    draft.read("a.py")
    (draft.workspace.root / "a.py").write_text("changed meanwhile")
    with pytest.raises(StaleEdit, match=r"a\.py changed"):
        draft.edit("a.py", [TextEdit(0, 1, "")])
    with pytest.raises(StaleEdit):
        draft.edit("b.py", [TextEdit(0, 1, "")], sha256=sha256(b"another text"))
    assert draft.changes() == ()


def test_a_hash_may_leave_out_the_byte_order_mark(draft: Draft) -> None:
    draft.edit("bom.py", [TextEdit(0, 3, "1")], sha256=sha256(b"one\r\n"))
    draft.edit("bom.py", [TextEdit(0, 1, "2")], sha256=sha256(b"\xef\xbb\xbf1\r\n"))
    (change,) = draft.changes()
    assert change.encode() == b"\xef\xbb\xbf2\r\n"


def test_a_byte_order_mark_stays_whether_written_or_not(draft: Draft) -> None:
    draft.write("bom.py", "new")
    assert draft.changes()[0].encode() == b"\xef\xbb\xbfnew"
    draft.write("bom.py", "\ufeffnew")
    assert draft.changes()[0].encode() == b"\xef\xbb\xbfnew"
    draft.write("created.py", "\ufeffnew")
    assert draft.read("created.py").text == "new"
    assert draft.changes()[1].encode() == b"\xef\xbb\xbfnew"


def test_edits_that_do_not_fit_and_texts_that_cannot_be_written_are_refused(draft: Draft) -> None:
    with pytest.raises(EditError):
        draft.edit("a.py", [TextEdit(0, 99, "")])
    with pytest.raises(UnreadableText, match="surrogate"):
        draft.write("a.py", "\udc00")
    with pytest.raises(MissingFile):
        draft.edit("none.py", [])
    with pytest.raises(MissingFile):
        draft.delete("none.py")
    with pytest.raises(MissingFile):
        draft.rename("none.py", "x")
    assert draft.changes() == ()


def test_each_kind_of_change_comes_out_once(draft: Draft) -> None:
    draft.write("sub/new.py", "n")
    draft.delete("b.py")
    draft.rename("a.py", "moved.py")
    draft.edit("moved.py", [TextEdit(0, 3, "1")])
    assert kinds(draft) == [
        ("rename", "a.py", "moved.py"),
        ("delete", "b.py"),
        ("create", "sub/new.py"),
    ]
    assert draft.documents() == {
        "a.py": None,
        "b.py": None,
        "moved.py": "1\ntwo\n",
        "sub/new.py": "n",
    }
    with pytest.raises(MissingFile):
        draft.read("a.py")


def test_renames_onto_something_are_refused_unless_it_went_before(draft: Draft) -> None:
    with pytest.raises(EditRefused, match="exists already"):
        draft.rename("a.py", "b.py")
    draft.delete("b.py")
    draft.rename("a.py", "b.py")
    assert kinds(draft) == [("delete", "a.py"), ("modify", "b.py")]


def test_chains_and_swaps_of_renames_come_to_independent_changes(draft: Draft) -> None:
    draft.rename("a.py", "t")
    draft.rename("b.py", "a.py")
    draft.rename("t", "b.py")
    assert kinds(draft) == [("modify", "a.py"), ("modify", "b.py")]
    assert draft.read("b.py").text == "one\ntwo\n"


def test_a_path_written_again_after_its_file_moved_is_not_a_rename(draft: Draft) -> None:
    draft.rename("a.py", "c.py")
    draft.write("a.py", "new here")
    assert kinds(draft) == [("modify", "a.py"), ("create", "c.py")]


def test_a_created_file_that_moves_is_created_there(draft: Draft) -> None:
    draft.write("x", "1")
    draft.rename("x", "y")
    assert kinds(draft) == [("create", "y")]


def test_changes_carry_the_version_of_the_editors_buffer(draft: Draft) -> None:
    draft.workspace.opened("a.py", "typed\n", 7)
    draft.edit("a.py", [TextEdit(0, 0, "un")])
    (change,) = draft.changes()
    assert change.before is not None
    assert (change.before.version, change.before.source) == (7, "editor")
    assert change.after_text == "untyped\n"


def test_a_copy_goes_its_own_way(draft: Draft) -> None:
    draft.write("a.py", "1")
    twin = draft.copy()
    twin.write("a.py", "2")
    assert (draft.read("a.py").text, twin.read("a.py").text) == ("1", "2")


def test_many_threads_may_edit_files_of_one_draft(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_text("x" * 50)
    draft = Draft(Workspace(tmp_path))

    def insert(number: int) -> None:
        draft.edit(f"{number % 20}", [TextEdit(0, 0, ".")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(insert, range(400)))
    assert [c.after_text for c in draft.changes()] == ["." * 20 + "x" * 50] * 20
