"""Neovim, Emacs and Helix as the tests use them: typed into, and looked at."""

from __future__ import annotations

import json
import shlex
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from real_editors.workbench import block, program, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from real_editors.workbench import Workbench

HERE = "Run a task here…"
ASK_AGAIN_S = 15.0


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


class Neovim(Editor):
    """Looked at through its own remote expressions."""

    needs = ("nvim",)

    def start(self, path: str) -> None:
        self.bench.write(".config/nvim/init.lua", block("neovim.md", "lua"))
        self._address = str(self.bench.folder / "nvim")
        self.bench.start(program("nvim") or "", "--listen", self._address, path)
        self._attached()

    def open(self, path: str) -> None:
        self._ex(f"edit {path}")
        self._attached()

    def append(self, text: str) -> None:
        self._ex(f"call append('$', {_quoted(text)})")

    def substitute(self, old: str, new: str) -> None:
        self._ex(f"%s/{old}/{new}/")

    def save(self) -> None:
        self._ex("write")

    def text(self, path: str) -> str:
        lines = f"getbufline({_quoted(str(self.bench.root / path))}, 1, '$')"
        return "\n".join(json.loads(self._look(f"json_encode({lines})")))

    def marked(self, message: str) -> bool:
        found = self._look("json_encode(map(luaeval('vim.diagnostic.get(0)'), 'v:val.message'))")
        return any(message in each for each in json.loads(found))

    def task(self, text: str) -> None:
        self._ex(f"Task {text}")

    def act(self, line: str, title: str) -> None:
        self._ex(f"call search({_quoted(line)}, 'w')")
        chosen = f"filter = function(a) return vim.startswith(a.title, {json.dumps(title)}) end"
        self._ex(f"lua vim.lsp.buf.code_action({{ apply = true, {chosen} }})")

    def task_here(self, line: str, text: str) -> None:
        self._ex(f"call search({_quoted(line)}, 'w')")
        where = "{ start = { vim.fn.line('.'), 0 }, ['end'] = { vim.fn.line('.'), 9 } }"
        chosen = (
            f"filter = function(a) return a.title == {json.dumps(HERE, ensure_ascii=False)} end"
        )
        self._ex(f"lua vim.lsp.buf.code_action({{ apply = true, {chosen}, range = {where} }})")
        self.bench.sees("What is to be done")
        self.bench.type(text)
        self.bench.keys("Enter")

    def stop_mission(self) -> None:
        self._ex("TaskStop")

    def undo_mission(self) -> None:
        self._ex("TaskUndo")

    def sees_stopped(self, task: str) -> None:
        self._ex("TaskStatus")
        self.bench.sees(f"{task} cancelled")

    def quit(self) -> None:
        self._ex("quitall!")

    def _ex(self, command: str) -> None:
        """Type a command line; whatever asks for Enter or is being typed is left first."""
        self.bench.escape()
        until(lambda: self._look("mode()") == "n", "Neovim is in normal mode", self.bench.screen)
        self.bench.type(f":{command}")
        self.bench.keys("Enter")

    def _look(self, expression: str) -> str:
        remote = ("--server", self._address, "--remote-expr", expression)
        return self.bench.run(program("nvim") or "", *remote).strip()

    def _attached(self) -> None:
        server = "luaeval('#vim.lsp.get_clients({bufnr = 0, name = \"orchestrator\"})')"
        self._waits_for_server(lambda: self._look(server) == "1")


class Emacs(Editor):
    """Looked at through emacsclient."""

    needs = ("emacs", "emacsclient")

    def start(self, path: str) -> None:
        self._socket = str(self.bench.folder / "emacs")
        listen = f'(setq server-name "{self._socket}") (server-start)'
        # This Emacs finds no compiler, and its own copies of unsaved text are not looked for.
        own = "(setq native-comp-jit-compilation nil auto-save-default nil)"
        self.bench.write(".emacs.d/init.el", f"{own}\n{block('emacs.md', 'elisp')}\n{listen}\n")
        self.bench.start(program("emacs") or "", "-nw", path)
        self._attached()

    def open(self, path: str) -> None:
        self._do(f'(find-file "{self.bench.root / path}")')
        self._attached()

    def append(self, text: str) -> None:
        self.bench.keys("M->")
        self.bench.type(text)
        self.bench.keys("Enter")

    def substitute(self, old: str, new: str) -> None:
        self._do(
            f"(goto-char 1) (search-forward {json.dumps(old)}) (replace-match {json.dumps(new)})"
        )

    def save(self) -> None:
        self._do("(save-buffer)")

    def text(self, path: str) -> str:
        buffer = f'(find-buffer-visiting "{self.bench.root / path}")'
        text = f"(with-current-buffer {buffer} (buffer-string))"
        return self._json(f"(if {buffer} {text} (string))")

    def marked(self, message: str) -> bool:
        texts = "(mapcar #'flymake-diagnostic-text (flymake-diagnostics))"
        return any(message in each for each in self._json(self._shown(f"(vconcat {texts})")))

    def task(self, text: str) -> None:
        self._command("orchestrator-task")
        self.bench.type(text)
        self.bench.keys("Enter")

    def act(self, line: str, title: str) -> None:
        self._do(f"(goto-char 1) (search-forward {json.dumps(line)}) (beginning-of-line)")
        self._choose(title)

    def task_here(self, line: str, text: str) -> None:
        self._do(f"(goto-char 1) (search-forward {json.dumps(line)}) (beginning-of-line)")
        self.bench.keys("C-Space", "C-e")
        self._choose(HERE)
        self.bench.sees("What is to be done")
        self.bench.type(text)
        self.bench.keys("Enter")

    def _choose(self, title: str) -> None:
        self._command("eglot-code-actions")
        self.bench.sees("Pick an action")
        for word in title.split(" "):
            self.bench.type(word)
            self.bench.keys("C-q", "Space")  # a bare one would complete
        self.bench.keys("BSpace", "Tab", "Enter")

    def stop_mission(self) -> None:
        self._command("orchestrator-stop")

    def undo_mission(self) -> None:
        self._command("orchestrator-undo")

    def sees_stopped(self, task: str) -> None:
        self._command("orchestrator-status")
        self.bench.sees(f"{task} cancelled")

    def quit(self) -> None:
        self._command("kill-emacs")

    def trace(self) -> str:
        said = self._json('(with-current-buffer "*Messages*" (buffer-string))')
        return f"{super().trace()}\n{said}"

    def _command(self, name: str) -> None:
        self.bench.keys("M-x")
        self.bench.sees("M-x")
        self.bench.type(name)
        self.bench.keys("Enter")

    def _do(self, forms: str) -> str:
        return self._look(self._shown(forms))

    def _json(self, form: str) -> Any:
        return json.loads(json.loads(self._look(f"(json-encode {form})")))

    def _shown(self, forms: str) -> str:
        """Evaluated in the buffer that the person sees."""
        return f"(with-current-buffer (window-buffer) {forms})"

    def _look(self, form: str) -> str:
        remote = ("--socket-name", self._socket, "--eval", form)
        return self.bench.run(program("emacsclient") or "", *remote).strip()

    def _attached(self) -> None:
        self._waits_for_server(lambda: self._do("(if (eglot-current-server) 1 0)") == "1")


class Helix(Editor):
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
        self.bench.type(f"%s{old}")
        self.bench.keys("Enter")
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

    def marked(self, message: str) -> bool:
        return message in self.bench.screen()

    def task(self, text: str) -> None:
        self.open(".opencode/todo.md")
        self.substitute("- \\[.\\] .*", f"- [ ] {text}")
        self.save()
        self.bench.saved(".opencode/todo.md", text)
        self.bench.run("opencode-orchestrator", "trust")
        self.bench.type(" or")

    def act(self, line: str, title: str) -> None:
        self._normal()
        self.bench.type(f"gg/{line}")
        self.bench.keys("Enter")
        self._choose(title)

    def task_here(self, line: str, text: str) -> None:
        self._normal()
        self.bench.type(f"gg/{line}")
        self.bench.keys("Enter")
        self.bench.type("x")
        self._choose(HERE)
        self.bench.sees("T2 was added to .opencode/todo.md")
        self.open(".opencode/todo.md")
        self.substitute("- \\[ \\] ?$", f"- [ ] {text}")
        self.save()
        self.act("T2", "Run T2")

    def _choose(self, title: str) -> None:
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
        self.bench.type(f":{command}")
        self.bench.keys("Enter")

    def _normal(self) -> None:
        self.bench.escape()
        self.bench.sees(" NOR ")


class Kakoune(Editor):
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

    def marked(self, message: str) -> bool:
        return message in self.bench.screen()

    def task(self, text: str) -> None:
        self._typed(f"task {text}")

    def act(self, line: str, title: str) -> None:
        self._typed(f"execute-keys 'gg/{line}<ret>'")
        self._choose(title)

    def task_here(self, line: str, text: str) -> None:
        self._typed(f"execute-keys 'gg/{line}<ret>x'")
        self._choose(HERE)
        self.bench.sees("T2 was added to .opencode/todo.md")
        self.open(".opencode/todo.md")
        self.substitute("- \\[ \\] ?$", f"- [ ] {text}")
        self.save()
        self.act("T2", "Run T2")

    def stop_mission(self) -> None:
        self._typed("task-stop")

    def undo_mission(self) -> None:
        self._typed("task-undo")

    def sees_stopped(self, task: str) -> None:
        """It shows no answers: what the mode line said must do."""

    def quit(self) -> None:
        self._typed("kill!")

    def _choose(self, title: str) -> None:
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
        self.bench.type(f":{command}")
        self.bench.keys("Enter")


def _quoted(text: str) -> str:
    """A text as Vim script writes it."""
    return "'" + text.replace("'", "''") + "'"
