"""Neovim as the tests use it."""

from __future__ import annotations

import json

from real_editors.editor import HERE, Editor
from real_editors.workbench import block, program, until


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
        self.bench.enter(text)

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
        self.bench.enter(f":{command}")

    def _look(self, expression: str) -> str:
        remote = ("--server", self._address, "--remote-expr", expression)
        return self.bench.run(program("nvim") or "", *remote).strip()

    def _attached(self) -> None:
        server = "luaeval('#vim.lsp.get_clients({bufnr = 0, name = \"orchestrator\"})')"
        self._waits_for_server(lambda: self._look(server) == "1")


def _quoted(text: str) -> str:
    """A text as Vim script writes it."""
    return "'" + text.replace("'", "''") + "'"
