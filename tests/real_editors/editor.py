"""What the tests ask of any editor: to be typed into, and looked at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from real_editors.workbench import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from real_editors.workbench import Workbench

HERE = "Run a task here…"


class Editor(ABC):
    """A real editor on a workbench, set up as its page in docs/editors tells."""

    needs: tuple[str, ...] = ()
    """Programs without which it cannot be tried."""

    progress = "0/1 tasks"
    """What it shows of a mission of one task that runs."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    @abstractmethod
    def start(self, path: str) -> None:
        """Set it up and start it with a file; wait until the server answered."""

    @abstractmethod
    def open(self, path: str) -> None:
        """Open another file in it."""

    @abstractmethod
    def append(self, text: str) -> None:
        """Type a line at the end of the buffer that is shown, without saving."""

    @abstractmethod
    def substitute(self, old: str, new: str) -> None:
        """Replace a text in the buffer that is shown, without saving."""

    @abstractmethod
    def save(self) -> None:
        """Save the buffer that is shown."""

    @abstractmethod
    def text(self, path: str) -> str:
        """The text of a file's buffer."""

    @abstractmethod
    def marked(self, message: str) -> bool:
        """Whether a diagnostic of the buffer that is shown says this."""

    @abstractmethod
    def task(self, text: str) -> None:
        """Have the server carry out a text."""

    @abstractmethod
    def act(self, line: str, title: str) -> None:
        """Go to the line that holds a text, and take the action whose title begins so there."""

    @abstractmethod
    def task_here(self, line: str, text: str) -> None:
        """Select the line that holds a text, and have a task run there."""

    @abstractmethod
    def stop_mission(self) -> None:
        """Run `/stop`."""

    @abstractmethod
    def undo_mission(self) -> None:
        """Run `/undo`."""

    @abstractmethod
    def sees_stopped(self, task: str) -> None:
        """Wait until the person is told that a task was stopped."""

    @abstractmethod
    def quit(self) -> None:
        """Leave without saving."""

    def trace(self) -> str:
        """What helps to see why it does not do what it should."""
        return self.bench.screen()

    def shows(self, path: str, *wanted: str, without: str = "\0") -> str:
        """Wait until a buffer has these texts and not that one; answer its text."""

        def look() -> str:
            text = self.text(path)
            return text if all(each in text for each in wanted) and without not in text else ""

        what = f"{path} has {wanted}, but not {without!r}"
        return until(look, what, lambda: f"{self.text(path)}\n{self.trace()}")

    def is_marked(self, message: str, *, wanted: bool = True) -> None:
        """Wait until a diagnostic says this, or until none does."""
        what = f"a diagnostic says {message!r}: {wanted}"
        until(lambda: self.marked(message) is wanted, what, self.trace)

    def _waits_for_server(self, attached: Callable[[], bool]) -> None:
        def look() -> bool:
            try:
                return attached()
            except AssertionError:  # the editor does not listen yet
                return False

        until(look, "the server is attached", self.bench.screen)


class ScreenEditor(Editor):
    """An editor that cannot ask for a text, and whose diagnostics are read from its screen."""

    @abstractmethod
    def go_to(self, line: str) -> None:
        """Go to the line that holds a text."""

    @abstractmethod
    def select_line(self) -> None:
        """Select the line that the cursor is on."""

    @abstractmethod
    def choose(self, title: str) -> None:
        """Take the action whose title begins so, of those that are offered here."""

    def marked(self, message: str) -> bool:
        return message in self.bench.screen()

    def act(self, line: str, title: str) -> None:
        self.go_to(line)
        self.choose(title)

    def task_here(self, line: str, text: str) -> None:
        self.go_to(line)
        self.select_line()
        self.choose(HERE)
        self.bench.sees("T2 was added to .opencode/todo.md")
        self.open(".opencode/todo.md")
        self.substitute("- \\[ \\] ?$", f"- [ ] {text}")
        self.save()
        self.act("T2", "Run T2")
