"""Changes reach the disk whole, or not at all."""

import asyncio
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator_core.errors import EditRefused, StaleEdit, WorkspaceError
from orchestrator_core.workspace.disk_applier import DiskApplier, clear_leftovers
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.edits import Change, TextEdit
from orchestrator_core.workspace.text_file import sha256


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a.py").write_bytes(b"one\r\ntwo\n")
    (folder / "bom.txt").write_bytes(b"\xef\xbb\xbftext\r\n")
    (folder / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "run.sh").chmod(0o751)
    (folder / "old").mkdir()
    (folder / "old" / "b.py").write_bytes(b"bee\n")
    return folder


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace(root)


@pytest.fixture
def applier(workspace: Workspace) -> DiskApplier:
    return DiskApplier(workspace, asyncio.to_thread)


def tree(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file: bytes, mode and inode."""
    return {
        str(file.relative_to(root)): (file.read_bytes(), file.stat().st_mode, file.stat().st_ino)
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


def contents(root: Path) -> dict[str, bytes]:
    return {name: data for name, (data, _, _) in tree(root).items()}


async def test_all_kinds_of_change_are_made(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    draft = Draft(workspace)
    draft.edit("a.py", [TextEdit(0, 3, "1")])
    draft.edit("bom.txt", [TextEdit(0, 4, "TEXT")])
    draft.edit("run.sh", [TextEdit(9, 9, " -e")])
    draft.rename("old/b.py", "new/deep/c.py")
    draft.edit("new/deep/c.py", [TextEdit(0, 0, "a ")])
    draft.write("created.py", "new\n")
    await applier.apply(draft.changes(), label="test")
    assert contents(root) == {
        "a.py": b"1\r\ntwo\n",
        "bom.txt": b"\xef\xbb\xbfTEXT\r\n",
        "created.py": b"new\n",
        "new/deep/c.py": b"a bee\n",
        "run.sh": b"#!/bin/sh -e\n",
    }
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o751
    deleting = Draft(workspace)
    deleting.delete("created.py")
    await applier.apply(deleting.changes(), label="test")
    assert not (root / "created.py").exists()


async def test_a_created_file_follows_the_umask(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    (root / "plain").touch()
    draft = Draft(workspace)
    draft.write("created", "x")
    await applier.apply(draft.changes(), label="test")
    assert (root / "created").stat().st_mode == (root / "plain").stat().st_mode


async def test_extended_attributes_stay(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    try:
        os.setxattr(root / "a.py", "user.note", b"kept")
    except OSError:
        pytest.skip("no extended attributes here")
    draft = Draft(workspace)
    draft.write("a.py", "x")
    await applier.apply(draft.changes(), label="test")
    assert os.getxattr(root / "a.py", "user.note") == b"kept"


async def test_a_link_is_written_through(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    (root / "link.py").symlink_to("a.py")
    draft = Draft(workspace)
    draft.write("link.py", "through\n")
    await applier.apply(draft.changes(), label="test")
    assert (root / "link.py").is_symlink()
    assert (root / "a.py").read_bytes() == b"through\n"


async def refused(
    applier: DiskApplier, root: Path, changes: Sequence[Change], error: type[Exception], match: str
) -> None:
    before = tree(root)
    with pytest.raises(error, match=match):
        await applier.apply(changes, label="test")
    assert tree(root) == before


async def test_links_are_not_moved_or_deleted(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    (root / "link.py").symlink_to("a.py")
    draft = Draft(workspace)
    draft.delete("link.py")
    await refused(applier, root, draft.changes(), EditRefused, "is a symbolic link")


async def test_one_file_under_two_names_is_refused(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    (root / "link.py").symlink_to("a.py")
    draft = Draft(workspace)
    draft.write("link.py", "1")
    draft.write("a.py", "2")
    await refused(applier, root, draft.changes(), EditRefused, "are the same file")


async def test_a_way_out_of_the_workspace_is_refused(
    tmp_path: Path, root: Path, applier: DiskApplier
) -> None:
    (tmp_path / "outside").mkdir()
    (root / "door").symlink_to(tmp_path / "outside", target_is_directory=True)
    change = Change("door/new", "create", after_text="x")
    await refused(applier, root, [change], WorkspaceError, "outside the workspace")


def two_changes(workspace: Workspace) -> tuple[Change, ...]:
    draft = Draft(workspace)
    draft.write("a.py", "changed\n")
    draft.write("run.sh", "changed\n")
    return draft.changes()


async def test_a_file_that_changed_meanwhile_is_stale(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    changes = two_changes(workspace)
    (root / "run.sh").write_text("theirs")
    await refused(applier, root, changes, StaleEdit, r"run\.sh changed")


async def test_files_that_came_or_went_meanwhile_are_stale(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    draft = Draft(workspace)
    draft.write("a.py", "changed")
    draft.write("new.py", "mine")
    draft.rename("old/b.py", "old/c.py")
    (root / "new.py").write_text("theirs")
    await refused(applier, root, draft.changes(), StaleEdit, r"new\.py was created")
    (root / "new.py").unlink()
    (root / "old" / "c.py").write_text("theirs")
    await refused(applier, root, draft.changes(), StaleEdit, r"c\.py was created")
    (root / "old" / "c.py").unlink()
    (root / "old" / "b.py").unlink()
    await refused(applier, root, draft.changes(), StaleEdit, r"b\.py was deleted")


async def test_read_only_files_and_folders_are_refused_before_anything_changes(
    root: Path, workspace: Workspace, applier: DiskApplier
) -> None:
    changes = two_changes(workspace)
    (root / "run.sh").chmod(0o555)
    await refused(applier, root, changes, EditRefused, r"run\.sh is read-only.*chmod u\+w")
    (root / "run.sh").chmod(0o755)
    (root / "old").chmod(0o555)
    try:
        moving = Draft(workspace)
        moving.write("a.py", "changed")
        moving.rename("old/b.py", "b.py")
        await refused(
            applier, root, moving.changes(), EditRefused, r"b\.py.*folder .*old is read-only"
        )
        creating = Draft(workspace)
        creating.write("old/sub/new", "x")
        await refused(applier, root, creating.changes(), EditRefused, "folder .*old is read-only")
    finally:
        (root / "old").chmod(0o755)


async def test_texts_and_places_that_cannot_be_written_are_refused(
    root: Path, applier: DiskApplier
) -> None:
    half = Change("new", "create", after_text="\ud800")
    await refused(applier, root, [half], EditRefused, "surrogate")
    below = Change("a.py/below", "create", after_text="x")
    await refused(applier, root, [below], EditRefused, r"a\.py is no folder")
    long = Change("x" * 300, "create", after_text="x")
    await refused(applier, root, [long], EditRefused, "too long")


async def test_a_program_that_writes_during_the_change_makes_it_stale(
    root: Path, workspace: Workspace, applier: DiskApplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = two_changes(workspace)
    replace = os.replace

    def replace_and_write(source: str, target: str) -> None:
        # Another program that has the old file open appends to it when it is just gone.
        with open(target, "ab") as stream:
            replace(source, target)
            stream.write(b"appended")

    monkeypatch.setattr(os, "replace", replace_and_write)
    with pytest.raises(StaleEdit):
        await applier.apply(changes, label="test")
    monkeypatch.undo()
    assert (root / "a.py").read_bytes() == b"one\r\ntwo\nappended"
    assert list(contents(root)) == ["a.py", "bom.txt", "old/b.py", "run.sh"]


async def test_a_cancelled_call_ends_only_when_all_is_rolled_back(
    root: Path, workspace: Workspace, applier: DiskApplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = two_changes(workspace)
    before = tree(root)
    committing, go_on = threading.Event(), threading.Event()
    replace = os.replace

    def slow(source: str, target: str) -> None:
        replace(source, target)
        committing.set()
        go_on.wait(10)

    monkeypatch.setattr(os, "replace", slow)
    applying = asyncio.ensure_future(applier.apply(changes, label="test"))
    await asyncio.to_thread(committing.wait, 10)
    monkeypatch.undo()
    applying.cancel()
    await asyncio.sleep(0)
    applying.cancel()
    assert not applying.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert tree(root) == before


async def test_two_calls_do_not_mix(root: Path, workspace: Workspace, applier: DiskApplier) -> None:
    first, second = Draft(workspace), Draft(workspace)
    for draft, text in ((first, "1"), (second, "2")):
        draft.write("a.py", text)
        draft.write("run.sh", text)
    outcomes = await asyncio.gather(
        applier.apply(first.changes(), label="1"),
        applier.apply(second.changes(), label="2"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome] == [StaleEdit]
    assert (root / "a.py").read_bytes() == (root / "run.sh").read_bytes()


def test_leftovers_of_a_killed_process_are_cleared_and_nothing_else(
    root: Path, workspace: Workspace
) -> None:
    ours = [".opencode-0123456789abcdef.new", "old/.opencode-0123456789abcdef.old"]
    theirs = [".opencode-notes.new", ".opencode-0123456789abcdef.bak"]
    for name in (*ours, *theirs):
        (root / name).write_text("x")
    lost = "old/.opencode-fedcba9876543210.old"  # what nobody else has
    (root / lost).write_text("the last copy")
    cleared = clear_leftovers(
        workspace, ["a.py", "old/b.py", "gone/c.py"], is_kept=lambda digest: digest == sha256(b"x")
    )
    assert cleared == tuple(ours)
    assert all((root / name).exists() for name in (*theirs, lost))
