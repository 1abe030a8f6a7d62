"""A process to be killed: ``mission_child.py ROOT`` runs a mission of 20 tasks, or goes on with it.

Prints ``begun`` when the mission was accepted, and how it ended.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_core.errors import RequestError
from orchestrator_core.records import Task
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from orchestrator_core.mission.agent import TaskContext

TASKS, FILES = 20, 5


def plan() -> list[Task]:
    """Each task goes on with what the task ``FILES`` before it made of the same files."""
    return [
        Task(f"T{n}", f"task {n}", depends=(f"T{n - FILES}",) if n >= FILES else ())
        for n in range(TASKS)
    ]


async def work(context: TaskContext) -> None:
    """Change two files, move one, make one, take away the one that the task before made."""
    number, draft = int(context.task.id[1:]), context.draft
    for name in (f"a{number % FILES}.txt", f"b{number % FILES}.txt"):
        text = await context.pool.submit(draft.read, name)
        draft.write(name, f"{text.text}{context.task.id}\n")
    await context.pool.submit(draft.rename, f"moved/{number - FILES}.sh", f"moved/{number}.sh")
    draft.write(f"made/{number}.txt", f"by {context.task.id}\n")
    if number >= FILES:
        draft.delete(f"made/{number - FILES}.txt")


async def main(root: Path) -> None:
    """Go on with what was cut short, else begin, unless a mission has ended here."""
    async with orchestrator(root, work) as engine:
        try:
            mission = await engine.resume()
        except RequestError:
            if await engine.records.status():
                return
            mission = await engine.start(request_for(*plan()))
        print("begun", flush=True)
        report = await mission.wait()
        print(report.status, report.reason, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
