"""Helix as the tests use it."""

from __future__ import annotations

import shlex

from real_editors.editor import ScreenEditor
from real_editors.workbench import block, program, until


class Helix(ScreenEditor):
    """Has no remote control: its screen is read, and its buffers are piped into a file."""

    needs = ("hx",)

    def start(self, path: str) -> None:
        self.bench.write(".config/helix/languages.toml", block("helix.md", "toml", 0))
        self.bench.write(".config/helix/config.toml", block("helix.md", "toml", 1))
        self.bench.start(program("hx") or "", "-vv", "--log", str(self.bench.folder / "log"), path)
        until(self._attached, "the server is attached", self.trace)

    def open(self, path: str) -> None:
        self._typed(f"open {path}")

    def append(self, text: str) -> None:
        self._normal()
        self.bench.type(f"geo{text}")
        self._normal()

    def substitute(self, old: str, new: str) -> None:
        self._normal()
        self.bench.enter(f"%s{old}")
        self.bench.type(f"c{new}")
        self._normal()
        self.bench.type(",")

    def save(self) -> None:
        self._typed("write")

    def text(self, path: str) -> str:
        copy = self.bench.folder / "buffer"
        copy.unlink(missing_ok=True)
        self._typed(f"open {path}")
        self.bench.type("%")
        self._typed(f"pipe-to cp /dev/stdin {shlex.quote(str(copy))}")
        until(copy.exists, "the buffer is written", self.bench.screen)
        self.bench.type(";")
        return copy.read_text("utf-8")

    def task(self, text: str) -> None:
        self.open(".opencode/todo.md")
        self.substitute("- \\[.\\] .*", f"- [ ] {text}")
        self.save()
        self.bench.saved(".opencode/todo.md", text)
        self.bench.run("opencode-orchestrator", "trust")
        self.bench.type(" or")

    def go_to(self, line: str) -> None:
        self._normal()
        self.bench.enter(f"gg/{line}")

    def select_line(self) -> None:
        self.bench.type("x")

    def choose(self, title: str) -> None:
        self.bench.type(" a")
        self.bench.sees(title)
        # The menu hangs below the cursor, its first entry is chosen.
        below = self.bench.screen().splitlines()[self.bench.cursor() + 1 :]
        chosen = next(row for row, shown in enumerate(below) if title in shown)
        self.bench.keys(*["Down"] * chosen, "Enter")

    def stop_mission(self) -> None:
        self._normal()
        self.bench.type(" os")

    def undo_mission(self) -> None:
        self._normal()
        self.bench.type(" ou")

    def sees_stopped(self, task: str) -> None:
        self.open(".opencode/todo.md")
        self.bench.sees(f"{task}: Say what a price is | depends: - stopped")

    def quit(self) -> None:
        self._typed("quit-all!")

    def _attached(self) -> bool:
        self._typed("lsp-workspace-command")
        return "/task" in self.bench.screen()

    def _typed(self, command: str) -> None:
        self._normal()
        self.bench.enter(f":{command}")

    def _normal(self) -> None:
        self.bench.escape()
        self.bench.sees(" NOR ")
