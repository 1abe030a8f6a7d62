"""Whatever fails, and wherever the process dies, no file is lost or half-written."""

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.workspace.faults import CALLS, ERRORS, Faults, failing, killing
from orchestrator_core.errors import EditRefused
from orchestrator_core.workspace.disk_applier import DiskApplier, clear_leftovers
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.file_swap import LEFTOVER

OLD = {
    "a.py": b"a old\n",
    "b/c.py": b"c old\n",
    "d.py": b"d old\n",
    "e.py": b"e old\n",
}
NEW = {
    "a.py": b"a new\n",
    "b/c.py": b"c new\n",
    "new/deep/d.py": b"d new\n",
    "new/f.py": b"f new\n",
}


def make_tree(root: Path) -> Workspace:
    for name, data in OLD.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return Workspace(root)


def make_draft(workspace: Workspace) -> Draft:
    draft = Draft(workspace)
    draft.write("a.py", "a new\n")
    draft.write("b/c.py", "c new\n")
    draft.rename("d.py", "new/deep/d.py")
    draft.write("new/deep/d.py", "d new\n")
    draft.delete("e.py")
    draft.write("new/f.py", "f new\n")
    return draft


def files(root: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in root.rglob("*")
        if file.is_file() and not LEFTOVER.fullmatch(file.name)
    }


def leftovers(root: Path) -> dict[str, bytes]:
    return {
        str(file): file.read_bytes() for file in root.rglob("*") if LEFTOVER.fullmatch(file.name)
    }


@pytest.mark.parametrize("once", [True, False], ids=["once", "for ever"])
@pytest.mark.parametrize("call", CALLS)
def test_any_call_may_fail_and_nothing_is_lost(tmp_path: Path, call: str, once: bool) -> None:
    for at in itertools.count(1):
        root = tmp_path / str(at)
        workspace = make_tree(root)
        changes = make_draft(workspace).changes()
        applier = DiskApplier(workspace, asyncio.to_thread)
        error = ERRORS[at % len(ERRORS)]
        with Faults(root, (call,), at=at, act=failing(error), once=once) as faults:
            try:
                applier.apply_now(changes)
            except EditRefused as refused:
                message = str(refused)
                applied = False
            else:
                message, applied = "", True
        if applied:
            # Only the removal of old versions may fail without consequence.
            assert files(root) == NEW
            assert not leftovers(root) or call == "unlink"
        else:
            assert re.search(r"cannot be (changed|read)", message)
            check_old(root, message, may_be_stuck=not once)
        if not faults.happened:
            assert applied
            return


def check_old(root: Path, message: str, *, may_be_stuck: bool) -> None:
    """Every old file is in its place, or kept under a name that the message has."""
    now, kept = files(root), leftovers(root)
    stuck = {name for name, data in OLD.items() if now.get(name) != data}
    if not may_be_stuck:
        assert (stuck, kept) == (set(), {})
        assert now == OLD
        assert not (root / "new").exists()
        return
    for name in stuck:
        assert name not in now or now[name] == NEW[name]
        places = [place for place, data in kept.items() if data == OLD[name]]
        assert any(place in message for place in places), (name, message)


def test_killed_at_any_call_every_file_is_whole(tmp_path: Path) -> None:
    # In a process of its own, which forks one for each call: this one has threads.
    command = [sys.executable, str(Path(__file__)), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        command, check=False, env=environment, text=True, capture_output=True, timeout=50
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 40


def kill_everywhere(folder: Path) -> int:
    """Apply in a child that is killed at its first call, second call …; answer how many."""
    for at in itertools.count(1):
        root = folder / str(at)
        workspace = make_tree(root)
        changes = make_draft(workspace).changes()
        child = os.fork()
        if child == 0:
            with Faults(root, CALLS, at=at, act=killing):
                DiskApplier(workspace, asyncio.to_thread).apply_now(changes)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        check_whole(root, at)
        clear_leftovers(workspace, [*OLD, *NEW], is_kept=lambda _: True)
        assert leftovers(root) == {}, at
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            assert os.waitstatus_to_exitcode(status) == 0
            assert files(root) == NEW
            return at
    raise AssertionError


def check_whole(root: Path, at: int) -> None:
    now = files(root)
    for name, data in now.items():
        assert data in (OLD.get(name), NEW.get(name)), (at, name, data)
    for name in OLD.keys() & NEW.keys():
        assert name in now, (at, name)
    # A renamed file is under one of its names at least.
    assert "d.py" in now or "new/deep/d.py" in now, at


if __name__ == "__main__":
    print(kill_everywhere(Path(sys.argv[1])))
