"""The reported folder, after one pass: small, and nothing of a person's is different."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from generated_folder import BYTES, FILES, Desk, generate

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
