"""The same matches as ripgrep, for patterns and flags that nobody thought of."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from core.tool_server import ripgrep
from core.tool_server.client import RpcError, ToolServer
from core.tool_server.conftest import write_tree

ALL = 10_000_000
# Of more matches than this only the number is compared: ripgrep's own account of them is huge.
FEW = 20_000

WORDS = ["load", "Error", "main", "x", "é", "ß", "s", "k", "𝄞", "(", "'", "three", "l", "oa"]
ATOMS = [
    *(re.escape(word) for word in WORDS),
    r"\w", r"\w+", r"\s", r"\s+", r".", r".*", r".+?", r"[a-f]", r"[^a-z\s]", r"\d", r"\S+",
    r"^", r"$", r"\b", r"\B", r"(load|main)", r"(?:wide |second )", r"(?i:LOAD)", r"\t", r"\x6c",
    r"\p{Lu}", r"[[:punct:]]", r"\r", r"\n", r"(?-u:\xE9)", r"x{3,5}", r"\A", r"\z", r"", r"[",
    r"(?m)^l", r"ſ", r"\u{212a}",
]  # fmt: skip
QUANTIFIERS = ["", "", "", "", "?", "*", "+", "{2}", "{1,3}", "*?"]

patterns = st.one_of(
    st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)), max_size=5).map(
        lambda parts: "".join(f"(?:{atom}){q}" if q and atom else atom for atom, q in parts)
    ),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    st.text("loadmainErKſs ()é\t.*", min_size=1, max_size=6),
)
GLOBS = [
    "*.py", "!*.py", "src/**", "/src/*", "**/er/*", "*.{txt,md}", "*.log", "!src/deep", "generated",
    "**/*.py", "se*", ".hidden*", "src/build/out.py", "*", "[ab]*", "node_modules/**", "!.*",
]  # fmt: skip
flags = st.fixed_dictionaries(
    {},
    optional={
        "literal": st.booleans(),
        "ignoreCase": st.booleans(),
        "word": st.booleans(),
        "multiline": st.booleans(),
        "hidden": st.booleans(),
        "noIgnore": st.booleans(),
        "globs": st.lists(st.sampled_from(GLOBS), max_size=3, unique=True),
        "types": st.lists(st.sampled_from(["py", "!py", "txt", "js", "rust"]), max_size=2),
    },
)
SWITCHES = {
    "literal": "-F",
    "ignoreCase": "-i",
    "word": "-w",
    "multiline": "-U",
    "hidden": "--hidden",
    "noIgnore": "--no-ignore",
}


def rg_arguments(options: dict[str, Any]) -> list[str]:
    words = [SWITCHES[name] for name, value in options.items() if value is True]
    for glob in options.get("globs", ()):
        words += ["-g", glob]
    for kind in options.get("types", ()):
        words += ["-T", kind[1:]] if kind.startswith("!") else ["-t", kind]
    return words


def names_folder(root: Path, options: dict[str, Any]) -> bool:
    """Such globs mean more here than in ripgrep: everything below the folder."""
    return any((root / glob).is_dir() for glob in options.get("globs", ()))


def spans(result: dict[str, Any]) -> list[ripgrep.Span]:
    assert not result["truncated"]
    return sorted((m["path"], m["byteOffset"], m["endByteOffset"]) for m in result["matches"])


many = settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
some = settings(many, max_examples=100)


@some
@given(pattern=patterns, options=flags)
@example(pattern="load", options={"hidden": True, "noIgnore": True})
@example(pattern="", options={})
@example(pattern=r"load\s+", options={"multiline": True})
@example(pattern="k", options={"ignoreCase": True})
@example(pattern="mass", options={"ignoreCase": True})
@example(pattern="$", options={})
@example(pattern="load", options={"types": ["py"], "globs": ["!main.py"]})
def test_grep_finds_what_ripgrep_finds(
    tree: Path, server: ToolServer, pattern: str, options: dict[str, Any]
) -> None:
    check_grep(tree, server, pattern, options)


@pytest.mark.soak
@many
@given(pattern=patterns, options=flags)
def test_grep_finds_what_ripgrep_finds_in_many_tries(
    tree: Path, server: ToolServer, pattern: str, options: dict[str, Any]
) -> None:
    check_grep(tree, server, pattern, options)


def check_grep(tree: Path, server: ToolServer, pattern: str, options: dict[str, Any]) -> None:
    assume(not names_folder(tree, options))
    # A literal with a line break is several patterns to ripgrep.
    assume(not (options.get("literal") and "\n" in pattern))
    try:
        expected = ripgrep.spans(tree, *rg_arguments(options), "-e", pattern, "./")
    except ripgrep.Rejected:
        with pytest.raises(RpcError) as caught:
            server.call("grep", pattern=pattern, **options)
        assert caught.value.code == -32602
        return
    result = server.call("grep", pattern=pattern, limit=ALL, **options)
    assert spans(result) == expected
    counts = server.call("grep", pattern=pattern, countOnly=True, **options)
    assert counts["total"] == len(expected)


@some
@given(options=flags)
def test_glob_lists_what_ripgrep_lists(
    tree: Path, server: ToolServer, options: dict[str, Any]
) -> None:
    check_glob(tree, server, options)


@pytest.mark.soak
@many
@given(options=flags)
def test_glob_lists_what_ripgrep_lists_in_many_tries(
    tree: Path, server: ToolServer, options: dict[str, Any]
) -> None:
    check_glob(tree, server, options)


def check_glob(tree: Path, server: ToolServer, options: dict[str, Any]) -> None:
    assume(not names_folder(tree, options))
    selection = {k: v for k, v in options.items() if k in ("hidden", "noIgnore", "globs", "types")}
    expected = ripgrep.paths(tree, *rg_arguments(selection), "./")
    assert server.call("glob", **selection)["paths"] == expected


several_patterns = st.lists(patterns, min_size=1, max_size=4)


@settings(some, max_examples=40)
@given(several=several_patterns, ignore_case=st.booleans())
@example(several=["loadload", r"\A"], ignore_case=False)
@example(several=["loadload", r"\z"], ignore_case=False)
@example(several=[r"\Aload", r"load\z", "x"], ignore_case=True)
def test_multi_grep_finds_what_ripgrep_finds(
    tree: Path, server: ToolServer, several: list[str], ignore_case: bool
) -> None:
    check_multi_grep(tree, server, several, ignore_case)


@pytest.mark.soak
@many
@given(several=several_patterns, ignore_case=st.booleans())
def test_multi_grep_finds_what_ripgrep_finds_in_many_tries(
    tree: Path, server: ToolServer, several: list[str], ignore_case: bool
) -> None:
    check_multi_grep(tree, server, several, ignore_case)


def check_multi_grep(tree: Path, server: ToolServer, several: list[str], ignore_case: bool) -> None:
    words = ["-i"] if ignore_case else []
    for pattern in several:
        words += ["-e", pattern]
    try:
        # Joined, patterns may be valid that are not by themselves: `(` and `)`.
        for pattern in several:
            ripgrep.spans(tree, "-e", pattern, "main.py")
        expected = ripgrep.spans(tree, *words, "./")
    except ripgrep.Rejected:
        with pytest.raises(RpcError):
            server.call("multi_grep", patterns=several, ignoreCase=ignore_case)
        return
    result = server.call("multi_grep", patterns=several, ignoreCase=ignore_case, limit=ALL)
    assert spans(result) == expected
    for match in result["matches"]:
        assert match["patterns"]


@settings(some, max_examples=40)
@given(
    pattern=st.sampled_from(["load", "wide", r"^\w+", "three", "x", "load$"]),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
)
def test_context_is_ripgreps(
    tree: Path, server: ToolServer, pattern: str, before: int, after: int
) -> None:
    words = ["-B", str(before), "-A", str(after), "-g", "!long.txt", "-g", "!*.bin"]
    expected = ripgrep.context_lines(tree, *words, "-e", pattern, "./")
    result = server.call(
        "grep",
        pattern=pattern,
        contextBefore=before,
        contextAfter=after,
        globs=["!long.txt", "!*.bin"],
        limit=ALL,
    )
    found: dict[str, list[str]] = {}
    for match in result["matches"]:
        lines = match.get("before", []) + match.get("after", [])
        if lines:
            found.setdefault(match["path"], []).extend(lines)
    assert found == expected


def test_what_is_found_before_a_late_nul_is_what_ripgrep_finds(tmp_path: Path) -> None:
    """Of a file whose first NUL lies behind ripgrep's buffer the matches before it count. (How
    long that buffer is depends on the lines that the thread read before: one file only.)"""
    root = tmp_path.resolve()
    (root / "late.bin").write_bytes(b"load early line\n" * 5000 + b"\x00load after\n")
    with ToolServer(root) as server:
        result = server.call("multi_grep", patterns=["load", "zzz", "early"], limit=ALL)
    assert spans(result) == ripgrep.spans(root, "-e", "load", "-e", "early", "./")
    assert len(result["matches"]) == 2 * 4096
    assert {tuple(match["patterns"]) for match in result["matches"]} == {(0, 2)}


@pytest.fixture(scope="module")
def big_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ToolServer]]:
    root = tmp_path_factory.mktemp("big").resolve()
    write_tree(root, long_line_bytes=50_000_000)
    with ToolServer(root) as running:
        ripgrep.bound_memory(running.process.pid)
        yield root, running


@pytest.mark.soak
@settings(many, max_examples=100)
@given(pattern=patterns, options=flags)
@example(pattern=".", options={})
@example(pattern="", options={})
@example(pattern="x", options={"multiline": True})
def test_a_line_of_50_mb_makes_no_difference(
    big_line: tuple[Path, ToolServer], pattern: str, options: dict[str, Any]
) -> None:
    tree, server = big_line
    assume(not names_folder(tree, options))
    assume(not (options.get("literal") and "\n" in pattern))
    words = [*rg_arguments(options), "-e", pattern, "./"]
    try:
        expected = ripgrep.count(tree, *words)
    except ripgrep.Rejected:
        with pytest.raises(RpcError):
            server.call("grep", pattern=pattern, **options)
        return
    counts = server.call("grep", pattern=pattern, countOnly=True, **options)
    assert counts["total"] == expected
    result = server.call("grep", pattern=pattern, limit=ALL, **options)
    if expected <= FEW:
        assert spans(result) == ripgrep.spans(tree, *words)
    else:
        assert 0 < result["total"] <= expected
        assert result["truncated"] == (result["total"] < expected)


def test_an_answer_ends_before_it_takes_the_memory(tmp_path: Path) -> None:
    """Every byte of a file matches, and nothing limits the matches but their size."""
    root = tmp_path.resolve()
    (root / "a.txt").write_bytes((b"x" * 2000 + b"\n") * 1000)
    (root / "z.txt").write_bytes(b"x\n")
    with ToolServer(root) as server:
        ripgrep.bound_memory(server.process.pid)
        cut = server.call("grep", pattern="x", limit=ALL)
        assert cut["truncated"]
        assert 10_000 < cut["total"] < 2_000_000
        assert {match["path"] for match in cut["matches"]} == {"a.txt"}
        offsets = [match["byteOffset"] for match in cut["matches"][:4001:2000]]
        assert offsets == [0, 2001, 4002]
        assert server.call("grep", pattern="x", countOnly=True)["total"] == 2_000_001
        assert server.call("grep", pattern="x", limit=2_000)["total"] == 2_000
        with pytest.raises(RpcError, match="larger than 64 MiB"):
            server.call("replace", pattern="x", replacement="y")


def test_a_file_too_large_to_be_held_is_searched_where_it_lies(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    with (root / "huge.txt").open("wb") as stream:
        stream.write(b"load first\n" + b"y\n" * 1000)
        for _ in range(130):
            stream.write((b"z" * 1023 + b"\n") * 1024)
        stream.write("load é last\n".encode())
    with ToolServer(root) as server:
        result = server.call("grep", pattern="load", limit=ALL)
        assert spans(result) == ripgrep.spans(root, "-e", "load", "./")
        assert result["total"] == 2
        assert psutil.Process(server.process.pid).memory_info().rss < 60_000_000
        with pytest.raises(RpcError, match="too large"):
            server.call("read", path="huge.txt")
        [skipped] = server.call("replace", pattern="load", replacement="x")["skipped"]
        assert skipped == {"path": "huge.txt", "reason": "too large"}


def test_a_pipe_in_a_files_place_does_not_hold_a_call_up(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    os.mkfifo(root / "pipe")
    with ToolServer(root) as server, pytest.raises(RpcError, match="not a regular file"):
        server.call("read", path="pipe")


def test_a_text_too_large_to_be_parsed_is_told(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "big.py").write_text("foo(1)\n" * 700_000)
    (root / "small.py").write_text("foo(1)\n")
    with ToolServer(root) as server:
        found = server.call("ast_search", pattern="foo($A)", language="python")
        assert (found["total"], found["truncated"]) == (1, True)
        rewritten = server.call("ast_rewrite", pattern="foo($A)", rewrite="bar($A)")
        assert [file["path"] for file in rewritten["files"]] == ["small.py"]
        [skipped] = rewritten["skipped"]
        assert skipped == {"path": "big.py", "reason": "too large to be parsed"}
