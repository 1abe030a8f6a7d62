from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator_core.errors import EditRefused
from orchestrator_core.mission.plan_language import parse
from orchestrator_core.mission.todo_file import TodoFile
from orchestrator_core.mission.todo_sync import TodoSyncService
from orchestrator_core.records import TaskState

PENDING, RUNNING, DONE, FAILED = (
    TaskState.PENDING,
    TaskState.RUNNING,
    TaskState.DONE,
    TaskState.FAILED,
)
WRITERS = 50


def plan_text(count: int) -> str:
    return "# Mission: M\n" + "".join(
        f"### T{number}: task {number}\n- [ ] fix E\n" for number in range(1, count + 1)
    )


def states_of(path: Path) -> dict[str, TaskState]:
    return {task.id: task.state for task in parse(path.read_text("utf-8")).plan.tasks}


def save_by_rename(path: Path, text: str) -> None:
    new = path.with_name("person.tmp")
    new.write_text(text, "utf-8")
    new.replace(path)


def save_in_place(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        half = len(text) // 2
        file.write(text[:half])
        file.flush()
        file.write(text[half:])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".opencode" / "todo.md"


def test_states_reach_the_file(path: Path):
    with TodoSyncService(path) as service:
        service.begin(plan_text(11))
        service.publish({"T1": DONE})
        assert states_of(path) == {"T1": DONE} | {f"T{n}": PENDING for n in range(2, 12)}
        service.publish({"T10": RUNNING})
        assert states_of(path)["T1"] is DONE
        assert states_of(path)["T10"] is RUNNING


def test_nothing_is_written_when_nothing_changed(path: Path):
    with TodoSyncService(path) as service:
        service.begin(plan_text(2))
        service.publish({"T1": DONE})
        before = path.stat()
        service.publish({"T1": DONE})
        service.publish()
        assert path.stat().st_ino == before.st_ino
        assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_plan_of_the_person_keeps_its_every_byte(path: Path):
    path.parent.mkdir()
    data = b"\xef\xbb\xbf# Mission: M\r\n\r\n### T1: a\r\n- [ ] fix \xff\r\n\tnote\x00"
    path.write_bytes(data)
    path.chmod(0o640)
    with TodoSyncService(path) as service:
        service.publish({"T1": DONE})
    assert path.read_bytes() == data.replace(b"[ ]", b"[x]")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(path: Path, tmp_path: Path):
    path.parent.mkdir()
    real = tmp_path / "plan.md"
    real.write_text(plan_text(1))
    path.symlink_to(real)
    with TodoSyncService(path) as service:
        service.publish({"T1": DONE})
    assert path.is_symlink()
    assert states_of(real) == {"T1": DONE}


@pytest.mark.parametrize("save", [save_by_rename, save_in_place])
def test_what_the_person_saved_is_merged(path: Path, save):
    with TodoSyncService(path) as service:
        service.begin(plan_text(2))
        service.publish({"T1": RUNNING})
        assert not service.changed()
        save(path, plan_text(2).replace("task 2", "my task 2") + "### T3: new\n- [ ] fix F\nline\n")
        assert service.changed()
        result = service.publish({"T1": DONE})
        assert result.added == ("T3",)
        text = path.read_text()
    assert "- [x] fix E\n### T2: my task 2" in text
    assert text.endswith("### T3: new\n- [ ] fix F\nline\n")


def test_a_file_that_was_taken_away_comes_back(path: Path):
    with TodoSyncService(path) as service:
        service.begin(plan_text(2))
        path.unlink()
        service.publish({"T2": DONE})
        assert states_of(path) == {"T1": PENDING, "T2": DONE}


def test_without_file_and_plan_nothing_is_written(path: Path):
    with TodoSyncService(path) as service:
        assert service.publish({"T1": DONE}).text == ""
        assert not path.exists()


def test_a_new_mission_keeps_the_former_text_in_the_archive(path: Path, tmp_path: Path):
    path.parent.mkdir()
    path.write_text("my own list\n")
    with TodoSyncService(path) as service:
        kept = service.begin(plan_text(1), tmp_path / "archive")
        assert kept is not None
        assert kept.read_text() == "my own list\n"
        assert path.read_text() == plan_text(1)
        assert service.begin(plan_text(1), tmp_path / "archive") is None
    assert [file.name for file in path.parent.iterdir()] == ["todo.md"]


@pytest.mark.parametrize(
    "lines", [["one\n"], ["one\n", "two\n"], ["one\n", "two\n", "three\n"], ["one\n", "", "two\n"]]
)
def test_a_person_who_saves_during_the_write_is_merged(path: Path, monkeypatch, lines: list[str]):
    """The saves land after the last look at the file and before an exchange, or the one back."""
    exchange = TodoFile._exchange
    saves = iter(lines)

    def interrupted(self: TodoFile, staged: Path, target: Path) -> bool:
        if line := next(saves, ""):
            save_by_rename(target, target.read_text() + line)
        return exchange(self, staged, target)

    with TodoSyncService(path) as service:
        service.begin(plan_text(2))
        monkeypatch.setattr(TodoFile, "_exchange", interrupted)
        service.publish({"T1": DONE})
    text = path.read_text()
    assert [line for line in lines if line not in text] == []
    assert states_of(path)["T1"] is DONE


def test_states_wait_while_a_program_writes_all_the_time(path: Path, monkeypatch):
    exchange = TodoFile._exchange

    def restless(self: TodoFile, staged: Path, target: Path) -> bool:
        if staged.read_bytes() != target.read_bytes() and "[x]" in staged.read_text():
            save_by_rename(target, target.read_text() + "more\n")
        return exchange(self, staged, target)

    with TodoSyncService(path) as service:
        service.begin(plan_text(1))
        with monkeypatch.context() as patch:
            patch.setattr(TodoFile, "_exchange", restless)
            assert not service.publish({"T1": DONE}).shown
        assert states_of(path) == {"T1": PENDING}
        assert service.publish().shown
        assert states_of(path) == {"T1": DONE}
        assert "more\nmore\n" in path.read_text()


def test_a_program_that_writes_into_the_replaced_file_is_merged(path: Path):
    with TodoSyncService(path) as service:
        service.begin(plan_text(1))
        with path.open("a", encoding="utf-8") as editor:
            service.publish({"T1": RUNNING})
            editor.write("my line\n")
        assert "my line" not in path.read_text()
        assert service.changed()
        service.publish({"T1": DONE})
    assert path.read_text() == plan_text(1).replace("[ ]", "[x]") + "my line\n"


def test_a_failing_write_leaves_the_file_and_is_made_up_for(path: Path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with TodoSyncService(path) as service:
        service.begin(plan_text(2))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(EditRefused, match="No space left on device"):
                service.publish({"T1": DONE})
        assert path.read_text() == plan_text(2)
        assert [file.name for file in path.parent.iterdir()] == ["todo.md"]
        service.publish({"T2": DONE})
        assert states_of(path) == {"T1": DONE, "T2": DONE}


def test_a_lock_that_is_never_let_go_is_told(path: Path):
    with TodoSyncService(path) as service:
        service.begin(plan_text(1))
    with (
        TodoFile(path).locked(1.0),
        TodoSyncService(path, lock_timeout_s=0.01) as service,
        pytest.raises(EditRefused, match="another process"),
    ):
        service.publish({"T1": DONE})


def test_an_exchange_is_not_needed(path: Path, monkeypatch):
    class Without:
        def renameat2(self, *_: object) -> int:
            import ctypes

            ctypes.set_errno(errno.EINVAL)
            return -1

    with TodoSyncService(path) as service:
        monkeypatch.setattr(service._file, "_library", Without())
        service.begin(plan_text(2))
        service.publish({"T1": DONE})
        with path.open("a") as editor:
            service.publish({"T2": RUNNING})
            editor.write("late\n")
        service.publish({"T2": DONE})
    assert states_of(path) == {"T1": DONE, "T2": DONE}
    assert path.read_text().endswith("late\n")


def test_no_descriptor_is_left_open(path: Path):
    before = len(os.listdir("/proc/self/fd"))
    with TodoSyncService(path) as service:
        service.begin(plan_text(3))
        for state in (RUNNING, DONE):
            service.publish({"T1": state})
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_function_gives_the_newest_states(path: Path):
    """A caller that waits for its turn must not bring an older state than another brought."""
    journal: dict[str, TaskState] = {"T1": RUNNING}
    with TodoSyncService(path) as service, ThreadPoolExecutor(8) as pool:
        service.begin(plan_text(1))
        waiting = [pool.submit(service.publish, lambda: dict(journal)) for _ in range(8)]
        journal["T1"] = DONE
        service.publish(lambda: dict(journal))
        for future in waiting:
            future.result()
        assert states_of(path) == {"T1": DONE}


class Person:
    """Edits the file over and over: adds lines, rewords titles, adds tasks; as editors save."""

    def __init__(self, path: Path, seed: int, save) -> None:
        self.path = path
        self.rng = random.Random(seed)
        self.save = save
        self.lines: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        number = 0
        while number < 10 or (not self.stop.is_set() and number < 60):
            number += 1
            try:
                lines = self.path.read_text("utf-8").split("\n")
            except FileNotFoundError:
                continue
            if len(lines) < WRITERS:
                continue  # nobody edits a file that is just being written
            mine = self.rng.choice(
                [f"human line {number}", f"### P{number}: human task {number}\n- [ ] fix I"]
            )
            place = self.rng.choice([n for n, line in enumerate(lines) if line.startswith("###")])
            lines.insert(place, mine)
            self.save(self.path, "\n".join(lines))
            self.lines.append(mine)
            self.stop.wait(self.rng.random() * 0.02)


@pytest.mark.parametrize("save", [save_by_rename, save_in_place])
def test_fifty_writers_and_a_person_lose_nothing(path: Path, save):
    with TodoSyncService(path) as service:
        service.begin(plan_text(WRITERS))
        person = Person(path, 7, save)
        editing = threading.Thread(target=person.run)
        start = threading.Barrier(WRITERS + 1)

        def work(number: int) -> None:
            start.wait()
            for state in (RUNNING, DONE):
                service.publish({f"T{number}": state})

        writers = [threading.Thread(target=work, args=(n,)) for n in range(1, WRITERS + 1)]
        for thread in (*writers, editing):
            thread.start()
        start.wait()
        for thread in writers:
            thread.join()
        person.stop.set()
        editing.join()
        service.publish()
        text = path.read_text("utf-8")
    states = states_of(path)
    assert {name: states[name] for name in states if name.startswith("T")} == {
        f"T{number}": DONE for number in range(1, WRITERS + 1)
    }
    assert len(person.lines) >= 10
    missing = [mine for mine in person.lines if mine not in text]
    assert missing == []
    assert [file.name for file in path.parent.iterdir()] == ["todo.md"]


ANOTHER_PROCESS = """
import sys
from pathlib import Path
from orchestrator_core.mission.todo_sync import TodoSyncService
from orchestrator_core.records import TaskState

with TodoSyncService(Path(sys.argv[1])) as service:
    for number in range(int(sys.argv[2]), int(sys.argv[2]) + 10):
        for state in (TaskState.RUNNING, TaskState.DONE):
            service.publish({f"T{number}": state})
"""


def test_several_processes_lose_nothing(path: Path):
    with TodoSyncService(path) as service:
        service.begin(plan_text(30))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", ANOTHER_PROCESS, str(path), str(first)], env=environment
        )
        for first in (1, 11, 21)
    ]
    assert [child.wait(50) for child in children] == [0, 0, 0]
    assert set(states_of(path).values()) == {DONE}
