"""Undo brings back every byte, and keeps what others did since."""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mission.tape import Tape, files, lay_out, write_all
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.events import EditsIntended, MissionAccepted, TaskStarted
from orchestrator_core.mission.undo import plan_undo
from orchestrator_core.records import FileChange
from orchestrator_core.workspace.content_store import ContentStore
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.text_file import sha256

OLD = "1\n2\n3\n4\n5\n6\n7\n"


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    root = tmp_path / "root"
    lay_out(root, {"a.py": OLD.encode(), "b.py": b"bee\n", "sub/c.py": b"\xef\xbb\xbfsea\r\n"})
    with ContentStore(tmp_path / "store") as store:
        yield Tape(root, store)


def test_every_kind_of_change_is_taken_back(tape: Tape) -> None:
    before = files(tape.root)

    def change(draft: Draft) -> None:
        draft.write("a.py", "changed")
        draft.delete("sub/c.py")
        draft.rename("b.py", "moved/b.py")
        draft.write("moved/b.py", "moved")
        draft.write("new.py", "new")

    tape.perform("T1", change)
    assert len(files(tape.root)) == 3
    assert tape.undo().unrestored == ()
    assert files(tape.root) == before


def modes(root: Path) -> dict[str, int]:
    return {name: (root / name).stat().st_mode & 0o7777 for name in files(root)}


def test_permission_bits_of_deleted_files_come_back(tape: Tape) -> None:
    for name, mode in (("a.py", 0o755), ("b.py", 0o600), ("sub/c.py", 0o770)):
        (tape.root / name).chmod(mode)
    before = files(tape.root), modes(tape.root)
    tape.perform("T1", lambda draft: (draft.delete("a.py"), draft.rename("b.py", "d.py")))
    tape.perform("T2", lambda draft: (draft.delete("d.py"), draft.delete("sub/c.py")))
    tape.perform("T3", write_all([("a.py", "made anew"), ("sub/c.py", "too")]))
    assert modes(tape.root)["a.py"] != 0o755
    assert tape.undo().unrestored == ()
    assert (files(tape.root), modes(tape.root)) == before


def test_permission_bits_that_a_person_set_since_stay(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", "changed")]))
    (tape.root / "a.py").chmod(0o700)
    assert tape.undo().unrestored == ()
    assert modes(tape.root)["a.py"] == 0o700


def test_what_could_not_be_read_is_taken_back_later(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", "changed"), ("b.py", "changed")]))
    (tape.root / "a.py").unlink()
    (tape.root / "a.py").symlink_to("/dev/null")  # as unreadable as a file on a failing disk
    assert len(tape.undo().unrestored) == 1
    (tape.root / "a.py").unlink()
    (tape.root / "a.py").write_text("changed")
    (tape.root / "b.py").write_text("by a person, since")
    assert tape.undo().unrestored == ()
    assert (tape.root / "a.py").read_text() == OLD
    assert (tape.root / "b.py").read_text() == "by a person, since"


def test_what_was_taken_back_is_not_taken_back_again(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", "changed")]))
    tape.undo()
    (tape.root / "a.py").write_text("changed")  # by a person, on purpose
    assert tape.undo().changes == ()


def test_one_task_is_taken_back_around_the_later_ones(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", OLD.replace("1", "one")), ("b.py", "T1")]))
    tape.perform("T2", write_all([("a.py", OLD.replace("1", "one").replace("7", "seven"))]))
    assert tape.undo("T1").unrestored == ()
    assert (tape.root / "a.py").read_text() == OLD.replace("7", "seven")
    assert (tape.root / "b.py").read_text() == "bee\n"
    assert tape.undo().unrestored == ()
    assert (tape.root / "a.py").read_text() == OLD


def test_lines_of_others_stay_and_those_of_the_mission_go(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", OLD.replace("2", "two"))]))
    text = (tape.root / "a.py").read_text()
    (tape.root / "a.py").write_text(text.replace("6\n", "6\nsomeone's\n"))
    assert tape.undo().unrestored == ()
    assert (tape.root / "a.py").read_text() == OLD.replace("6\n", "6\nsomeone's\n")


def test_lines_that_both_changed_stay_and_are_named(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", OLD.replace("2", "two").replace("6", "six"))]))
    text = (tape.root / "a.py").read_text()
    (tape.root / "a.py").write_text(text.replace("two", "TWO"))
    assert tape.undo().unrestored == ("a.py: line 2 changed since",)
    assert (tape.root / "a.py").read_text() == OLD.replace("2", "TWO")


def test_unsaved_text_in_the_editor_is_what_is_merged_around(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", OLD.replace("2", "two"))]))
    tape.workspace.opened("a.py", OLD.replace("2", "two") + "typed\n", 5)
    (change,) = plan_undo(tape.events, tape.store, tape.workspace).changes
    assert change.before is not None
    assert change.before.version == 5
    assert change.after_text == OLD + "typed\n"


@dataclass(frozen=True)
class Meddling:
    """What a mission did, what someone did to it, and what an undo then says and leaves."""

    work: Callable[[Draft], object]
    meddle: Callable[[Path], object]
    note: str
    left: dict[str, bytes | None]


MEDDLINGS: list[Meddling] = [
    Meddling(
        lambda draft: draft.write("a.py", "x"),
        lambda root: (root / "a.py").unlink(),
        "a.py: was deleted since",
        {"a.py": None},
    ),
    Meddling(
        lambda draft: draft.write("new.py", "x"),
        lambda root: (root / "new.py").write_text("theirs"),
        "new.py: was created by the mission and changed since",
        {"new.py": b"theirs"},
    ),
    Meddling(
        lambda draft: draft.delete("b.py"),
        lambda root: (root / "b.py").write_text("theirs"),
        "b.py: was created anew since",
        {"b.py": b"theirs"},
    ),
    Meddling(
        lambda draft: draft.rename("b.py", "c.py"),
        lambda root: (root / "b.py").write_text("theirs"),
        "b.py: another file is in its place now",
        {"b.py": b"theirs", "c.py": b"bee\n"},
    ),
    Meddling(
        lambda draft: draft.rename("b.py", "c.py"),
        lambda root: (root / "c.py").unlink(),
        "b.py: c.py was deleted since",
        {"b.py": None},
    ),
    Meddling(
        lambda draft: draft.write("a.py", "x"),
        lambda root: (root / "a.py").write_bytes(b"\xff"),
        "a.py: is not UTF-8 (byte 0xff on line 1): it is left alone",
        {"a.py": b"\xff"},
    ),
]


@pytest.mark.parametrize("case", MEDDLINGS, ids=[case.note for case in MEDDLINGS])
def test_what_cannot_be_restored_is_left_and_named(tape: Tape, case: Meddling) -> None:
    tape.perform("T1", case.work)
    case.meddle(tape.root)
    assert tape.undo().unrestored == (case.note,)
    for name, data in case.left.items():
        assert files(tape.root).get(name) == data


def test_a_content_that_was_dropped_is_named(tape: Tape) -> None:
    tape.perform("T1", write_all([("a.py", "x"), ("b.py", "y")]))
    tape.store._database.execute("DELETE FROM contents WHERE hash = ?", (sha256(OLD.encode()),))
    assert tape.undo().unrestored == ("a.py: its old text is not kept any more",)
    assert files(tape.root)["b.py"] == b"bee\n"


def test_a_rename_back_that_others_edited_keeps_their_lines(tape: Tape) -> None:
    tape.perform("T1", lambda draft: draft.rename("a.py", "z.py"))
    (tape.root / "z.py").write_text(OLD + "theirs\n")
    assert tape.undo().unrestored == ()
    assert "z.py" not in files(tape.root)
    assert (tape.root / "a.py").read_text() == OLD + "theirs\n"


def test_a_rename_that_was_cut_in_half_loses_only_its_copy(tape: Tape) -> None:
    tape.crash("T1", lambda draft: draft.rename("b.py", "c.py"), reached=lambda _: False)
    (tape.root / "c.py").write_bytes(b"bee\n")
    assert tape.undo().unrestored == ()
    assert "c.py" not in files(tape.root)
    assert files(tape.root)["b.py"] == b"bee\n"


def test_an_attempt_that_was_given_up_does_not_disturb(tape: Tape) -> None:
    tape.intend("T1", write_all([("a.py", OLD.replace("2", "two"))]))  # stale: rolled back
    (tape.root / "a.py").write_text(OLD.replace("2", "zwei"))
    tape.perform("T1", write_all([("a.py", OLD.replace("2", "two"))]))
    assert tape.undo().unrestored == ()
    assert (tape.root / "a.py").read_text() == OLD.replace("2", "zwei")


def test_a_dry_run_left_nothing_to_undo(tape: Tape) -> None:
    change = FileChange("a.py", "modify", sha256(b"x"), sha256(OLD.encode()))
    events = [
        MissionAccepted(mission_id="m", text="t", dry_run=True),
        TaskStarted(mission_id="m", task_id="T1"),
        EditsIntended(mission_id="m", task_id="T1", changes=(change,)),
    ]
    assert plan_undo(events, tape.store, tape.workspace).changes == ()


# Random missions

NAMES = ["a", "b", "sub/c", "sub/d", "e"]
texts = st.text(alphabet="ab\r\n\ufeffé", max_size=12)
operations = st.tuples(
    st.sampled_from(["write", "delete", "rename", "insert"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    texts,
)
tasks = st.lists(st.lists(operations, min_size=1, max_size=4), min_size=1, max_size=4)
trees = st.dictionaries(st.sampled_from(NAMES), texts.map(str.encode), min_size=1)


def carried_out(operations: list[tuple[str, str, str, str]]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        for kind, path, other, text in operations:
            try:
                match kind:
                    case "write":
                        draft.write(path, text)
                    case "delete":
                        draft.delete(path)
                    case "rename":
                        draft.rename(path, other)
                    case _:
                        draft.write(path, draft.read(path).text + text)
            except OrchestratorError:
                continue  # a file that is not there, or is there already

    return change


@contextmanager
def scratch() -> Generator[tuple[Path, ContentStore]]:
    """A folder in memory where there is one: hundreds of missions, each with many syncs."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        ContentStore(Path(folder, "store")) as store,
    ):
        root = Path(folder, "root")
        root.mkdir()
        yield root, store


@settings(max_examples=100, deadline=None)
@given(trees, tasks)
def test_undo_of_any_mission_is_byte_identical(
    tree: dict[str, bytes], tasks: list[list[tuple[str, str, str, str]]]
) -> None:
    with scratch() as (root, store):
        lay_out(root, tree)
        tape = Tape(root, store)
        for number, task in enumerate(tasks, 1):
            tape.perform(f"T{number}", carried_out(task))
        assert tape.undo().unrestored == ()
        assert files(root) == tree


@settings(max_examples=100, deadline=None)
@given(trees, tasks, st.integers(0, 31))
def test_undo_after_a_crash_in_the_middle_is_byte_identical(
    tree: dict[str, bytes], tasks: list[list[tuple[str, str, str, str]]], reached: int
) -> None:
    with scratch() as (root, store):
        lay_out(root, tree)
        tape = Tape(root, store)
        *whole, last = tasks
        for number, task in enumerate(whole, 1):
            tape.perform(f"T{number}", carried_out(task))
        tape.crash("T9", carried_out(last), lambda place: bool(reached >> place & 1))
        assert tape.undo().unrestored == ()
        assert files(root) == tree


zone = st.lists(st.sampled_from(["x\n", "y\n", "\n", "z\r\n"]), max_size=5).map("".join)
FENCE = "".join(f"--- {number} ---\n" for number in range(3))


@settings(max_examples=100, deadline=None)
@given(zone, zone, st.lists(st.tuples(st.booleans(), zone), min_size=1, max_size=6))
def test_undo_keeps_what_a_person_typed_in_between(
    top: str, bottom: str, steps: list[tuple[bool, str]]
) -> None:
    with scratch() as (root, store):
        lay_out(root, {"f": (top + FENCE + bottom).encode()})
        tape = Tape(root, store)
        mission, person = top, bottom
        for number, (by_person, text) in enumerate(steps, 1):
            if by_person:
                person = text
                (root / "f").write_bytes((mission + FENCE + person).encode())
            else:
                mission = text
                tape.perform(f"T{number}", write_all([("f", mission + FENCE + person)]))
        assert tape.undo().unrestored == ()
        assert (root / "f").read_bytes().decode() == top + FENCE + person
