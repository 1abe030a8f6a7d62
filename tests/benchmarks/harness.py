"""What the benchmarks share: fresh processes in turn, medians, figures with bars, one table.

A benchmark is a script that knows two ways of being called. As ``script --measure NAME`` it takes
one measurement and prints it as a line of JSON (``answer``). Otherwise it is the conductor: it
has ``interleaved`` call itself for every measurement, round by round, so that a noisy minute
hits all peers alike, and reports ``Figures``.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROOT = Path(__file__).resolve().parents[2]
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}


def arguments(doc: str | None, measurements: Iterable[str] = ()) -> argparse.Namespace:
    """The command line that all benchmarks share.

    Attributes of the result: ``measure`` (a name or None), ``json``, ``quick`` and ``rounds`` (a
    number or None).
    """
    parser = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="the last line is the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="a smoke run: figures mean little")
    parser.add_argument("--rounds", type=int, help="how often each measurement is taken")
    parser.add_argument("--measure", choices=sorted(measurements) or None, help=argparse.SUPPRESS)
    return parser.parse_args()


def begin(
    doc: str | None, measurements: Mapping[str, Callable[[], object]], rounds: int
) -> argparse.Namespace:
    """The command line of a benchmark that measures in fresh processes.

    In such a process the measurement is taken and answered here, and the process ends. Elsewhere
    ``rounds`` is how many are to be run, and ``flags`` is what each process must be told, too.
    """
    options = arguments(doc, measurements)
    if options.measure:
        answer(measurements[options.measure]())
        raise SystemExit
    options.flags = ["--quick"] if options.quick else []
    options.rounds = options.rounds or (1 if options.quick else rounds)
    return options


def answer(value: object) -> None:
    """In a measuring process: report the measurement."""
    sys.stdout.write(json.dumps(value) + "\n")


def fresh(script: str, *args: str, timeout_s: float = 60.0) -> Any:
    """Run a script in a fresh interpreter and return the JSON value on its last line.

    Raises:
        RuntimeError: it failed; the message has its errors.
    """
    path = os.pathsep.join([str(ROOT / "core"), str(ROOT / "server"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, script, *args],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(script).name} {' '.join(args)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def interleaved(
    script: str, names: Iterable[str], rounds: int, *extra: str
) -> dict[str, list[Any]]:
    """Take every measurement once a round, each in a fresh process, alternating the direction."""
    order = list(names)
    taken: dict[str, list[Any]] = {name: [] for name in order}
    for number in range(rounds):
        for name in order if number % 2 == 0 else reversed(order):
            taken[name].append(fresh(script, "--measure", name, *extra))
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
    return taken


def medians(taken: Mapping[str, list[Any]]) -> dict[str, float]:
    """The median of each measurement."""
    return {name: statistics.median(values) for name, values in taken.items()}


def machine() -> dict[str, object]:
    """What a reader must know to judge the figures."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "processor": _processor(),
        "cores": len(psutil.Process().cpu_affinity() or ()) if psutil.LINUX else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "load": [round(x, 2) for x in psutil.getloadavg()],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


class Figures:
    """The figures of a benchmark, some with a bar that they must reach."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[float, str]] = {}
        self._bars: dict[str, tuple[str, float]] = {}

    def add(self, name: str, value: float, unit: str = "", bar: str | None = None) -> None:
        """Add a figure; ``bar`` is for example ``">= 5"``."""
        self._values[name] = (value, unit)
        if bar is not None:
            comparison, limit = bar.split()
            self._bars[name] = (comparison, float(limit))

    def missed(self) -> list[str]:
        """The names of the figures that miss their bar."""
        return [
            name
            for name, (comparison, limit) in self._bars.items()
            if not _COMPARISONS[comparison](self._values[name][0], limit)
        ]

    def table(self) -> str:
        """All figures, aligned, with their bars."""
        missed = set(self.missed())
        rows = [("figure", "value", "unit", "bar", "")]
        for name, (value, unit) in self._values.items():
            comparison, limit = self._bars.get(name, ("", 0.0))
            bar = f"{comparison} {limit:g}" if comparison else ""
            verdict = "MISSED" if name in missed else "ok" if bar else ""
            rows.append((name, f"{value:,.4g}", unit, bar, verdict))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i == 1 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def report(self, *, as_json: bool) -> None:
        """Print the table and, if asked, the figures as one line of JSON."""
        print(self.table())
        if as_json:
            figures = {n: {"value": v, "unit": u} for n, (v, u) in self._values.items()}
            print(json.dumps({"figures": figures, "machine": machine()}))
