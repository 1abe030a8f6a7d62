"""Code is searched, rewritten, checked and outlined by its tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.tool_server.client import ToolServer
from core.tool_server.edited import rewritten

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
