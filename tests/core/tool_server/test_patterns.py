"""Pieces of code mean as patterns what they mean in their place, with or without an end."""

from __future__ import annotations

import pytest

from core.tool_server.client import ToolServer

CASES = [
    ("c", "free($A)", "void f(void) { free(p); if (x) free(q); int y = 2 + free(r); }", 3),
    ("c", "free($A);", "void f(void) { free(p); if (x) free(q); int y = 2 + free(r); }", 2),
    ("c", "printf($$$A)", 'void f(void) { printf("a", 1); }', 1),
    ("c", "int $X = $Y", "void f(void) { int a = 1; }\nint b = 2;\n", 2),
    ("c", "return $X", "int f(void) { return 1; }\nint g(void) { return 2; }", 2),
    ("c", "int $F(void) { $$$B }", "int f(void) { return 1; }\nint g(void) { return 2; }", 2),
    ("c", "struct $S { $$$M }", "struct a { int x; };", 1),
    ("c", "$A == NULL", "void f(void) { if (a == NULL) b(); }", 1),
    ("c", "for ($I; $C; $N) $B", "void f(void) { for (i = 0; i < 1; i++) b(); }", 1),
    ("c", "#define $X $Y", "#define A 1\n", 1),
    ("c", "(char *) $X", "void f(void) { a = (char *) b; }", 1),
    ("c++", "std::move($A)", "void f() { g(std::move(a)); std::move(b); }", 2),
    ("c++", "$O.push_back($A)", "void f() { v.push_back(1); }", 1),
    ("c++", "delete $A", "void f() { delete p; }", 1),
    ("c++", "std::vector<$T>", "void f() { std::vector<int> v; }", 1),
    ("c++", "class $C { $$$B }", "class A { int x; };", 1),
    ("c++", "static_cast<$T>($A)", "void f() { int a = static_cast<int>(b); }", 1),
    ("java", "foo($A)", "class A { void f() { foo(1); int x = foo(2); } }", 2),
    ("java", "return $X", "class A { int f() { return 1; } }", 1),
    ("java", "int $X = $Y", "class A { void f() { int a = 1; } }", 1),
    ("java", "throw new $E($$$A)", "class A { void f() { throw new X(1); } }", 1),
    ("java", "void $F($$$A) { $$$B }", "class A { void f() { } }", 1),
    ("rust", "foo($A)", "fn f() { foo(1); let x = foo(2); foo(3) }", 3),
    ("rust", "let $X = $Y", "fn f() { let a = 1; }", 1),
    ("rust", "println!($$$A)", 'fn f() { println!("a"); }', 1),
    ("rust", "Some($X) => $Y", "fn f() { match a { Some(x) => 1, None => 2 } }", 1),
    ("c#", "foo($A)", "class A { void F() { foo(1); int x = foo(2); } }", 2),
    ("c#", "return $X", "class A { int F() { return 1; } }", 1),
    ("go", "return $X", "package p\nfunc f() int { return 1 }", 1),
    ("js", "return $X", "function f() { return 1; }", 1),
]


@pytest.mark.parametrize(("language", "pattern", "code", "matches"), CASES)
def test_a_piece_of_code_is_found(
    server: ToolServer, language: str, pattern: str, code: str, matches: int
) -> None:
    result = server.call(
        "ast_search",
        pattern=pattern,
        language=language,
        paths=["piece"],
        documents=[{"path": "piece", "text": code}],
    )
    assert result["total"] == matches, result


def test_a_call_in_c_is_rewritten_wherever_it_stands(server: ToolServer) -> None:
    code = "void f(void) { free(p); int x = free(q); }\n"
    result = server.call(
        "ast_rewrite",
        pattern="free($A)",
        rewrite="release($A)",
        language="c",
        paths=["piece.c"],
        documents=[{"path": "piece.c", "text": code}],
        newText=True,
    )
    assert result["files"][0]["newText"] == code.replace("free", "release")
