"""Missions whose hunks are accepted and rejected."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_core.records import MissionStatus, Task
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.mission.hunk_settlement import PendingHunk
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.workspace.draft import Draft

OLD = "".join(f"{n:02}\n" for n in range(1, 16))
NEW = OLD.replace("03\n", "three 𝒳\n").replace("08\n", "").replace("12\n", "12\nnew\n")

Data = dict[str, bytes]
Work = dict[str, "Callable[[Draft], object]"]


@asynccontextmanager
async def mission(root: Path, work: Work) -> AsyncGenerator[tuple[Orchestrator, str]]:
    """A mission whose tasks do ``work``, one after the other, as it is when it has ended."""

    async def act(context: TaskContext) -> None:
        await context.pool.submit(work[context.task.id], context.draft)

    names = list(work)
    plan = [
        Task(name, f"task {name}", depends=tuple(names[n - 1 : n])) for n, name in enumerate(names)
    ]
    async with asyncio.timeout(60), orchestrator(root, act) as engine:
        report = await (await engine.start(request_for(*plan))).wait()
        assert report.status is MissionStatus.DONE, report.reason
        yield engine, report.mission


@asynccontextmanager
async def reopened(root: Path) -> AsyncGenerator[Orchestrator]:
    async def act(_: TaskContext) -> None:
        raise AssertionError

    async with asyncio.timeout(60), orchestrator(root, act) as engine:
        yield engine


def laid_out_lines(folder: Path) -> Path:
    """A workspace of two files of lines."""
    root = folder / "root"
    root.mkdir()
    (root / "a.txt").write_text(OLD, "utf-8")
    (root / "b.txt").write_text("bee\n", "utf-8")
    return root


def write(path: str, text: str) -> Callable[[Draft], object]:
    return lambda draft: draft.write(path, text)


async def by_before(engine: Orchestrator, path: str = "a.txt") -> dict[str, PendingHunk]:
    return {hunk.before: hunk for hunk in await engine.review.pending(path=path)}
