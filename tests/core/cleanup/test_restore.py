"""What went to the quarantine comes back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from generated_folder import Desk
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.errors import CleanupRefused

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "workspace")


def test_restore_brings_back_bytes_and_modes(desk: Desk) -> None:
    desk.put("sessions/a/state.json", Kind.SESSION, b"\x00one").chmod(0o640)
    desk.put("sessions/b", Kind.SESSION, b"two").chmod(0o755)
    before = desk.tree()
    desk.passes(8)
    report = desk.cleaner.run()
    assert report.quarantined == 2
    assert not (desk.folder / "sessions/a").exists()

    restored = desk.cleaner.restore(report.restore_id)

    assert set(restored.restored) == {"sessions/a/state.json", "sessions/b"}
    assert desk.tree() == before
    desk.assert_agrees()
    assert not desk.cleaner.run().steps, "restored files are as good as new"
    desk.passes(8)
    assert desk.cleaner.run().quarantined == 2


def test_one_file_can_be_restored(desk: Desk) -> None:
    for name in "ab":
        desk.put(f"sessions/{name}", Kind.SESSION, name.encode())
    desk.passes(8)
    desk.cleaner.run()
    first = desk.manifest.quarantined()[0]
    restored = desk.cleaner.restore(first.id)
    assert restored.restored == (first.entry.path.decode(),)
    assert len(desk.manifest.quarantined()) == 1


def test_restore_never_replaces_a_file(desk: Desk) -> None:
    path = desk.put("sessions/a", Kind.SESSION, b"ours")
    desk.passes(8)
    report = desk.cleaner.run()
    path.write_bytes(b"mine")
    restored = desk.cleaner.restore(report.restore_id)
    assert not restored.restored
    assert "move that away" in restored.unrestored[0].reason
    assert path.read_bytes() == b"mine"
    path.unlink()
    assert desk.cleaner.restore(report.restore_id).restored == ("sessions/a",)
    assert path.read_bytes() == b"ours"


def test_an_unknown_id_is_refused(desk: Desk) -> None:
    with pytest.raises(CleanupRefused, match="nothing"):
        desk.cleaner.restore("what")


def test_a_restore_that_was_cut_short_is_finished(desk: Desk) -> None:
    path = desk.put("sessions/a", Kind.SESSION, b"ours")
    desk.passes(8)
    desk.cleaner.run()
    (item,) = desk.manifest.quarantined()
    path.hardlink_to(desk.folder / "quarantine" / item.id)
    desk.cleaner.run()
    assert path.read_bytes() == b"ours"
    assert path.stat().st_nlink == 1
    desk.assert_agrees()


def test_what_somebody_changed_in_the_quarantine_is_not_deleted(desk: Desk) -> None:
    desk.put("sessions/a", Kind.SESSION, b"ours")
    desk.passes(8)
    desk.cleaner.run()
    (item,) = desk.manifest.quarantined()
    (desk.folder / "quarantine" / item.id).write_bytes(b"mine")
    desk.passes(8)
    report = desk.cleaner.run()
    assert not report.steps
    assert (desk.folder / "quarantine" / item.id).read_bytes() == b"mine"
    assert not desk.cleaner.run().kept
