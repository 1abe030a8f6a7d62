"""A call that fails once the plan file holds its new text must not be told as if it did not.

Otherwise the program takes its own ticks for the person's, and writes them down as conflicts.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator_core.errors import EditRefused
from orchestrator_core.mission.todo_file import TodoFile
from orchestrator_core.mission.todo_sync import TodoSyncService
from orchestrator_core.records import TaskState

PLAN = "### T1: one\n- [ ] rename a -> b\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.md"


def failing(real: Callable[..., object], fails: Callable[..., bool]) -> Callable[..., object]:
    def call(*args: object, **options: object) -> object:
        if fails(*args):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*args, **options)

    return call


def always(*_: object) -> bool:
    return True


def never(*_: object) -> bool:
    return False


def staged(file: Path) -> bool:
    return file.suffix == ".new"


def is_folder(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_dir()


def beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if file != path)


def test_a_leftover_that_cannot_be_removed_is_no_failure(path: Path, monkeypatch):
    with TodoSyncService(path) as service:
        service.begin(PLAN)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", failing(Path.unlink, staged))
            assert service.publish({"T1": TaskState.RUNNING}).shown
        assert path.read_text() == PLAN.replace("[ ]", "[/]")
        assert len(beside(path)) == 1
        result = service.publish({"T1": TaskState.DONE})
    assert result.conflicts == ()
    assert path.read_text() == PLAN.replace("[ ]", "[x]")
    assert beside(path) == []


def test_closing_removes_what_is_left_over(path: Path, monkeypatch):
    with TodoFile(path) as file:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", failing(Path.unlink, staged))
            assert file.replace(None, b"one").placed
        assert len(beside(path)) == 1
    assert beside(path) == []


def test_a_folder_that_cannot_be_synced_is_no_failure(path: Path, monkeypatch):
    with TodoSyncService(path) as service:
        service.begin(PLAN)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(os.fsync, is_folder))
            service.publish({"T1": TaskState.RUNNING})
        assert service.publish({"T1": TaskState.DONE}).conflicts == ()
    assert path.read_text() == PLAN.replace("[ ]", "[x]")


def test_a_replaced_text_that_nobody_can_look_at_comes_back(path: Path, monkeypatch):
    def looks(file: object, flags: int = 0, *_: object) -> bool:
        return str(file).endswith(".new") and not flags & os.O_CREAT

    with TodoSyncService(path) as service:
        service.begin(PLAN)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", failing(os.open, looks))
            with pytest.raises(EditRefused, match="it is as it was"):
                service.publish({"T1": TaskState.RUNNING})
        assert path.read_text() == PLAN
        assert service.publish({"T1": TaskState.DONE}).conflicts == ()
    assert path.read_text() == PLAN.replace("[ ]", "[x]")
    assert beside(path) == []


def test_what_cannot_be_read_late_is_closed_once(path: Path, monkeypatch):
    with TodoFile(path) as file:
        file.replace(None, b"one")
        with path.open("ab") as editor:
            file.replace(b"one", b"two")
            editor.write(b" more")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", failing(os.pread, always))
            with pytest.raises(OSError, match="Too many"):
                file.late_writing()
        assert file.late_writing() is None


def test_without_exchange_a_text_that_nobody_can_look_at_stays(path: Path, monkeypatch):
    """Nothing is left open either, whichever of the calls fails."""
    monkeypatch.setattr(TodoFile, "_exchange", never)
    with TodoSyncService(path) as service:
        service.begin(PLAN)
        for owner, name in ((os, "pread"), (Path, "replace")):
            before = len(os.listdir("/proc/self/fd"))
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, failing(getattr(owner, name), always))
                with pytest.raises(EditRefused, match="it is as it was"):
                    service.publish({"T1": TaskState.RUNNING})
            assert path.read_text() == PLAN
            assert len(os.listdir("/proc/self/fd")) == before
        assert service.publish({"T1": TaskState.DONE}).conflicts == ()
    assert path.read_text() == PLAN.replace("[ ]", "[x]")
