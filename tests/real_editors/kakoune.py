"""Kakoune as the tests use it."""

from __future__ import annotations

import shlex
import time

from real_editors.editor import ScreenEditor
from real_editors.workbench import block, program, until

ASK_AGAIN_S = 15.0


class Kakoune(ScreenEditor):
    """Looked at through its own remote control, with kakoune-lsp."""

    needs = ("kak", "kak-lsp")
    progress = "0 % "  # of two reports close together it may show the first
    _session = "bench"

    def start(self, path: str) -> None:
        self.bench.write(".config/kak/kakrc", block("kakoune.md", "kak"))
        self.bench.start(program("kak") or "", "-s", self._session, path)
        self.bench.sees(f"@[{self._session}]")
        self._typed("lsp-capabilities")  # answered when the server is ready
        self.bench.sees("LSP commands supported")

    def open(self, path: str) -> None:
        self._typed(f"edit {path}")

    def append(self, text: str) -> None:
        self._typed(f"execute-keys 'geo{text}<esc>'")

    def substitute(self, old: str, new: str) -> None:
        self._typed(f"execute-keys '%s{old}<ret>c{new}<esc>,'")

    def save(self) -> None:
        self._typed("write")

    def text(self, path: str) -> str:
        copy = self.bench.folder / "buffer"
        copy.unlink(missing_ok=True)
        command = f"try %{{ evaluate-commands -buffer {path} %{{ write -force {copy} }} }}"
        remote = shlex.join([program("kak") or "", "-p", self._session])
        self.bench.run("sh", "-c", f"echo {shlex.quote(command)} | {remote}")
        done = self.bench.folder / "done"
        done.unlink(missing_ok=True)
        self.bench.run("sh", "-c", f"echo 'nop %sh{{ touch {done} }}' | {remote}")
        until(done.exists, "Kakoune answers", self.trace)
        there = (
            copy if copy.exists() else self.bench.root / path
        )  # it edits on disk what is not open
        return there.read_text("utf-8")

    def task(self, text: str) -> None:
        self._typed(f"task {text}")

    def go_to(self, line: str) -> None:
        self._typed(f"execute-keys 'gg/{line}<ret>'")

    def select_line(self) -> None:
        self._typed("execute-keys x")

    def stop_mission(self) -> None:
        self._typed("task-stop")

    def undo_mission(self) -> None:
        self._typed("task-undo")

    def sees_stopped(self, task: str) -> None:
        """It shows no answers: what the mode line said must do."""

    def quit(self) -> None:
        self._typed("kill!")

    def choose(self, title: str) -> None:
        until(lambda: self._offered(title), f"{title!r} is offered", self.trace)
        self.bench.type(title)
        self.bench.keys("Tab", "Enter")

    def _offered(self, title: str) -> bool:
        """Ask for a menu; an answer to a text that changed meanwhile is dropped: then ask again."""
        self._typed("lsp-code-actions")
        end = time.monotonic() + ASK_AGAIN_S
        while title not in self.bench.screen() and time.monotonic() < end:
            time.sleep(0.1)
        return title in self.bench.screen()

    def _typed(self, command: str) -> None:
        self.bench.enter(f":{command}")
