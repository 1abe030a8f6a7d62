"""Runs every benchmark and writes what they printed to ``docs/benchmarks.md``.

Run by ``make bench``; names as arguments run only those benchmarks and keep the others' tables.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`. Each benchmark runs its peers in the same run, interleaved, in fresh
processes, several rounds; figures are medians. Ratios count; single times on a shared machine
do not. A bar that was missed says so.
"""


def measure(script: Path) -> str:
    """Run one benchmark and answer its section of the page."""
    done = subprocess.run(
        [sys.executable, str(script), "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    *table, last = done.stdout.rstrip().splitlines() or [""]
    if done.returncode or not last.startswith("{"):
        sys.exit(f"{script.name} failed with {done.returncode}:\n{done.stdout}")
    machine = json.loads(last)["machine"]
    about = ", ".join(f"{key} {value}" for key, value in machine.items())
    summary = (ast.get_docstring(ast.parse(script.read_text("utf-8"))) or "").split("\n\n")[0]
    body = "\n".join(table)
    when = time.strftime("%Y-%m-%d")
    return f"## {script.stem}\n\n{summary}\n\n```\n{body}\n```\n\n{when}; {about}\n"


def main(names: list[str]) -> None:
    """Run the benchmarks and refresh the page."""
    text = PAGE.read_text("utf-8") if PAGE.exists() else ""
    sections = dict(re.findall(r"^## (\w+)$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    scripts = {script.stem: script for script in sorted(HERE.glob("bench_*.py"))}
    if unknown := [name for name in names if name not in scripts]:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(scripts)}")
    for name, script in scripts.items():
        if not names or name in names:
            print(f"== {script.stem}", flush=True)
            section = measure(script)
            print(section, flush=True)
            sections[script.stem] = section.partition("\n")[2]
            write(sections)


def write(sections: dict[str, str]) -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    parts = [f"## {name}\n\n{sections[name].strip()}\n" for name in sorted(sections)]
    PAGE.write_text("\n".join([HEAD, *parts]), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
