"""What each tool answers, against the real binary."""

from __future__ import annotations

import difflib
import hashlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.tool_server.client import RpcError, ToolServer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def running(root: Path) -> Iterator[ToolServer]:
    with ToolServer(root) as server:
        yield server


def apply(text: str, edits: list[dict[str, Any]]) -> str:
    """Apply edits in code points, as editors and the engine do."""
    for edit in reversed(edits):
        text = text[: edit["start"]] + edit["newText"] + text[edit["end"] :]
    return text


def rewritten(path: Path, change: dict[str, Any]) -> str:
    """The file's new text, after checking that the edits agree with each other and the file."""
    data = path.read_bytes()
    assert change["sha256"] == hashlib.sha256(data).hexdigest()
    text = data.decode().removeprefix("\ufeff")
    for edit in change["edits"]:
        by_bytes = text.encode()[edit["startByte"] : edit["endByte"]].decode()
        assert by_bytes == text[edit["start"] : edit["end"]]
    return apply(text, change["edits"])


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


def test_replace_keeps_marks_line_ends_and_characters(root: Path, running: ToolServer) -> None:
    cases = {
        "plain.py": "assertEquals(1)\nx = 'ünï𝄞' # assertEquals(2)\n",
        "crlf.py": "a = 1  \r\nb = 2\t\r\n\r\nassertEquals  \r\n",
        "bom.py": "\ufeffassertEquals('é')  \n",
        "none.py": "nothing here\n",
    }
    for name, text in cases.items():
        (root / name).write_bytes(text.encode())
    result = running.call(
        "replace", pattern=r"\bassertEquals\b|[ \t]+$", replacement="", newText=True
    )
    changes = {change["path"]: change for change in result["files"]}
    assert set(changes) == {"plain.py", "crlf.py", "bom.py"}
    assert rewritten(root / "crlf.py", changes["crlf.py"]) == "a = 1\r\nb = 2\r\n\r\n\r\n"
    assert rewritten(root / "bom.py", changes["bom.py"]) == "('é')\n"
    assert changes["bom.py"]["bom"]
    assert rewritten(root / "plain.py", changes["plain.py"]) == "(1)\nx = 'ünï𝄞' # (2)\n"
    assert result["selected"] == 4
    for change in changes.values():
        text = cases[change["path"]].removeprefix("\ufeff")
        assert change["newText"] == apply(text, change["edits"])
    for name, text in cases.items():
        assert (root / name).read_bytes() == text.encode(), "nothing is written"


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ({"pattern": r"(\w+)-(\w+)", "replacement": "$2-$1"}, "ab-cd\n", "cd-ab\n"),
        ({"pattern": r"(?P<n>\d+)", "replacement": "${n}0"}, "x1 y22\n", "x10 y220\n"),
        ({"pattern": "cost", "replacement": "$$5"}, "cost\n", "$5\n"),
        ({"pattern": "a.b", "replacement": "$1", "literal": True}, "a.b axb\n", "$1 axb\n"),
        ({"pattern": "load", "replacement": "x", "word": True}, "load reload\n", "x reload\n"),
        ({"pattern": "ß", "replacement": "ss", "ignoreCase": True}, "Straße\n", "Strasse\n"),
        ({"pattern": r"\s+", "replacement": " "}, "a  \t b\n\nc\n", "a b\n\nc\n"),
        ({"pattern": r"\s+", "replacement": " ", "multiline": True}, "a  \n\n b\n", "a b "),
        ({"pattern": "^", "replacement": "# "}, "a\r\nb\r\n", "# a\r\n# b\r\n"),
        ({"pattern": "$", "replacement": ";"}, "a\nb", "a;\nb;"),
        ({"pattern": "x*", "replacement": "-"}, "a\r\nö\r\n", "-a-\r\n-ö-\r\n"),
        ({"pattern": "a\nb", "replacement": "c", "literal": True}, "a\nb\n", "c\n"),
    ],
)
def test_replacements(
    root: Path, running: ToolServer, options: dict[str, Any], before: str, after: str
) -> None:
    (root / "f.txt").write_bytes(before.encode())
    [change] = running.call("replace", **options)["files"]
    assert rewritten(root / "f.txt", change) == after


def test_what_cannot_be_edited_is_told_if_it_matches(root: Path, running: ToolServer) -> None:
    (root / "latin1.py").write_bytes(b"# caf\xe9\nprint(1)\n")
    (root / "wide.py").write_bytes(b"\xff\xfe" + "print(2)\n".encode("utf-16-le"))
    (root / "other.py").write_bytes(b"# caf\xe9\n")
    for tool, arguments in [
        ("replace", {"pattern": r"print\(", "replacement": "log("}),
        ("ast_rewrite", {"pattern": "print($A)", "rewrite": "log($A)", "language": "python"}),
    ]:
        result = running.call(tool, **arguments)
        assert result["files"] == []
        assert [s["path"] for s in result["skipped"]] == ["latin1.py", "wide.py"]
        assert all("UTF-8" in s["reason"] for s in result["skipped"])


REWRITES = [
    ("python", "a.py", "print($A)", "log.info($A)", "def f():\n    print('é')\n", "log.info('é')"),
    ("py", "b.py", "assertEquals($$$A)", "eq($$$A)", "assertEquals(1, 2)\n", "eq(1, 2)"),
    ("js", "a.js", "var $A = $B", "let $A = $B", "var x = 1;\n", "let x = 1;"),
    ("ts", "a.ts", "foo($A as any)", "foo($A)", "foo(x as any);\n", "foo(x);"),
    ("tsx", "a.tsx", "<B>$A</B>", "<C>$A</C>", "const x = <B>hi</B>;\n", "<C>hi</C>"),
    ("rust", "a.rs", "$A.unwrap()", "$A?", "fn f() { x.unwrap(); }\n", "x?;"),
    ("go", "a.go", "fmt.Println($A)", "log.Print($A)",
     "package m\nfunc f() { fmt.Println(1) }\n", "log.Print(1)"),
    ("java", "A.java", "$A.equals($B)", "Objects.equals($A, $B)",
     'class A { boolean f(String a) { return a.equals("x"); } }\n', 'Objects.equals(a, "x")'),
    ("c", "a.c", "free($A);", "release($A);", "void f(void) { free(p); }\n", "release(p);"),
    ("c++", "a.cpp", "new $T()", "make<$T>()", "auto x = new Foo();\n", "make<Foo>()"),
    ("c#", "a.cs", "Console.WriteLine($A)", "Log($A)",
     "class A { void F() { Console.WriteLine(1); } }\n", "Log(1)"),
    ("ruby", "a.rb", "puts $A", "log $A", "puts 1\n", "log 1"),
    ("php", "a.php", "strlen($A)", "mb_strlen($A)", "<?php echo strlen($x);\n", "mb_strlen($x)"),
    ("sh", "a.sh", "echo $A", "printf $A", "echo hello\n", "printf hello"),
    ("json", "a.json", '"a": $V', '"b": $V', '{"a": 1}\n', '"b": 1'),
    ("yaml", "a.yaml", "a: $V", "b: $V", "a: 1\n", "b: 1"),
    ("html", "a.html", "<b>$A</b>", "<i>$A</i>", "<p><b>x</b></p>\n", "<i>x</i>"),
    ("css", "a.css", "color: $C", "background: $C", "a { color: red; }\n", "background: red"),
]  # fmt: skip


@pytest.mark.parametrize("case", REWRITES, ids=lambda case: case[1])
def test_code_is_rewritten_by_its_tree_in_every_language(
    root: Path, running: ToolServer, case: tuple[str, ...]
) -> None:
    language, name, pattern, rewrite, before, expected = case
    (root / name).write_text(before)
    result = running.call("ast_rewrite", pattern=pattern, rewrite=rewrite, language=language)
    assert len(result["files"]) == 1, result
    assert expected in rewritten(root / name, result["files"][0])
    syntax = running.call("syntax", paths=[name])
    assert (syntax["files"][0]["errors"], syntax["errors"]) == (0, 0)


def test_the_outermost_of_nested_matches_is_rewritten(root: Path, running: ToolServer) -> None:
    (root / "a.py").write_text("print(print(1), print(2))\nprint(3)\n")
    result = running.call("ast_rewrite", pattern="print($$$A)", rewrite="p($$$A)")
    assert rewritten(root / "a.py", result["files"][0]) == "p(print(1), print(2))\np(3)\n"
    found = running.call("ast_search", pattern="print($$$A)", language="python")
    assert [m["text"] for m in found["matches"]] == [
        "print(print(1), print(2))", "print(1)", "print(2)", "print(3)",
    ]  # fmt: skip
    assert found["matches"][0]["variables"] == {"A": ["print(1)", "print(2)"]}


def test_a_search_by_tree_gives_the_same_cold_and_warm(root: Path, running: ToolServer) -> None:
    for number in range(30):
        (root / f"{number}.py").write_text(f"x = foobar(1)\nfoo({number})\nfoo (y)\n# foo(no)\n")
    first = running.call("ast_search", pattern="foo($A)", language="python")
    assert first["total"] == 60
    assert running.call("ast_search", pattern="foo($A)", language="python") == first
    (root / "3.py").write_text("foo(z)\n")
    assert running.call("ast_search", pattern="foo($A)", language="python")["total"] == 59


def test_syntax_errors_are_counted_and_placed(root: Path, running: ToolServer) -> None:
    (root / "bad.py").write_text("x = 1\ndef f(:\n    pass\n")
    (root / "good.py").write_text("x = 1\n")
    (root / "notes.txt").write_text("not code (\n")
    result = running.call("syntax")
    by_path = {file["path"]: file for file in result["files"]}
    assert set(by_path) == {"bad.py", "good.py"}
    assert by_path["good.py"]["errors"] == 0
    assert by_path["bad.py"]["errors"] >= 1
    assert by_path["bad.py"]["first"][0]["line"] == 2
    mended = running.call("syntax", documents=[{"path": "bad.py", "text": "x = 1\n"}])
    assert mended["errors"] == 0


texts = st.text("ab\n\r é𝄞", max_size=40)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=texts, after=texts)
def test_edits_and_diffs_turn_one_text_into_the_other(
    server: ToolServer, before: str, after: str
) -> None:
    [file] = server.call("edits", before=before, after=after)["files"]
    assert apply(before, file["edits"]) == after
    if before == after:
        assert file["edits"] == []
    result = server.call("diff", files=[{"path": "f", "before": before, "after": after}])
    assert patched(before, result["files"][0]["hunks"], after) == after.split("\n")


def patched(before: str, hunks: list[dict[str, Any]], after: str) -> list[str]:
    """Apply hunks to the lines of a text."""
    lines = before.split("\n")
    out: list[str] = []
    at = 0
    for hunk in hunks:
        start = hunk["oldStart"] - (1 if hunk["oldLines"] else 0)
        out += lines[at:start]
        kept = [line[1:] for line in hunk["lines"] if line[0] in " +"]
        assert len(kept) == hunk["newLines"]
        out += kept
        at = start + hunk["oldLines"]
    rest = lines[at:]
    # A text that ends in a line break has an empty piece after it.
    if after.endswith("\n") or not after:
        return [*out, *rest] if rest else [*out, ""]
    return [*out, *rest] if rest != [""] else out


def test_a_diff_is_what_difflib_makes_of_a_simple_change(server: ToolServer) -> None:
    before = "".join(f"line {n}\n" for n in range(20))
    after = before.replace("line 7\n", "line seven\n").replace("line 15\n", "")
    result = server.call("diff", before=before, after=after, path="f.txt")
    expected = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), "a/f.txt", "b/f.txt"
    )
    assert result["diff"] == "".join(expected)


OUTLINES: dict[str, tuple[str, list[tuple[str, str, str | None]]]] = {
    "a.py": (
        "class A:\n    def f(self): pass\n    class B: pass\nasync def g(): pass\n",
        [("class", "A", None), ("method", "f", "A"), ("class", "B", "A"), ("function", "g", None)],
    ),
    "a.ts": (
        "interface I { m(): void }\nclass K { n() {} }\nconst h = () => 1;\nenum E { X }\n",
        [("interface", "I", None), ("method", "m", "I"), ("class", "K", None),
         ("method", "n", "K"), ("function", "h", None), ("enum", "E", None)],
    ),
    "a.js": ("function f() {}\nclass K { m() {} }\n",
             [("function", "f", None), ("class", "K", None), ("method", "m", "K")]),
    "a.rs": ("struct S;\nimpl S { fn f(&self) {} }\nmod m { fn g() {} }\n",
             [("struct", "S", None), ("impl", "S", None), ("method", "f", "S"),
              ("module", "m", None), ("function", "g", "m")]),
    "a.go": ("package p\ntype T struct{}\nfunc (t T) M() {}\nfunc F() {}\n",
             [("type", "T", None), ("method", "M", None), ("function", "F", None)]),
    "A.java": ("class A { A() {} void m() {} enum E { X } }\n",
               [("class", "A", None), ("constructor", "A", "A"), ("method", "m", "A"),
                ("enum", "E", "A")]),
    "a.c": ("struct s { int x; };\nstatic int *f(int a) { return 0; }\n",
            [("struct", "s", None), ("function", "f", None)]),
    "a.cpp": ("namespace n { class C { void m() {} }; }\nint n::g() { return 1; }\n",
              [("namespace", "n", None), ("class", "C", "n"), ("method", "m", "n.C"),
               ("function", "n::g", None)]),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTLINES)
def test_outlines(root: Path, running: ToolServer, name: str) -> None:
    source, expected = OUTLINES[name]
    (root / name).write_text(source)
    [file] = running.call("outline", path=name)["files"]
    symbols = [(s["kind"], s["name"], s.get("container")) for s in file["symbols"]]
    assert symbols == expected


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
