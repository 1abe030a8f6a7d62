"""Undo of whole missions: byte for byte, bits included, around what a person did meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
import tempfile
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from orchestrator_core.config import Settings
from orchestrator_core.errors import OrchestratorError, RequestError
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.records import MissionStatus, Task
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.workspace.draft import Draft


# Whole missions take long to shrink: that is for the long forms.
few = partial(settings, phases=(Phase.explicit, Phase.generate))


class File(NamedTuple):
    """A file's bytes and permission bits."""

    data: bytes
    mode: int


Tree = dict[str, File]


def tree(root: Path) -> Tree:
    """Every file, and every folder that is empty, with a slash after its name."""
    found: Tree = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if name.startswith(".opencode"):
            continue
        if path.is_file():
            found[name] = File(path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        elif not any(path.iterdir()):
            found[f"{name}/"] = File(b"", 0)
    return found


@contextmanager
def laid_out(contents: Tree) -> Generator[Path]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        root = Path(folder, "root")
        root.mkdir()
        for name, (data, mode) in contents.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
            (root / name).chmod(mode)
        yield root


# Missions of any edits, and a person who edits as well


class Edit(NamedTuple):
    """What a task does to a file; ``place`` chooses a line."""

    kind: str
    path: str
    other: str
    place: int


class Remark(NamedTuple):
    """A person adds a line to a file, before the task reads or after it worked."""

    path: str
    place: int
    late: bool


NAMES = ["a", "b", "sub/c", "sub/d", "e"]
names = st.sampled_from(NAMES)
places = st.integers(0, 9)


def text_of(bom: str, end: str, count: int) -> bytes:
    return (bom + "".join(f"line {n}{end}" for n in range(count))).encode()


texts = st.builds(
    text_of,
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["\n", "\r\n"]),
    places,
)
trees = st.dictionaries(
    names, st.builds(File, texts, st.sampled_from([0o644, 0o600, 0o755])), min_size=1
)
kinds = st.sampled_from(["change", "insert", "cut", "write", "delete", "rename"])
tasks = st.lists(
    st.lists(st.builds(Edit, kinds, names, names, places), min_size=1, max_size=3),
    min_size=1,
    max_size=4,
)
remarks = st.dictionaries(st.integers(0, 3), st.builds(Remark, names, places, st.booleans()))


def make(draft: Draft, edit: Edit) -> None:
    match edit.kind:
        case "write":
            draft.write(edit.path, f"written\nto {edit.path}\n")
        case "delete":
            draft.delete(edit.path)
        case "rename":
            draft.rename(edit.path, edit.other)
        case _:
            lines = draft.read(edit.path).text.splitlines(keepends=True) or [""]
            place = edit.place % len(lines)
            line = lines[place]
            lines[place] = {"change": f"changed {line}", "insert": f"new\n{line}"}.get(
                edit.kind, ""
            )
            draft.write(edit.path, "".join(lines))


@dataclass
class Person:
    """Adds lines that nobody else has, and knows which."""

    root: Path
    remarks: dict[int, Remark]
    said: dict[bytes, str] = field(default_factory=dict[bytes, str])

    def come(self, task: int, *, late: bool) -> None:
        remark = self.remarks.get(task)
        if remark is None or remark.late != late:
            return
        del self.remarks[task]  # the task may be done again
        file = self.root / remark.path
        if file.exists():
            line = f"remark {task}\n".encode()
            lines = file.read_bytes().splitlines(keepends=True)
            lines.insert(remark.place % (len(lines) + 1) or len(lines[:1]), line)
            file.write_bytes(b"".join(lines))
            self.said[line] = remark.path

    def without_remarks(self, data: bytes) -> bytes:
        for line in self.said:
            data = data.replace(line, b"")
        return data


async def mission(root: Path, tasks: list[list[Edit]], person: Person) -> tuple[str, ...]:
    """Carry the tasks out and undo them; what could not be restored, as it was told."""

    async def act(context: TaskContext) -> None:
        number = int(context.task.id[1:])
        await context.pool.submit(lambda: person.come(number, late=False))
        for edit in tasks[number]:
            try:
                await context.pool.submit(make, context.draft, edit)
            except OrchestratorError:
                continue  # a file that is not there, or is there already
        await context.pool.submit(lambda: person.come(number, late=True))

    plan = [
        Task(f"T{n}", f"task {n}", depends=(f"T{n - 1}",) if n else ()) for n in range(len(tasks))
    ]
    async with asyncio.timeout(30), orchestrator(root, act) as engine:
        report = await (await engine.start(request_for(*plan))).wait()
        for number in itertools.takewhile(lambda _: person.remarks, range(4)):
            person.come(number, late=False)  # those that no task was there for: after the mission
            person.come(number, late=True)
        try:
            undone = await engine.undo()
        except RequestError:
            return tuple(report.reason.splitlines())
        return undone.unrestored


def check_undo(contents: Tree, tasks: list[list[Edit]], remarks: dict[int, Remark]) -> None:
    with laid_out(contents) as root:
        person = Person(root, dict(remarks))
        unrestored = asyncio.run(mission(root, tasks, person))
        now = tree(root)
        if not person.said:
            assert now == contents
            assert unrestored == ()
        told = "\n".join(unrestored)
        for line in person.said:
            # A task may have taken the line out, and another remark be in its place.
            present = any(line in file.data for file in now.values())
            assert present or "changed since" in told, (line, told)
        for name, file in contents.items():
            found = now.get(name, File(b"", 0))
            same = File(person.without_remarks(found.data), found.mode) == file
            assert same or f"{name}: " in told, (name, told)
        for name in {name for name in now if name[-1] != "/"} - contents.keys():
            assert any(line in now[name].data for line in person.said), name
            assert name in told, (name, told)


@few(max_examples=25)
@given(trees, tasks, remarks)
def test_undo_restores_all_but_what_a_person_changed(
    contents: Tree, tasks: list[list[Edit]], remarks: dict[int, Remark]
) -> None:
    check_undo(contents, tasks, remarks)


@pytest.mark.soak
@settings(max_examples=100)
@given(trees, tasks, remarks)
def test_undo_of_100_missions_restores_all_but_what_a_person_changed(
    contents: Tree, tasks: list[list[Edit]], remarks: dict[int, Remark]
) -> None:
    check_undo(contents, tasks, remarks)


@pytest.mark.soak
@settings(max_examples=100)
@given(trees, tasks)
def test_undo_of_100_missions_is_byte_identical(contents: Tree, tasks: list[list[Edit]]) -> None:
    check_undo(contents, tasks, {})


# Missions of verbs, through the backend that needs no model

MODULE = """\
import os, sys
import json

def {name}(value):
    print("{name}", value)
    return  {other}_limit +1

{name}_limit = {number}
class Box:
    def  get(self): return {name}_limit
"""
module_names = st.sampled_from(["alpha", "beta", "gamma"])


@st.composite
def packages(draw: st.DrawFn) -> Tree:
    """A few Python modules as people write them, with their line ends, marks and bits."""
    package: Tree = {}
    for name in draw(st.sets(module_names, min_size=1)):
        text = MODULE.format(name=name, other=name, number=draw(places))
        text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
        data = (draw(st.sampled_from(["", "\ufeff"])) + text).encode()
        package[f"src/{name}.py"] = File(data, draw(st.sampled_from([0o644, 0o755])))
    return package | {"notes.txt": File(b"print alpha\r\n", 0o600)}


verbs = st.one_of(
    st.sampled_from(["fix F,I", "format", "fix F401", "replace /print/ -> show"]),
    st.sampled_from(["rewrite python: print($$$A) -> print(0, $$$A)", "run rm notes.txt"]),
    st.sampled_from(["run mv notes.txt src/moved.txt", "run printf 'x\\r\\n' > made.txt"]),
    st.builds("rename {0} -> {0}_new in src".format, module_names),
    st.builds("replace /{0}_(\\w+)/ -> {0}_$1_x".format, module_names),
    st.builds("run chmod 700 src/{0}.py; rm -f src/{0}.py".format, module_names),
)


@asynccontextmanager
async def opened(root: Path) -> AsyncGenerator[Orchestrator]:
    state = root.parent / "state"
    home = Places.of(root, state=state, cache=state / "cache")
    engine = await Orchestrator.open(root, Settings(), Recorder(), places=home)
    try:
        await engine.trust()
        yield engine
    finally:
        await engine.close()


async def verb_missions(root: Path, texts: list[str], contents: Tree) -> int:
    """Carry out one mission after the other, then undo all; how many had edits."""
    done = 0
    async with opened(root) as engine:
        before = [contents]
        for text in texts:
            try:
                report = await (await engine.start(engine.plans.request(text))).wait()
            except RequestError:
                assert tree(root) == before[-1]
                continue
            if report.status is MissionStatus.DONE and report.files_changed:
                before.append(tree(root))
            assert tree(root) == before[-1], report.reason
        while len(before) > 1:
            before.pop()
            assert (await engine.undo()).unrestored == ()
            assert tree(root) == before[-1]
            done += 1
    return done


missions = st.lists(
    st.lists(verbs, min_size=1, max_size=3).map(" then ".join), min_size=1, max_size=2
)


@few(max_examples=8)
@given(packages(), missions)
def test_undo_of_any_verbs_is_byte_identical(contents: Tree, texts: list[str]) -> None:
    with laid_out(contents) as root:
        asyncio.run(verb_missions(root, texts, contents))


@pytest.mark.soak
@settings(max_examples=100)
@given(packages(), missions)
def test_undo_of_100_missions_of_verbs_is_byte_identical(contents: Tree, texts: list[str]) -> None:
    with laid_out(contents) as root:
        asyncio.run(verb_missions(root, texts, contents))
