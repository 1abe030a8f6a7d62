"""Missions on a failing system: ``sweep.py FOLDER once|ever ERROR CALL=STRIDE…``.

Of each kind of call the first fails, in the next mission the one ``STRIDE`` later, and so on until
a mission passes without one. With ``any`` for ``ERROR`` each mission has another. Prints how many
missions ran for each kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.faults.os_faults import OsFaults
from orchestrator_core.errors import OrchestratorError, RequestError
from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from orchestrator_core.records import MissionStatus, Step, Task
from orchestrator_core.workspace.file_swap import LEFTOVER
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from orchestrator_core.mission.agent import TaskContext

ERRORS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES)
DEADLINE_S = 30.0

STEPS = (Step("as scripted"),)
TASKS = (
    Task("T1", "write and create", STEPS),
    Task("T2", "delete and rename", STEPS, depends=("T1",)),
    Task("T3", "write again", STEPS, depends=("T2",)),
)
PLAN = "# Mission: faults\n" + "".join(
    f"### {task.id}: {task.title}\n- [ ] as scripted\n" for task in TASKS
)


class File(NamedTuple):
    """A file's bytes and mode bits."""

    data: bytes
    mode: int = 0o644


OLD = {
    "a.txt": File(b"a\r\nb\r\nc\r\n", 0o640),
    "bom.txt": File(b"\xef\xbb\xbfone\n"),
    "gone.txt": File(b"gone\n", 0o755),
    "old.txt": File(b"old\n", 0o700),
}
BETWEEN = {"a.txt": File(b"a\r\nT1\r\nc\r\n", 0o640)}
NEW = {
    "a.txt": File(b"a\r\nT1\r\nT3\r\n", 0o640),
    "bom.txt": File(b"\xef\xbb\xbftwo\n"),
    "made/deep/new.txt": File(b"new\n"),
    "moved/old.txt": File(b"new old\n", 0o700),
}


async def act(context: TaskContext) -> None:
    """Do what the task is for."""
    draft, submit = context.draft, context.pool.submit
    match context.task.id:
        case "T1":
            await submit(draft.write, "a.txt", "a\r\nT1\r\nc\r\n")
            await submit(draft.write, "made/deep/new.txt", "new\n")
        case "T2":
            await submit(draft.delete, "gone.txt")
            await submit(draft.rename, "old.txt", "moved/old.txt")
            await submit(draft.write, "moved/old.txt", "new old\n")
        case _:
            await submit(draft.write, "a.txt", "a\r\nT1\r\nT3\r\n")
            await submit(draft.write, "bom.txt", "two\n")


def lay_out(root: Path) -> None:
    root.mkdir(parents=True)
    for name, (data, mode) in OLD.items():
        (root / name).write_bytes(data)
        (root / name).chmod(mode)
    (root / "plan.md").write_text(PLAN)


def tree(root: Path) -> dict[str, File]:
    return {
        file.relative_to(root).as_posix(): File(
            file.read_bytes(), stat.S_IMODE(file.stat().st_mode)
        )
        for file in sorted(root.rglob("*"))
        if file.is_file() and ".opencode" not in file.parts and file.name != "plan.md"
    }


def visible(root: Path) -> dict[str, File]:
    """The tree as the person sees it, without what a failed write left."""
    return {name: file for name, file in tree(root).items() if not LEFTOVER.search(name)}


async def mission(root: Path) -> tuple[MissionStatus | None, str]:
    """Run one; how it ended and why, or None and the error that was reported."""
    try:
        async with asyncio.timeout(DEADLINE_S), orchestrator(root, act) as engine:
            running = await engine.start(request_for(*TASKS, plan_file="plan.md"))
            report = await running.wait()
    except OrchestratorError as error:
        return None, str(error)
    return report.status, report.reason


def check(root: Path, status: MissionStatus | None, reason: str) -> None:
    """What the mission said is so, and nothing is lost or half-written."""
    now = visible(root)
    for name, file in now.items():
        assert file in (OLD.get(name), BETWEEN.get(name), NEW.get(name)), (name, file)
    plan = re.sub(r"\[.\]", "[ ]", (root / "plan.md").read_text())
    assert plan == PLAN, plan
    if status is MissionStatus.DONE:
        assert now == NEW, reason
        return
    assert reason
    told = "taken back" in reason or "put back" in reason
    if status is MissionStatus.FAILED and not told:
        assert now == OLD, reason
    for name in OLD.keys() - now.keys():
        in_flux = name == "gone.txt" or (name == "old.txt" and "moved/old.txt" in now)
        kept = [f for n, f in tree(root).items() if LEFTOVER.search(n) and f == OLD[name]]
        assert in_flux or (kept and name in reason), (name, reason)


async def recover(root: Path) -> None:
    """The fault is over: the mission goes on to its end, or can be begun anew, and be undone."""
    with Journal(root / ".opencode") as journal:
        replay(journal.events())
    async with asyncio.timeout(DEADLINE_S), orchestrator(root, act) as engine:
        past = await engine.records.status()
        if await engine.interrupted():
            status = (await (await engine.resume()).wait()).status
        else:
            status = past[0].status if past else MissionStatus.FAILED
        if status is MissionStatus.FAILED:
            with contextlib.suppress(RequestError):  # where all was taken back already
                assert (await engine.undo()).unrestored == ()
            assert visible(root) == OLD, (status, past, tree(root))
            again = await engine.start(request_for(*TASKS, plan_file="plan.md"))
            status = (await again.wait()).status
        assert status is MissionStatus.DONE
        assert visible(root) == NEW
        assert (await engine.undo()).unrestored == ()
        assert tree(root) == OLD, tree(root)
        assert {file.name for file in root.iterdir() if file.is_dir()} == {".opencode"}


def sweep(folder: Path, times: str, name: str, call: str, stride: str) -> int:
    """Run missions until one passes; answers how many."""
    numbers = ERRORS if name == "any" else [getattr(errno, name)]
    for number, at in enumerate(itertools.count(1, int(stride)), 1):
        case = folder / "case"
        root = case / "root"
        lay_out(root)
        error = numbers[number % len(numbers)]
        with OsFaults(case, call, at=at, error=error, once=times == "once") as faults:
            ended = asyncio.run(mission(root))
        try:
            check(root, *ended)
            asyncio.run(recover(root))
        except BaseException:
            print(f"{call} {at} {errno.errorcode[error]} {ended}", file=sys.stderr)
            raise
        shutil.rmtree(case)
        if not faults.happened:
            assert ended[0] is MissionStatus.DONE
            return number
    raise AssertionError


if __name__ == "__main__":
    logging.disable()  # each fault is logged, as it should be
    _, where, often, wanted, *calls = sys.argv
    print(*(sweep(Path(where), often, wanted, *each.split("=")) for each in calls))
