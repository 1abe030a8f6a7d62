"""Changes that others got ahead of are carried over where the regions do not touch."""

from pathlib import Path

import pytest

from orchestrator_core.errors import StaleEdit
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.edits import Change, apply_edits
from orchestrator_core.workspace.rebase import rebase


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "a.py").write_text("1\n2\n3\n4\n5\n")
    return Workspace(tmp_path)


def drafted(workspace: Workspace, text: str = "1\n2\n3\n4\nfive\n") -> tuple[Change, ...]:
    draft = Draft(workspace)
    draft.write("a.py", text)
    return draft.changes()


def test_a_change_elsewhere_in_the_file_is_kept(workspace: Workspace) -> None:
    changes = drafted(workspace)
    workspace.opened("a.py", "one\n2\n3\n4\n5\n", 4)
    (change,) = rebase(changes, workspace)
    assert change.after_text == "one\n2\n3\n4\nfive\n"
    assert change.before is not None
    assert change.before.version == 4
    assert apply_edits(change.before.text, change.edits) == change.after_text


def test_an_untouched_file_only_takes_the_new_version(workspace: Workspace) -> None:
    changes = drafted(workspace)
    workspace.opened("a.py", "1\n2\n3\n4\n5\n", 2)
    (change,) = rebase(changes, workspace)
    assert change.before is not None
    assert (change.before.version, change.edits) == (2, changes[0].edits)


def test_changes_that_touch_are_stale_and_name_the_line(workspace: Workspace) -> None:
    changes = drafted(workspace)
    (workspace.root / "a.py").write_text("1\n2\n3\nfour\n5\n")
    with pytest.raises(StaleEdit, match="same place: line 4"):
        rebase(changes, workspace)


def test_files_that_came_or_went_meanwhile_are_stale(workspace: Workspace) -> None:
    root = workspace.root
    draft = Draft(workspace)
    draft.write("new.py", "n")
    (root / "new.py").write_text("theirs")
    with pytest.raises(StaleEdit, match=r"new\.py was created"):
        rebase(draft.changes(), workspace)
    moving, deleting = Draft(workspace), Draft(workspace)
    moving.rename("a.py", "b.py")
    deleting.delete("a.py")
    (root / "b.py").write_text("theirs")
    with pytest.raises(StaleEdit, match=r"b\.py was created"):
        rebase(moving.changes(), workspace)
    (root / "a.py").write_text("1\n")
    with pytest.raises(StaleEdit, match="not deleted"):
        rebase(deleting.changes(), workspace)
    changes = drafted(workspace, "2\n")
    (root / "a.py").unlink()
    with pytest.raises(StaleEdit, match="was deleted"):
        rebase(changes, workspace)
