"""The language server beside ten lines of stock pygls.

``start``, ``exit`` and ``rss`` are of the real server, ``opencode-orchestrator serve``, which
is started with a folder and what VS Code sends; ``exit`` after its engine has been warmed up.
``command`` is the same command on the stock server and on the hardened layer. ``busy`` is the
real server while it carries out a plan of 64 tasks on 8 workers: ``/status``, and hover on the
tasks in the plan file, are asked one after another until the mission ends, and as often when idle.

Every measurement is a fresh server process, and the servers take turns.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("core", "server", "tests")]

from benchmarks.client import REAL, Client  # noqa: E402 (the path is set above)
from benchmarks.harness import Figures, arguments  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

STOCK = [sys.executable, str(ROOT / "tests/server/stock_server.py")]
HARDENED = [sys.executable, str(ROOT / "tests/server/hardened_server.py")]

TASKS = 64
WORKERS = 8
LINES = 4_000
PLAN = ".opencode/todo.md"


def measure_start(argv: Sequence[str], home: Path) -> dict[str, float]:
    """Spawn to the initialize answer, the memory then, and from `exit` to gone."""
    with Client(argv, home) as client:
        client.initialize(home)
        start_s = time.perf_counter() - client.started
        rss = psutil.Process(client.process.pid).memory_info().rss
        client.send({"method": "initialized", "params": {}})
        warm(client, argv)
        client.call("shutdown")
        left = time.perf_counter()
        client.send({"method": "exit"})
        assert client.process.stdin is not None
        client.process.stdin.close()
        client.process.wait(30)
        exit_s = time.perf_counter() - left
    return {"start_ms": start_s * 1e3, "rss_mb": rss / 1e6, "exit_ms": exit_s * 1e3}


def warm(client: Client, argv: Sequence[str]) -> None:
    """Have the server do what it does in the background after `initialized`."""
    client.command("/status" if argv == REAL else "/echo")


def measure_command(argv: Sequence[str], home: Path, times: int) -> float:
    """The median of a command's round trip in ms."""
    with Client(argv, home) as client:
        client.initialize(home)
        client.send({"method": "initialized", "params": {}})
        for _ in range(times // 10):
            client.command("/echo", 1, {"a": [1, 2, 3]})
        taken: list[float] = []
        for _ in range(times):
            started = time.perf_counter()
            client.command("/echo", 1, {"a": [1, 2, 3]})
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e3


def measure_busy(home: Path, lines: int) -> dict[str, float]:
    """The p99 of requests while a mission runs, and while none does, in ms."""
    root = home / "workspace"
    root.mkdir()
    make_workspace(root, lines)
    options = {"orchestrator": {"workers": WORKERS, "limits": {"worker": WORKERS}}}
    with Client(REAL, home) as client:
        capabilities = client.initialize(root, **options)
        client.send({"method": "initialized", "params": {}})
        client.command("/status")
        hover = bool(capabilities.get("hoverProvider"))
        open_plan(client, root)
        mission = client.ask(
            "workspace/executeCommand",
            {"command": "/run", "arguments": [None, {"wait": True}]},
        )
        started = time.perf_counter()
        busy = sample(client, hover, lambda: client.answered(mission), root)
        mission_s = time.perf_counter() - started
        report = client.answer(mission)
        if report["status"] != "done" or len(report["filesChanged"]) != TASKS:
            raise RuntimeError(f"the mission did not do its work: {str(report)[:500]}")
        idle_samples = iter(range(max(len(busy), 200)))
        idle = sample(client, hover, lambda: next(idle_samples, None) is None, root)
    return {
        "busy_p99_ms": p99(busy),
        "busy_p50_ms": statistics.median(busy),
        "idle_p99_ms": p99(idle),
        "idle_p50_ms": statistics.median(idle),
        "samples": len(busy),
        "mission_s": mission_s,
    }


def sample(client: Client, hover: bool, ended: Any, root: Path) -> list[float]:
    """Ask one request after another, in ms each, until it has ended."""
    document = {"uri": (root / PLAN).as_uri()}
    taken: list[float] = []
    deadline = time.monotonic() + 120
    while not ended():
        if time.monotonic() > deadline:
            raise RuntimeError("the mission did not end within two minutes")
        started = time.perf_counter()
        if hover and len(taken) % 2:
            line = 2 + len(taken) % (2 * TASKS)  # one task after another: heading and step
            place = {"textDocument": document, "position": {"line": line, "character": 0}}
            if "**T1." not in client.call("textDocument/hover", place)["contents"]["value"]:
                raise RuntimeError("hover said nothing of the task")
        else:
            client.command("/status")
        taken.append((time.perf_counter() - started) * 1e3)
        time.sleep(0.002)
    return taken


def open_plan(client: Client, root: Path) -> None:
    """Open the plan file, as an editor does before it asks for anything in it."""
    item = {"languageId": "markdown", "version": 1, "text": (root / PLAN).read_text("utf-8")}
    document = {"uri": (root / PLAN).as_uri(), **item}
    client.send({"method": "textDocument/didOpen", "params": {"textDocument": document}})


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def make_workspace(root: Path, lines: int) -> None:
    """64 files and a plan with a task for each."""
    (root / "src").mkdir()
    plan = ["# Mission: Replace in every file", "## M1: Replace"]
    for number in range(TASKS):
        text = "".join(f"value_{line} = old_name({line})\n" for line in range(lines))
        name = f"src/module_{number}.py"
        (root / name).write_text("def old_name(x): return x\n\n\n" + text)
        plan += [
            f"### T1.{number + 1}: Replace in {name} | agent:worker | depends: - | files: {name}",
            f"- [ ] replace /old_name/ -> new_name in {name}",
        ]
    (root / PLAN).parent.mkdir()
    (root / PLAN).write_text("\n".join(plan) + "\n")


def main() -> None:
    """Measure in turns and report."""
    options = arguments(__doc__)
    rounds = options.rounds or (1 if options.quick else 7)
    taken: dict[str, list[Any]] = {}
    for number in range(rounds):
        turns = [("stock", STOCK), ("real", REAL)]
        for name, argv in turns if number % 2 == 0 else reversed(turns):
            with tempfile.TemporaryDirectory() as home:
                taken.setdefault(name, []).append(measure_start(argv, Path(home)))
        peers = [("stock_command", STOCK), ("hardened_command", HARDENED)]
        for name, argv in peers if number % 2 == 0 else reversed(peers):
            with tempfile.TemporaryDirectory() as home:
                times = 100 if options.quick else 1000
                taken.setdefault(name, []).append(measure_command(argv, Path(home), times))
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
    for _ in range(1 if options.quick else 3):
        with tempfile.TemporaryDirectory() as home:
            lines = 200 if options.quick else LINES
            taken.setdefault("busy", []).append(measure_busy(Path(home), lines))
    report(taken, as_json=options.json)


def report(taken: dict[str, list[Any]], *, as_json: bool) -> None:
    """Compare the medians."""

    def median(peer: str, figure: str) -> float:
        return statistics.median(values[figure] for values in taken[peer])

    figures = Figures()
    for name, bar in (("start", "<= 1.10"), ("rss", "<= 1.25")):
        unit = "ms" if name == "start" else "mb"
        ratio = median("real", f"{name}_{unit}") / median("stock", f"{name}_{unit}")
        figures.add(f"{name}_vs_stock", ratio, "x", bar)
    figures.add(
        "exit_vs_stock", median("stock", "exit_ms") / median("real", "exit_ms"), "x", ">= 5"
    )
    figures.add("busy_p99_ms", median("busy", "busy_p99_ms"), "ms", "<= 20")
    busy_vs_idle = median("busy", "busy_p99_ms") / median("busy", "idle_p99_ms")
    figures.add("busy_vs_idle_p99", busy_vs_idle, "x", "<= 5")
    commands = {peer: statistics.median(taken[f"{peer}_command"]) for peer in ("stock", "hardened")}
    figures.add("command_vs_stock", commands["stock"] / commands["hardened"], "x", ">= 1.3")
    for peer in ("stock", "real"):
        for name, unit in (("start_ms", "ms"), ("exit_ms", "ms"), ("rss_mb", "MB")):
            figures.add(f"{peer}_{name}", median(peer, name), unit)
    for peer, value in commands.items():
        figures.add(f"{peer}_command_p50_ms", value, "ms")
    for name in ("busy_p50_ms", "idle_p99_ms", "idle_p50_ms", "samples", "mission_s"):
        unit = {"samples": "", "mission_s": "s"}.get(name, "ms")
        figures.add(name if name != "samples" else "busy_samples", median("busy", name), unit)
    figures.report(as_json=as_json)


if __name__ == "__main__":
    main()
