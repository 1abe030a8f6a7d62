"""A process that owns a journal, to be killed or to race with others."""

import re
import sys
from pathlib import Path

from orchestrator_core.errors import JournalBusy
from orchestrator_core.events import TaskStarted
from orchestrator_core.mission.journal import Journal


def append(folder: Path, count: int) -> None:
    """Append events in groups of different sizes, and say each time how many are safe."""
    with Journal(folder) as journal:
        done = 0
        while done < count:
            size = 1 + done % 7
            event = TaskStarted(mission_id="m", task_id=f"T{done}")
            saved = [journal.append(event) for _ in range(size)]
            saved[-1].result(30)
            done += size
            print(done, flush=True)


def contend(folder: Path) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        with Journal(folder):
            print("owner", flush=True)
            sys.stdin.read()  # until all have tried
    except JournalBusy as busy:
        match = re.search(r"process \d+", str(busy))
        print("busy", match[0] if match else "unknown", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "append":
        append(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        contend(Path(sys.argv[2]))
