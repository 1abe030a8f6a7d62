"""The `rg` program as the judge of what a search should find."""

from __future__ import annotations

import base64
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

RG = str(Path(sys.executable).parent / "rg")
# The tool server reads .gitignore outside repositories, too, and these two are never searched.
COMMON = ["--no-config", "--no-require-git", "--no-messages", "-g", "!.git", "-g", "!.opencode"]

Span = tuple[str, int, int]
MEMORY_BYTES = 3 << 30


class Rejected(Exception):
    """ripgrep refused the pattern or a flag."""


def _run(root: Path, *arguments: str) -> bytes:
    with subprocess.Popen(
        [RG, *COMMON[:3], *arguments], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        bound_memory(process.pid)
        stdout, stderr = process.communicate(timeout=60)
    # Exit code 2 also stands for files that could not be read.
    if process.returncode == 2 and not stdout:
        raise Rejected(stderr.decode())
    return stdout


def bound_memory(pid: int) -> None:
    """Have a process fail rather than take the machine's memory."""
    resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _text(field: dict[str, str]) -> bytes:
    if "text" in field:
        return field["text"].encode()
    return base64.b64decode(field["bytes"])


def _path(field: dict[str, str]) -> str:
    return _text(field).decode("utf-8", "replace").removeprefix("./")


def spans(root: Path, *arguments: str) -> list[Span]:
    """Every occurrence as path, start and end, in bytes."""
    found: list[Span] = []
    for event in events(root, *arguments):
        if event["type"] == "match":
            data = event["data"]
            path, offset = _path(data["path"]), data["absolute_offset"]
            found += [(path, offset + m["start"], offset + m["end"]) for m in data["submatches"]]
    return sorted(found)


def count(root: Path, *arguments: str) -> int:
    """How many occurrences there are."""
    words = ["--count-matches", "--no-filename", *arguments]
    return sum(int(line) for line in _run(root, *words).split())


def context_lines(root: Path, *arguments: str) -> dict[str, list[str]]:
    """The lines around matches, by file, in order."""
    lines: dict[str, list[str]] = {}
    for event in events(root, *arguments):
        if event["type"] == "context":
            text = _text(event["data"]["lines"]).decode("utf-8", "replace").rstrip("\n")
            lines.setdefault(_path(event["data"]["path"]), []).append(text.removesuffix("\r"))
    return lines


def events(root: Path, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _run(root, "--json", *arguments).splitlines()]


def paths(root: Path, *arguments: str) -> list[str]:
    names = _run(root, "--files", "--null", *arguments).split(b"\0")
    return sorted(name.decode("utf-8", "replace").removeprefix("./") for name in names if name)
