"""The copy that an agent works in, its snapshot, and what is left when a process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.agents.acp_folder import AgentFolder, sweep
from orchestrator_core.agents.acp_snapshot import history, take_snapshot, tracked
from orchestrator_core.agents.acp_worktree import TreeChanges, WorkTree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def listed(tree: WorkTree) -> list[str]:
    """The files of a copy."""
    found = (path.relative_to(tree.path).as_posix() for path in tree.path.rglob("*"))
    return [name for name in found if not name.startswith(".git/") and not _is_folder(tree, name)]


def _is_folder(tree: WorkTree, name: str) -> bool:
    return (tree.path / name).is_dir() and not (tree.path / name).is_symlink()


@pytest.fixture
def tree(tmp_path: Path, project: Path) -> WorkTree:
    """A copy of the project."""
    (project / "src").mkdir()
    (project / "src/deep.py").write_text("x = 1\n")
    made = WorkTree(tmp_path / "copy")
    fill(made, project)
    return made


def fill(tree: WorkTree, project: Path, **texts: bytes | None) -> None:
    """Fill a copy with all of the project."""
    files = [p.relative_to(project).as_posix() for p in project.rglob("*") if not p.is_dir()]
    files = [name for name in files if not name.startswith(".git/")]
    tree.fill(project, files, {name.replace("_py", ".py"): text for name, text in texts.items()})


def changed(tree: WorkTree) -> TreeChanges:
    """What differs now."""
    return tree.changes(listed(tree))


def of(written: Iterable[str] = (), deleted: Iterable[str] = (), refused: Iterable[str] = ()):
    """The changes."""
    return TreeChanges(tuple(written), tuple(deleted), tuple(refused))


def test_an_untouched_copy_has_no_changes(tree: WorkTree) -> None:
    assert changed(tree) == of()
    assert sorted(listed(tree)) == ["app.py", "auth.py", "notes.md", "src/deep.py"]


def test_writes_deletions_and_new_files_are_seen(tree: WorkTree) -> None:
    (tree.path / "app.py").write_text("y = 1\n")
    (tree.path / "auth.py").unlink()
    (tree.path / "src/new").mkdir()
    (tree.path / "src/new/mod.py").write_text("z\n")
    assert changed(tree) == of(["app.py", "src/new/mod.py"], ["auth.py"])


def test_a_change_in_place_with_the_old_time_is_seen(tree: WorkTree) -> None:
    file = tree.path / "app.py"
    status, text = file.stat(), file.read_text()
    with file.open("r+") as open_file:
        open_file.write("DEF")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(file.read_text()) == len(text)
    assert changed(tree) == of(["app.py"])


def test_a_file_that_was_written_as_it_was_is_no_change(tree: WorkTree) -> None:
    file = tree.path / "app.py"
    text = file.read_text()
    file.unlink()
    file.write_text(text)
    assert changed(tree) == of()


def test_a_mode_that_changed_is_a_change(tree: WorkTree) -> None:
    (tree.path / "app.py").chmod(0o755)
    assert changed(tree) == of(["app.py"])


def test_links_are_refused_and_never_followed(tree: WorkTree, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    (tree.path / "app.py").unlink()
    (tree.path / "app.py").symlink_to(secret)
    (tree.path / "new.py").symlink_to(secret)
    (tree.path / "src/deep.py").unlink()
    (tree.path / "src").rmdir()
    (tree.path / "src").symlink_to(tmp_path)
    assert changed(tree).refused == ("app.py", "new.py", "src")
    with pytest.raises(OSError):
        tree.read("app.py")
    assert tree.locate("app.py") is None
    assert tree.locate("src/secret") is None
    assert tree.locate("../secret") is None
    assert tree.locate(".git/config") is None
    assert tree.locate(str(tree.path / "auth.py")) == tree.path / "auth.py"


def test_a_copy_is_filled_again_whatever_was_done_to_it(
    tree: WorkTree, project: Path, tmp_path: Path
) -> None:
    inode = (tree.path / "notes.md").stat().st_ino
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (tree.path / "auth.py").unlink()
    (tree.path / "auth.py").mkdir()
    (tree.path / "auth.py/x").write_text("x")
    (tree.path / "src/deep.py").unlink()
    (tree.path / "src").rmdir()
    (tree.path / "src").symlink_to(outside)
    (tree.path / ".git").mkdir()
    (tree.path / ".git/config").write_text("[core]\nfsmonitor = evil\n")
    (tree.path / "left").write_text("x")
    (project / "app.py").write_text("changed = 1\n")
    fill(tree, project, notes_py=b"unsaved", auth_py=None)
    assert changed(tree) == of()
    assert sorted(listed(tree)) == ["app.py", "notes.md", "notes.py", "src/deep.py"]
    assert (tree.path / "app.py").read_text() == "changed = 1\n"
    assert (tree.path / "notes.py").read_text() == "unsaved"
    assert (outside / "kept").read_text() == "kept"
    assert (tree.path / "notes.md").stat().st_ino == inode, "what is the same is left alone"


def test_links_in_the_workspace_are_not_copied(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("s3cret")
    (project / "link.py").symlink_to(outside / "secret.py")
    (project / "folder").symlink_to(outside)
    tree = WorkTree(tmp_path / "copy")
    tree.fill(project, ["link.py", "folder/secret.py", "app.py"], {})
    assert listed(tree) == ["app.py"]


def test_installed_packages_are_linked_if_wanted(tree: WorkTree, project: Path) -> None:
    (project / "node_modules/lib").mkdir(parents=True)
    files = ["app.py"]
    tree.fill(project, files, {}, link=True)
    assert (tree.path / "node_modules/lib").is_dir()
    assert tree.links == {"node_modules"}
    assert tree.changes(["app.py", "node_modules"]) == of()
    tree.fill(project, files, {}, link=False)
    assert not (tree.path / "node_modules").exists()
    assert (project / "node_modules/lib").is_dir()


def test_a_copy_is_removed_whatever_its_permissions(tree: WorkTree) -> None:
    (tree.path / "src").chmod(0)
    tree.remove()
    assert not tree.path.exists()


def git(folder: Path, *words: str) -> str:
    """What git says."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("commits", [0, 1, 2])
def test_a_snapshot_writes_nothing_into_the_repository(
    tree: WorkTree, project: Path, tmp_path: Path, commits: int
) -> None:
    git(project, "init", "-q", "-b", "main")
    (project / ".gitattributes").write_text("* filter=evil\n")
    git(project, "config", "filter.evil.clean", "touch evil; cat")
    git(project, "config", "core.fsmonitor", "touch monitored")
    for number in range(commits):
        git(project, "-c", "core.fsmonitor=false", "commit", "-qm", f"{number}", "--allow-empty")
    before = contents(project)
    fill(tree, project)
    past = history(project)
    assert past is not None
    ours = tmp_path / "ours"
    ours.mkdir()
    assert take_snapshot(tree.path, past, ours)
    assert list(ours.iterdir()) == []
    assert tracked(project) == []
    assert contents(project) == before
    assert git(tree.path, "status", "--short") == ""
    assert git(tree.path, "rev-list", "--count", "HEAD").strip() == str(commits + 1)
    assert git(tree.path, "show", "HEAD:app.py") == (project / "app.py").read_text()
    assert not (tree.path / "evil").exists()
    assert not (tree.path / "monitored").exists()


def test_where_there_is_no_git_there_is_a_plain_copy(tmp_path: Path) -> None:
    assert history(tmp_path) is None
    assert tracked(tmp_path) == []


def test_what_a_killed_process_leaves_is_swept(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, os, signal\n"
        "from orchestrator_core.agents.acp_folder import AgentFolder\n"
        "folder = AgentFolder(pathlib.Path(sys.argv[1]))\n"
        "tree = folder.tree()\n"
        "(tree.path / 'x').write_text('x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    with AgentFolder(tmp_path) as living:
        living.tree()
        assert len(list((tmp_path / "agents").iterdir())) == 2, "its folder and its lock"
        sweep(tmp_path)
        assert living.temporary.is_dir(), "a living one is left alone"
    assert list((tmp_path / "agents").iterdir()) == []
