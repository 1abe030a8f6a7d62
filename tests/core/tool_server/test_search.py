"""What a search answers: places, limits, folders in globs, and buffers instead of the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.tool_server.client import ToolServer


def test_places_count_characters_bytes_and_utf16_units(root: Path, running: ToolServer) -> None:
    (root / "a.txt").write_text("first\né𝄞 needle\n")
    [match] = running.call("grep", pattern="needle")["matches"]
    assert (match["line"], match["column"], match["utf16Column"]) == (2, 4, 5)
    assert (match["byteOffset"], match["text"]) == (13, "é𝄞 needle")


def test_a_limit_says_that_there_is_more(root: Path, running: ToolServer) -> None:
    for number in range(5):
        (root / f"{number}.txt").write_text("x\nx\n")
    result = running.call("grep", pattern="x", limit=3)
    assert [m["path"] for m in result["matches"]] == ["0.txt", "0.txt", "1.txt"]
    assert (result["total"], result["files"], result["truncated"]) == (3, 2, True)
    result = running.call("grep", pattern="x", limit=10)
    assert (result["total"], result["truncated"], result["selected"]) == (10, False, 5)
    assert running.call("glob", limit=2) == {"paths": ["0.txt", "1.txt"], "truncated": True}


def test_a_very_long_line_is_cut_around_the_match(root: Path, running: ToolServer) -> None:
    (root / "min.js").write_text("a" * 50_000 + "needle" + "b" * 50_000)
    [match] = running.call("grep", pattern="needle")["matches"]
    assert match["cut"]
    assert "needle" in match["text"]
    assert len(match["text"]) < 2000
    assert match["column"] == 50_001


def test_a_folder_in_globs_means_all_below_it_and_respects_ignore_files(
    root: Path, running: ToolServer
) -> None:
    for name in ["src/a.py", "src/deep/b.py", "src/out/c.py", "other/d.py", "e.py"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (root / ".gitignore").write_text("out/\ne.py\n")
    assert running.call("glob", globs=["src"])["paths"] == ["src/a.py", "src/deep/b.py"]
    assert running.call("glob", globs=["src/"])["paths"] == ["src/a.py", "src/deep/b.py"]
    both = running.call("glob", globs=["src/deep", "other/*.py"])["paths"]
    assert both == ["other/d.py", "src/deep/b.py"]
    assert running.call("glob", globs=["src", "!deep"])["paths"] == ["src/a.py"]
    assert running.call("glob", globs=["*.py"])["paths"] == [
        "e.py",
        "other/d.py",
        "src/a.py",
        "src/deep/b.py",
    ], "as in ripgrep, a glob brings back the ignored files that it names"
    narrow = running.call("glob", globs=["*.py"], respectIgnore=True)["paths"]
    assert narrow == ["other/d.py", "src/a.py", "src/deep/b.py"]
    assert running.call("glob", paths=["src/out", "e.py"])["paths"] == ["e.py", "src/out/c.py"]


def test_buffers_are_searched_instead_of_the_disk(root: Path, running: ToolServer) -> None:
    (root / ".gitignore").write_text("*.log\n")
    (root / "a.py").write_text("disk\n")
    (root / "b.py").write_text("disk\n")

    def found(**more: Any) -> list[tuple[str, str]]:
        matches = running.call("grep", pattern="disk|buffer", **more)["matches"]
        return [(m["path"], m["text"]) for m in matches]

    running.notify("overlay/set", {"path": "a.py", "text": "buffer\n"})
    running.notify("overlay/set", {"path": "new/c.py", "text": "buffer new\n"})
    running.notify("overlay/set", {"path": "new/c.log", "text": "buffer ignored\n"})
    sticky = [("a.py", "buffer"), ("b.py", "disk"), ("new/c.py", "buffer new")]
    assert found() == sticky
    call = [{"path": "a.py", "text": None}, {"path": "b.py", "text": "buffer of this call\n"}]
    assert found(documents=call) == [("b.py", "buffer of this call"), ("new/c.py", "buffer new")]
    assert found() == sticky, "a call's own buffers last as long as the call"
    assert found(globs=["new"]) == [("new/c.py", "buffer new")]
    assert found(paths=["new/c.log"]) == [("new/c.log", "buffer ignored")]
    assert running.call("read", path="a.py")["text"] == "buffer\n"
    assert "c.py" in str(running.call("file_stats")) or running.call("file_stats")["files"] == 3
    running.notify("overlay/clear", {"path": "a.py"})
    running.notify("overlay/clear", {"path": "new/c.py"})
    assert found() == [("a.py", "disk"), ("b.py", "disk")]
