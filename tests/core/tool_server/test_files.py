"""Files are read and counted, git is asked, and memory bounds no result."""

from __future__ import annotations

import hashlib
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.tool_server.client import RpcError, ToolServer


def test_read_gives_ranges_and_says_what_the_file_is(root: Path, running: ToolServer) -> None:
    data = b"\xef\xbb\xbfone\r\ntwo\r\nthree"
    (root / "f.txt").write_bytes(data)
    whole = running.call("read", path="f.txt")
    assert whole["text"] == "one\r\ntwo\r\nthree"
    assert (whole["bom"], whole["eol"], whole["totalLines"]) == ("utf-8", "\r\n", 3)
    assert whole["sha256"] == hashlib.sha256(data).hexdigest()
    part = running.call("read", path="f.txt", startLine=2, endLine=2)
    assert (part["text"], part["startLine"], part["endLine"]) == ("two\r\n", 2, 2)
    (root / "empty").write_bytes(b"")
    assert running.call("read", path="empty")["totalLines"] == 0
    (root.parent / "outside.txt").write_text("secret")
    (root / "link").symlink_to(root.parent / "outside.txt")
    with pytest.raises(RpcError, match="outside the root"):
        running.call("read", path="link")


def test_file_stats_count_by_language(root: Path, running: ToolServer) -> None:
    (root / "a.py").write_text("1\n2\n3")
    (root / "b.py").write_text("1\n")
    (root / "c.rs").write_text("\n")
    (root / "d.bin").write_bytes(b"\0" * 10)
    result = running.call("file_stats")
    assert result["languages"]["python"] == {"files": 2, "lines": 4, "bytes": 7}
    assert (result["files"], result["lines"], result["binary"]) == (3, 5, 1)


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def test_git_status_and_diff(root: Path, running: ToolServer) -> None:
    with pytest.raises(RpcError, match="not in a git repository"):
        running.call("git_status")
    git(root, "init", "-q", "-b", "main")
    (root / "sub").mkdir()
    for name in ["kept.py", "sub/moved file.py", "gone.py", "ü.py"]:
        (root / name).write_text(f"# {name}\n" * 5)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    clean = running.call("git_status")
    assert (clean["branch"], clean["files"]) == ("main", [])
    (root / "ü.py").write_text("changed\n")
    (root / "gone.py").unlink()
    (root / "sub" / "new.py").write_text("new\n")
    git(root, "mv", "sub/moved file.py", "sub/here.py")
    status = {file["path"]: file for file in running.call("git_status")["files"]}
    assert {path: file["status"] for path, file in status.items()} == {
        "ü.py": "modified",
        "gone.py": "deleted",
        "sub/new.py": "untracked",
        "sub/here.py": "renamed",
    }
    assert status["sub/here.py"]["originalPath"] == "sub/moved file.py"
    assert status["sub/here.py"]["staged"]
    assert not status["ü.py"]["staged"]
    inner = running.call("git_status", root=str(root / "sub"))
    assert {f["path"] for f in inner["files"]} >= {"new.py", "here.py"}
    diff = running.call("git_diff", paths=["ü.py"])
    assert diff["files"] == [{"path": "ü.py", "added": 1, "removed": 5, "binary": False}]
    assert "+changed" in diff["diff"]
    staged = running.call("git_diff", staged=True)
    assert {f["path"] for f in staged["files"]} == {"sub/here.py", "sub/moved file.py"}


def test_a_tiny_bound_of_memory_changes_no_result(root: Path) -> None:
    seed = random.Random(7)
    for number in range(200):
        words = seed.choices(["alpha", "beta(1)", "gamma", "\n"], k=300)
        (root / f"{number}.py").write_text("\n".join(words))
    calls: list[tuple[str, dict[str, Any]]] = [
        ("grep", {"pattern": r"alpha\s*$", "limit": 100_000}),
        ("ast_search", {"pattern": "beta($A)", "language": "python", "limit": 100_000}),
        ("replace", {"pattern": "gamma", "replacement": "delta"}),
        ("file_stats", {}),
    ]
    with ToolServer(root) as roomy, ToolServer(root, "--memory-mib", "0") as tiny:
        for _ in range(2):
            for name, arguments in calls:
                assert roomy.call(name, **arguments) == tiny.call(name, **arguments)
