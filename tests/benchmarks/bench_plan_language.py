"""The plan file as a language, on a plan of 2,000 tasks.

A person types: each change is one character in a title. ``diagnostics`` is from the change to the
diagnostics for it, ``completion`` is asked right behind a change, as editors do, and ``hover``
when nothing has changed. Each round is a server of its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.client import REAL, Client
from benchmarks.harness import Figures, answer, arguments, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = 2_000
CHANGES = 60
HOVERS = 200
PLAN = ".opencode/todo.md"


class Typing:
    """A plan that is open in an editor, and a person at its middle."""

    def __init__(self, client: Client, root: Path) -> None:
        self.client = client
        self.document = {"uri": (root / PLAN).as_uri()}
        self.version = 1
        self.line = 1 + TASKS  # the heading of the task in the middle
        self.column = len(heading(TASKS // 2).partition(" |")[0])
        item = {**self.document, "languageId": "markdown", "version": 1, "text": plan()}
        client.send({"method": "textDocument/didOpen", "params": {"textDocument": item}})
        self.diagnosed()

    def at(self, column: int) -> dict[str, Any]:
        return {"line": self.line, "character": column}

    def type(self, column: int, text: str) -> None:
        self.version += 1
        change = {"range": {"start": self.at(column), "end": self.at(column)}, "text": text}
        document = {**self.document, "version": self.version}
        params = {"textDocument": document, "contentChanges": [change]}
        self.client.send({"method": "textDocument/didChange", "params": params})

    def diagnosed(self) -> None:
        """Wait for the diagnostics of what was typed last."""
        self.client.notification(
            "textDocument/publishDiagnostics",
            lambda params: (
                params["uri"] == self.document["uri"] and params.get("version") == self.version
            ),
        )

    def diagnostics(self) -> None:
        self.type(self.column, "x")
        self.diagnosed()

    def completion(self) -> None:
        column = len(heading(TASKS // 2)) + self.version - 1  # behind `depends: `
        self.type(self.column, "x")
        params = {"textDocument": self.document, "position": self.at(column + 1)}
        found = self.client.call("textDocument/completion", params)
        if not found["items"]:
            raise RuntimeError("nothing was offered")

    def hover(self) -> None:
        params = {"textDocument": self.document, "position": self.at(5)}
        if self.client.call("textDocument/hover", params) is None:
            raise RuntimeError("hover showed nothing")


def heading(number: int) -> str:
    return f"### T{number}: a task with a title of its own | depends: T{number - 1}"


def plan() -> str:
    tasks = [f"{heading(n)}\n- [ ] rename name{n} -> other{n}\n" for n in range(1, TASKS + 1)]
    return "# Mission: large\n" + "".join(tasks).replace("depends: T0", "depends: -")


def measured(times: int, step: Callable[[], None], *, settle: Callable[[], None]) -> float:
    """The p99 of a step, in ms."""
    taken: list[float] = []
    for _ in range(times):
        began_s = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began_s)
        settle()
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.99))] * 1e3


def measure() -> dict[str, float]:
    """One server's figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "workspace")
        (root / ".opencode").mkdir(parents=True)
        (root / PLAN).write_text(plan(), "utf-8")
        with Client(REAL, Path(folder)) as client:
            client.initialize(root)
            client.send({"method": "initialized", "params": {}})
            client.command("/status")
            typing = Typing(client, root)
            return {
                "diagnostics_p99_ms": measured(CHANGES, typing.diagnostics, settle=lambda: None),
                "completion_p99_ms": measured(CHANGES, typing.completion, settle=typing.diagnosed),
                "hover_p99_ms": measured(HOVERS, typing.hover, settle=lambda: None),
            }


def main() -> None:
    """Measure, or conduct the measuring."""
    options = arguments(__doc__, ["plan"])
    if options.measure:
        answer(measure())
        return
    rounds = options.rounds or (1 if options.quick else 5)
    taken = interleaved(__file__, ["plan"], rounds)["plan"]
    figures = Figures()
    bars = {"diagnostics_p99_ms": 100, "completion_p99_ms": 20, "hover_p99_ms": 20}
    for name, bar in bars.items():
        values = sorted(one[name] for one in taken)
        figures.add(name, values[len(values) // 2], "ms", f"<= {bar}")
    figures.report(as_json=options.json)


if __name__ == "__main__":
    main()
