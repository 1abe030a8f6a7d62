"""Emacs as the tests use it."""

from __future__ import annotations

import json
from typing import Any

from real_editors.editor import HERE, Editor
from real_editors.workbench import block, program


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
        self.bench.enter(text)

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
        self.bench.enter(text)

    def act(self, line: str, title: str) -> None:
        self._do(f"(goto-char 1) (search-forward {json.dumps(line)}) (beginning-of-line)")
        self._choose(title)

    def task_here(self, line: str, text: str) -> None:
        self._do(f"(goto-char 1) (search-forward {json.dumps(line)}) (beginning-of-line)")
        self.bench.keys("C-Space", "C-e")
        self._choose(HERE)
        self.bench.sees("What is to be done")
        self.bench.enter(text)

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
        self.bench.enter(name)

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
