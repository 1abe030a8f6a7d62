"""Pages below ``.opencode``: replaced while they are ours, known to cleanup, and never a person's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.manifest import Manifest
from orchestrator_core.cleanup.pages import write_page
from orchestrator_core.errors import CleanupError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_page_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / ".opencode").mkdir()
    with Manifest(tmp_path / ".opencode") as manifest:
        first = write_page(tmp_path, manifest, "m", "one")
        second = write_page(tmp_path, manifest, "m", "two 🍕")
        assert first == second == tmp_path / ".opencode/documents/m.md"
        assert first.read_text("utf-8") == "two 🍕"
        assert manifest.totals() == {Kind.DOCUMENT: (1, len("two 🍕".encode()))}


@pytest.mark.parametrize("known", [True, False])
def test_what_a_person_wrote_there_stays(tmp_path: Path, known: bool) -> None:
    page = tmp_path / ".opencode/documents/m.md"
    page.parent.mkdir(parents=True)
    with Manifest(tmp_path / ".opencode") as manifest:
        if known:
            write_page(tmp_path, manifest, "m", "one")
        page.write_text("mine")
        other = write_page(tmp_path, manifest, "m", "two")
        assert other.name == "m-2.md"
        assert write_page(tmp_path, manifest, "m", "three") == other
        assert page.read_text() == "mine"
        assert other.read_text() == "three"


def test_a_folder_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here" / ".opencode").mkdir(parents=True)
    (tmp_path / "here/.opencode/documents").symlink_to(tmp_path / "elsewhere")
    with Manifest(tmp_path / "here/.opencode") as manifest, pytest.raises(CleanupError):
        write_page(tmp_path / "here", manifest, "m", "one")
    assert list((tmp_path / "elsewhere").iterdir()) == []
