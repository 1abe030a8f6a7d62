"""One process writes a journal, and keeps what it said was safe when it is killed."""

import fcntl
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.mission.journal_events import event
from orchestrator_core.errors import JournalBusy
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_file import LOCK_FILE

CHILD = Path(__file__).with_name("journal_child.py")


def child(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_second_opener_is_told_who_holds_it(folder: Path) -> None:
    with Journal(folder) as journal:
        with pytest.raises(JournalBusy, match=rf"process {os.getpid()}\b"):
            Journal(folder)
        journal.append(event()).result(30)
        with Journal(folder, read_only=True) as reader:
            assert len(reader.events()) == 1
            journal.append(event()).result(30)
            assert len(reader.events()) == 2
    Journal(folder).close()


def test_what_a_dead_owner_was_just_starting_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it runs its own program, it has the lock of the process that it was forked from."""
    Journal(folder).close()
    with child(folder) as dead:
        dead.kill()
    file = folder / LOCK_FILE
    file.write_text(f"{dead.pid}\n")
    with file.open("rb") as inherited:
        fcntl.flock(inherited, fcntl.LOCK_EX)

        def begun(_: float) -> None:
            fcntl.flock(inherited, fcntl.LOCK_UN)

        monkeypatch.setattr("orchestrator_core.mission.owner_lock.time.sleep", begun)
        Journal(folder).close()


def test_a_lock_that_nobody_known_holds_is_not_waited_for_without_end(folder: Path) -> None:
    Journal(folder).close()
    file = folder / LOCK_FILE
    file.write_text("")
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(JournalBusy, match="not known"):
            Journal(folder)


def test_a_dead_owner_keeps_nothing(folder: Path) -> None:
    owner = child("append", folder, 1_000_000)
    assert owner.stdout is not None
    owner.stdout.readline()
    with pytest.raises(JournalBusy, match=rf"process {owner.pid}\b"):
        Journal(folder)
    owner.send_signal(signal.SIGKILL)
    owner.communicate(timeout=30)
    with Journal(folder) as journal:
        assert journal.events()


def race(folder: Path, contenders: int = 3) -> None:
    """Several processes open one journal at the same moment: exactly one may."""
    children = [child("contend", folder) for _ in range(contenders)]
    for process in children:  # all are ready, none has begun
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in children:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline() for process in children if process.stdout]
    for process in children:
        process.communicate(timeout=30)
    winners = [c for c, answer in zip(children, answers, strict=True) if answer == "owner\n"]
    assert len(winners) == 1, answers
    busy = f"busy process {winners[0].pid}\n"
    assert [answer for answer in answers if answer != "owner\n"] == [busy] * (contenders - 1)


@pytest.mark.parametrize("attempt", range(3))
def test_of_servers_started_at_the_same_moment_one_writes(tmp_path: Path, attempt: int) -> None:
    race(tmp_path / ".opencode")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_of_servers_started_at_the_same_moment_one_writes_fifty_times(tmp_path: Path) -> None:
    for attempt in range(50):
        race(tmp_path / str(attempt) / ".opencode", contenders=2)


def killed_at(folder: Path, count: int) -> None:
    """Kill the process that writes when it has said that ``count`` events are safe."""
    writer = child("append", folder, 1_000_000)
    assert writer.stdout is not None
    safe = 0
    for line in writer.stdout:
        safe = int(line)
        if safe >= count:
            break
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate(timeout=30)
    # Reading by lines may have cut the first one short: it is then less than its number, or empty.
    safe = max([safe, *(int(line) for line in rest.split("\n")[:-1] if line)])
    with Journal(folder) as journal:
        sequences = [e.sequence for e in journal.events()]
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) >= safe
        journal.append(event())
        assert journal.events()[-1].sequence == len(sequences) + 1


@pytest.mark.parametrize("seed", range(4))
def test_killed_while_it_writes_it_has_all_that_it_said_was_safe(folder: Path, seed: int) -> None:
    killed_at(folder, random.Random(seed).randrange(1, 400))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_two_hundred_times_it_has_all_that_it_said_was_safe(tmp_path: Path) -> None:
    rng = random.Random(200)
    for attempt in range(200):
        killed_at(tmp_path / str(attempt) / ".opencode", rng.randrange(1, 2000))
