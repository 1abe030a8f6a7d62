"""The reported folder, after one pass: small, and nothing of a person's is different."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from generated_folder import BYTES, FILES, Desk, generate
from orchestrator_core.cleanup import state_folder
from orchestrator_core.cleanup.entries import Kind

if TYPE_CHECKING:
    from pathlib import Path


def touched(desk: Desk) -> dict[str, int]:
    """When each file last changed in any way, but for the manifest."""
    return {
        name: path.stat().st_ctime_ns
        for name, path in desk.files().items()
        if not name.startswith("manifest.db")
    }


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_pass_makes_it_small_and_a_second_one_does_nothing(desk: Desk) -> None:
    users = generate(desk)
    assert len(desk.files()) == FILES + 3  # the manifest and its log
    assert abs(desk.size_bytes() - BYTES) < BYTES / 20

    report = desk.cleaner.run()

    tree = desk.tree()
    assert {name: tree[name] for name in users} == users
    assert not (desk.folder / "node_modules").exists()
    assert len(desk.files()) < 200
    assert desk.size_bytes() < 2_000_000
    assert report.files_removed > 400
    desk.assert_agrees()

    before = touched(desk)
    second = desk.cleaner.run()
    assert second.steps == ()
    assert desk.tree() == tree
    assert touched(desk) == before


def test_a_preview_is_the_plan_and_writes_nothing(desk: Desk) -> None:
    generate(desk)
    before = touched(desk)

    preview = desk.cleaner.preview()

    assert touched(desk) == before
    report = desk.cleaner.run()
    assert preview.steps == report.steps
    assert preview.dry_run
    assert (preview.freed_bytes, preview.files_removed) == (
        report.freed_bytes,
        report.files_removed,
    )


def test_a_folder_that_is_not_ours_gets_no_file_of_ours(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put("agents/mine.md", None)
    assert desk.cleaner.run().steps == ()
    assert list(desk.files()) == ["agents/mine.md"]


def test_only_folders_that_changed_are_listed_and_what_is_gone_is_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_folder, "_SETTLED_NS", -1)
    for name in ("sessions/a", "sessions/b", "cache/a"):
        desk.put(name, Kind.SESSION)
    listed: list[bytes] = []
    names = state_folder.StateFolder.names

    def watched(folder: state_folder.StateFolder, path: bytes) -> set[str]:
        listed.append(path)
        return names(folder, path)

    monkeypatch.setattr(state_folder.StateFolder, "names", watched)
    desk.cleaner.run()
    assert {b"sessions", b"cache"} <= set(listed)
    listed.clear()
    desk.cleaner.run()
    assert set(listed) == {b"quarantine"}

    (desk.folder / "sessions/a").unlink()
    desk.cleaner.run()

    assert b"cache" not in listed
    assert desk.manifest.names(b"sessions") == {"b"}
    desk.assert_agrees()
