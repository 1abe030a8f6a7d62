"""Every answer equals a fresh ripgrep's, whatever changed the moment before."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.tool_server import ripgrep
from core.tool_server.client import ToolServer
from core.tool_server.conftest import write_tree

ALL = 10_000_000
NAMES = ["a.py", "b.txt", "c", "d.log", ".hidden", "e é.py", "src", "new", "deep"]
RULES = ["*.log\n", "a.py\n", "src/\n!keep.log\n", "/new\n", "!*\n", "", "deep\n*.txt\n"]


class Vandal:
    """Changes a tree in every way that a file system allows."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)

    def change(self) -> str:
        action = self.random.choice(
            [
                self.write, self.write, self.append, self.replace_atomically, self.truncate,
                self.delete, self.rename, self.rename, self.make_folder, self.write_rules,
                self.delete_rules, self.link, self.swap, self.touch, self.make_tree,
                self.write_through_open_file,
            ]
        )  # fmt: skip
        try:
            action()
        except OSError as error:  # the name is taken by another kind, or gone
            return f"{action.__name__}: {error}"
        return action.__name__

    def folder(self) -> Path:
        folders = [p for p in self.root.rglob("*") if p.is_dir() and not p.is_symlink()]
        return self.random.choice([self.root, self.root, *folders])

    def any(self) -> Path:
        entries = [p for p in self.root.rglob("*") if p.name != "pipe"]
        return self.random.choice(entries or [self.root / "a.py"])

    def file(self) -> Path:
        files = [p for p in self.root.rglob("*") if p.is_file() and not p.is_symlink()]
        return self.random.choice(files or [self.root / "a.py"])

    def text(self) -> bytes:
        words = [b"load", b"x", b"\n", b"load(1)", b" ", b"\r\n", "é".encode(), b"\xff", b"\n"]
        body = b"".join(self.random.choices(words, k=self.random.randrange(20)))
        return body + (b"\0" if self.random.random() < 0.05 else b"")

    def write(self) -> None:
        (self.folder() / self.random.choice(NAMES)).write_bytes(self.text())

    def append(self) -> None:
        with self.file().open("ab") as stream:
            stream.write(b"load appended\n")

    def replace_atomically(self) -> None:
        target = self.file()
        scratch = target.with_name("scratch.tmp~")
        scratch.write_bytes(self.text())
        scratch.replace(target)

    def truncate(self) -> None:
        os.truncate(self.file(), 0)

    def delete(self) -> None:
        victim = self.any()
        if victim.is_dir() and not victim.is_symlink():
            shutil.rmtree(victim)
        else:
            victim.unlink()

    def rename(self) -> None:
        self.any().rename(self.folder() / self.random.choice(NAMES))

    def make_folder(self) -> None:
        (self.folder() / self.random.choice(NAMES)).mkdir()

    def make_tree(self) -> None:
        deep = self.folder() / "deep" / "er"
        deep.mkdir(parents=True, exist_ok=True)
        (deep / "leaf.py").write_bytes(b"load leaf\n")

    def write_rules(self) -> None:
        name = self.random.choice([".gitignore", ".ignore", ".rgignore"])
        (self.folder() / name).write_text(self.random.choice(RULES))

    def delete_rules(self) -> None:
        rules = list(self.root.rglob(".*ignore"))
        if rules:
            self.random.choice(rules).unlink()

    def link(self) -> None:
        (self.folder() / self.random.choice(NAMES)).symlink_to(self.any())

    def swap(self) -> None:
        one, two = self.any(), self.any()
        scratch = self.root / "swapped~"
        one.rename(scratch)
        two.rename(one)
        scratch.rename(two)

    def touch(self) -> None:
        os.utime(self.file())

    def write_through_open_file(self) -> None:
        target = self.file()
        with target.open("r+b", buffering=0) as stream:
            target.rename(self.folder() / "moved.py")
            stream.write(b"load!")


def spans(result: dict[str, Any]) -> list[ripgrep.Span]:
    return sorted((m["path"], m["byteOffset"], m["endByteOffset"]) for m in result["matches"])


def assert_current(root: Path, server: ToolServer, history: list[str]) -> None:
    expected = ripgrep.spans(root, "-e", "load", "./")
    assert spans(server.call("grep", pattern="load", limit=ALL)) == expected, history[-3:]
    hidden = server.call("glob", hidden=True)["paths"]
    assert hidden == ripgrep.paths(root, "--hidden", "-g", "!.git", "./"), history[-3:]
    python = server.call("glob", globs=["**/*.py"])["paths"]
    assert python == ripgrep.paths(root, "-g", "**/*.py", "./"), history[-3:]


def run(root: Path, steps: int, seed: int, *arguments: str) -> None:
    write_tree(root)
    vandal = Vandal(root, seed)
    history: list[str] = []
    with ToolServer(root, *arguments) as server:
        assert_current(root, server, history)
        for _ in range(steps):
            history.append(vandal.change())
            assert_current(root, server, history)


@pytest.mark.parametrize("seed", [1, 2])
def test_answers_are_current_after_each_random_change(tmp_path: Path, seed: int) -> None:
    run(tmp_path.resolve(), 60, seed)


def test_answers_are_current_without_watches(tmp_path: Path) -> None:
    run(tmp_path.resolve(), 40, 3, "--no-watch")


def test_answers_are_the_same_without_memory(tmp_path: Path) -> None:
    run(tmp_path.resolve(), 40, 4, "--memory-mib", "0")


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("arguments", [(), ("--no-watch",), ("--memory-mib", "0")])
def test_answers_are_current_after_a_thousand_changes(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    run(tmp_path.resolve(), 1000, 5, *arguments)


def test_a_lost_event_queue_is_made_good(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    write_tree(root)
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with ToolServer(root) as server:
        assert_current(root, server, [])
        for _ in range(queue // 2 + 1):
            # Equal events in a row count once: take turns.
            os.utime(root / "main.py")
            os.utime(root / "crlf.txt")
        (root / "late.py").write_text("load late\n")
        (root / "src" / "app.py").write_text("load changed\n")
        assert_current(root, server, ["overflow"])
        (root / "src" / "app.py").write_text("load changed again\n")
        assert_current(root, server, ["after overflow"])


def test_rules_outside_the_root_are_noticed(tmp_path: Path) -> None:
    outer = tmp_path.resolve()
    root = outer / "inner"
    root.mkdir()
    write_tree(root)
    with ToolServer(root) as server:
        assert_current(root, server, [])
        (outer / ".gitignore").write_text("*.txt\n")
        assert_current(root, server, ["rules above"])
        (root / ".git" / "info").mkdir(parents=True)
        (root / ".git" / "info" / "exclude").write_text("*.py\n")
        assert_current(root, server, ["exclude file"])
        (root / ".git" / "info" / "exclude").write_text("*.md\n")
        assert_current(root, server, ["exclude file changed"])
        (outer / ".gitignore").unlink()
        assert_current(root, server, ["rules above gone"])


def test_a_root_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "root"
    root.mkdir()
    (root / "a.py").write_text("load\n")
    with ToolServer(root) as server:
        assert len(server.call("grep", pattern="load")["matches"]) == 1
        shutil.rmtree(root)
        with pytest.raises(Exception, match=r"cannot be read|not a folder"):
            server.call("grep", pattern="load")
        root.mkdir()
        (root / "b.py").write_text("load\nload\n")
        assert len(server.call("grep", pattern="load")["matches"]) == 2
