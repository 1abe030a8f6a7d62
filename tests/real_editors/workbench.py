"""Where a real editor is tried: a workspace, a home and a terminal of its own.

Editors run in tmux, so that what a person would see can be read and what a person would type can
be sent. Nothing here waits for luck: :func:`until` looks until it sees, or says what it saw.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    T = TypeVar("T")

ROOT = Path(__file__).parents[2]
EDITORS = ROOT / "build" / "editors" / "bin"
PAGES = ROOT / "docs" / "editors"
SHOP = ROOT / "fixtures" / "workspaces" / "shop"

DEADLINE_S = 60.0
_LOOK_S = 0.05
_MARK = "ORCHESTRATOR_WORKBENCH"
_ESCAPE = "\x1b[27u"  # a bare one, with what is typed next, would mean Alt
_SIZE = ("-x", "160", "-y", "48")


def program(*names: str) -> str | None:
    """A program that `setup.sh` installed, else one of PATH."""
    for name in names:
        if found := shutil.which(name, path=f"{EDITORS}{os.pathsep}{os.environ['PATH']}"):
            return found
    return None


def block(page: str, language: str, nth: int = 0) -> str:
    """A fenced block of a set-up page: what the page tells people to paste."""
    text = (PAGES / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[nth]


def until(look: Callable[[], T], wanted: str, otherwise: Callable[[], object]) -> T:
    """Look until what is seen is true, and answer it.

    Raises:
        AssertionError: the deadline passed; it says what was wanted and what ``otherwise`` shows.
    """
    end = time.monotonic() + DEADLINE_S
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"{wanted}: not within {DEADLINE_S:.0f} s\n{otherwise()}")
        time.sleep(_LOOK_S)
    return seen


class Workbench:
    """A workspace, a home folder and a terminal that belong to one test.

    What is started in the terminal carries a mark in its environment, so that whatever is left of
    it is found wherever it went.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "work space"
        self.home = folder / "home"
        self.temporary = folder / "tmp"
        self._socket = folder / "terminal"
        self._mark = uuid.uuid4().hex
        self._terminal = 0
        self.before: dict[str, bytes] = {}
        for each in (folder, self.home, self.temporary, folder / "run"):
            each.mkdir(mode=0o700)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of everything that runs here."""
        own = {
            "HOME": self.home,
            "XDG_CONFIG_HOME": self.home / ".config",
            "XDG_STATE_HOME": self.home / ".local/state",
            "XDG_DATA_HOME": self.home / ".local/share",
            "XDG_CACHE_HOME": self.home / ".cache",
            "XDG_RUNTIME_DIR": self.folder / "run",
            "TMPDIR": self.temporary,
            "PATH": f"{Path(sys.executable).parent}:{EDITORS}:{os.environ['PATH']}",
        }
        kept = {k: v for k, v in os.environ.items() if k not in {"TMUX", "TMUX_PANE", "EDITOR"}}
        paths = {name: str(value) for name, value in own.items()}
        return {**kept, **paths, "LC_ALL": "C.UTF-8", _MARK: self._mark}

    def lay(self, plan: str) -> None:
        """Lay the workspace: a small package, and a plan file."""
        shutil.copytree(SHOP, self.root)
        (self.root / ".git").mkdir()
        (self.root / ".opencode").mkdir()
        (self.root / ".opencode" / "todo.md").write_text(plan, "utf-8")
        self.before = self.files()

    def files(self) -> dict[str, bytes]:
        """Every file of the workspace but the program's own."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".opencode" not in path.parts
        }

    def saved(self, path: str, text: str) -> None:
        """Wait until a file on disk has a text."""

        def look() -> bool:
            try:
                return text in (self.root / path).read_text("utf-8")
            except FileNotFoundError:  # some editors replace a file
                return False

        until(look, f"{path} has {text!r}", self.screen)

    def write(self, place: str, text: str) -> None:
        """Write a file below the home folder."""
        path = self.home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def run(self, *command: str) -> str:
        """Run a command to its end and answer what it printed."""
        return self._run(command)

    def start(self, *command: str) -> None:
        """Start a program in the terminal."""
        settings = self.folder / "tmux.conf"
        settings.write_text("set -g remain-on-exit on\n", "utf-8")
        self._tmux("-f", str(settings), "new-session", "-d", *_SIZE, shlex.join(command))
        self._terminal = int(self._tmux("display-message", "-p", "#{pid}"))

    def keys(self, *keys: str) -> None:
        """Press keys, by their names."""
        self._tmux("send-keys", *keys)

    def escape(self) -> None:
        """Press Escape."""
        self.type(_ESCAPE)

    def type(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", "--", text)

    def enter(self, line: str) -> None:
        """Type a line and press Enter."""
        self.type(line)
        self.keys("Enter")

    def screen(self) -> str:
        """What the terminal shows."""
        return self._tmux("capture-pane", "-p")

    def cursor(self) -> int:
        """The row of the cursor, from 0."""
        return int(self._tmux("display-message", "-p", "#{cursor_y}"))

    def sees(self, text: str) -> None:
        """Wait until the terminal shows a text; where it breaks a line does not matter."""
        sought = "".join(text.split())
        until(
            lambda: sought in "".join(self.screen().split()),
            f"the screen shows {text!r}",
            self.screen,
        )

    def runs(self, name: str, *, wanted: bool = True) -> None:
        """Wait until a process of this name runs here, or until none does."""
        until(
            lambda: any(process.name() == name for process in self._left()) is wanted,
            f"{name} runs: {wanted}",
            self._what_is_left,
        )

    def ended(self) -> None:
        """Wait until nothing is left of what was started here but the terminal."""
        until(
            lambda: self._pane_dead() and not [*self._left()], "all has ended", self._what_is_left
        )

    def close(self) -> None:
        """End the terminal, and whatever a failed test left."""
        self._tmux("kill-server", check=False)
        for process in [*self._left()]:
            process.kill()

    def _pane_dead(self) -> bool:
        return self._tmux("list-panes", "-F", "#{pane_dead}").strip() == "1"

    def _what_is_left(self) -> str:
        return "\n".join([self.screen(), *(repr(process) for process in self._left())])

    def _left(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                if process.pid != self._terminal and process.environ().get(_MARK) == self._mark:
                    yield process
            except psutil.Error:
                continue

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        return self._run((program("tmux") or "", "-S", str(self._socket), *arguments), check=check)

    def _run(self, command: Sequence[str], *, check: bool = True) -> str:
        try:
            done = subprocess.run(
                command,
                env=self.environment,
                cwd=self.root,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"no answer: {error.cmd}\n{self.screen()}") from error
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout
