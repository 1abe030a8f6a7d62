from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.agents.grammar import (
    TITLE_LENGTH,
    check_step,
    parse_statement,
    parse_task,
    plan_from_text,
)
from orchestrator_core.agents.verbs import (
    Check,
    Fix,
    Format,
    Rename,
    Replace,
    Rewrite,
    Run,
    Verb,
    describe,
)
from orchestrator_core.errors import TaskTextError


def word(old: str, new: str, *globs: str) -> Replace:
    return Replace(old, new, literal=True, word=True, globs=globs)


CANONICAL: list[tuple[str, Verb]] = [
    ("rename load -> read_all", Rename("load", "read_all")),
    ("rename load → read_all in src", Rename("load", "read_all", ("src",))),
    ("rename load=>read_all", Rename("load", "read_all")),
    ("rename Foo.bar -> Foo.baz", Rename("Foo.bar", "Foo.baz")),
    (
        r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py",
        Replace(r"\bassertEquals\(", "assertEqual(", globs=("tests/**/*.py",)),
    ),
    (r"replace /\bprint\(/ -> log.info(", Replace(r"\bprint\(", "log.info(")),
    (r"replace /a\/b/i -> c/d", Replace("a/b", "c/d", ignore_case=True)),
    ("replace /^x$/mw -> y", Replace("^x$", "y", word=True, multiline=True)),
    ("replace /usr/bin/ -> /opt in *.sh", Replace("usr/bin", "/opt", globs=("*.sh",))),
    ("replace /a -> b/ -> c", Replace("a -> b", "c")),
    ("replace /x then y/ -> z", Replace("x then y", "z")),
    (r"replace /(\w+) (\w+)/ -> \2 $1", Replace(r"(\w+) (\w+)", "${2} $1")),
    (r"replace /;/ -> ;\n", Replace(";", ";\n")),
    ("replace /x/ -> once in a while", Replace("x", "once in a while")),
    ('replace "a in b" -> "c then d"', Replace("a in b", "c then d", literal=True)),
    ('replace "a"/i -> ""', Replace("a", "", literal=True, ignore_case=True)),
    (r"replace `C:\new` -> `C:\old`", Replace(r"C:\new", r"C:\old", literal=True)),
    ("replace foo( -> bar(", Replace("foo(", "bar(", literal=True)),
    ("rewrite print($A) -> log.info($A)", Rewrite("print($A)", "log.info($A)")),
    ("rewrite python: print($A) -> log.info($A)", Rewrite("print($A)", "log.info($A)", "python")),
    ("rewrite f($A) -> g($A) lang js", Rewrite("f($A)", "g($A)", "javascript")),
    ("rewrite f($A) -> g($A) lang js in src", Rewrite("f($A)", "g($A)", "javascript", ("src",))),
    ("rewrite f($A) -> g($A) in src lang c#", Rewrite("f($A)", "g($A)", "csharp", ("src",))),
    ("rewrite $A in $B -> has($B, $A)", Rewrite("$A in $B", "has($B, $A)")),
    ("rewrite has($B, $A) -> $A in $B in src", Rewrite("has($B, $A)", "$A in $B", None, ("src",))),
    ("rewrite `f() -> i32` -> `g() -> i32`", Rewrite("f() -> i32", "g() -> i32")),
    ('rewrite `"a"` -> `"b"`', Rewrite('"a"', '"b"')),
    ("rewrite ```\nif $A:\n    $B\n``` -> `$B`", Rewrite("if $A:\n    $B", "$B")),
    ("fix", Fix()),
    ("fix E,F,I", Fix(("E", "F", "I"))),
    ("fix E F401 and I in src, tests", Fix(("E", "F401", "I"), ("src", "tests"))),
    ("format", Format()),
    ("format in src", Format(("src",))),
    ("run pytest -q", Run("pytest -q")),
    ("run pytest -q in tests", Run("pytest -q", ("tests",))),
    ("run \"pytest -k 'a then b'\"", Run("pytest -k 'a then b'")),
    ("run for f in *.py; do echo $f; done", Run("for f in *.py; do echo $f; done")),
    ("check", Check()),
    ("check in src tests/**", Check(("src", "tests/**"))),
]

PLAIN: list[tuple[str, Verb]] = [
    ("replace print with logging.info in src", word("print", "logging.info", "src")),
    ("replace all occurrences of foo by bar", word("foo", "bar")),
    ("change foo to bar", word("foo", "bar")),
    ("replace don't with do_not", Replace("don't", "do_not", literal=True)),
    ("replace 'foo' with 'bar'", Replace("foo", "bar", literal=True)),
    ("use logging.info instead of print in src", word("print", "logging.info", "src")),
    ("In src, replace foo with bar", word("foo", "bar", "src")),
    (
        "replace /fo+/ with bar in the src and tests folders",
        Replace("fo+", "bar", globs=("src", "tests/**")),
    ),
    ("rename the function load to read_all", Rename("load", "read_all")),
    ("rename class Foo to Bar in src", Rename("Foo", "Bar", ("src",))),
    ("rename the load function to read_all everywhere", Rename("load", "read_all")),
    ("Please rename `foo()` to `bar()`.", Rename("foo", "bar")),
    ("change the name of foo to bar", Rename("foo", "bar")),
    ("rename foo to bar in the file src/a.py", Rename("foo", "bar", ("src/a.py",))),
    ("fix lint in tests", Fix((), ("tests",))),
    ("fix lint errors", Fix()),
    ("fix all", Fix()),
    ("Fix what the linter finds", Fix()),
    ("fix the F401 warnings in the whole project", Fix(("F401",))),
    ("fix unused imports", Fix(("F401",))),
    ("fix formatting", Format()),
    ("sort imports", Fix(("I",))),
    ("organize the imports in src", Fix(("I",), ("src",))),
    ("remove unused imports in the tests folder", Fix(("F401",), ("tests/**",))),
    ('remove "debugger;" in **/*.js', Replace("debugger;", "", literal=True, globs=("**/*.js",))),
    ("modernize the syntax", Fix(("UP",))),
    ("reformat the code", Format()),
    ("format src", Format(("src",))),
    ("format src and tests", Format(("src", "tests"))),
    ("format all js files", Format(("**/*.js",))),
    ("format python files in src", Format(("src/**/*.py", "src/**/*.pyi"))),
    ("run the tests with pytest -q", Run("pytest -q")),
    ("execute make test", Run("make test")),
    ("run the linter", Check()),
    ("check everything", Check()),
    ("lint src", Check(("src",))),
    ("fix lint in src/(group)/[id]/{a,b}.ts", Fix((), ("src/(group)/[id]/{a,b}.ts",))),
    ('fix lint in "my files" and src', Fix((), ("my files", "src"))),
]


@pytest.mark.parametrize(("text", "verb"), CANONICAL + PLAIN)
def test_a_statement_means_its_verb(text: str, verb: Verb):
    assert parse_statement(text) == verb


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fix E then format", ["fix E", "format"]),
        ("fix E, then format and then check", ["fix E", "format", "check"]),
        ("fix E\nformat\r\n\n\ncheck\n", ["fix E", "format", "check"]),
        ("1. fix E\n2. format\n10) check", ["fix E", "format", "check"]),
        ("1. fix E 2. format 3. check", ["fix E", "format", "check"]),
        ("- fix E\n* format\n• check\n- [ ] fix F", ["fix E", "format", "check", "fix F"]),
        ("fix lint and format", ["fix", "format"]),
        ("rename a to b, fix lint and run pytest", ["rename a -> b", "fix", "run pytest"]),
        ("First, rename a to b, then fix lint.", ["rename a -> b", "fix"]),
        ("replace /a/ -> b, then fix", ["replace /a/ -> b", "fix"]),
        ('replace "x then y" -> z then fix', ['replace "x then y" -> "z"', "fix"]),
    ],
)
def test_statements_are_joined(text: str, expected: list[str]):
    assert [describe(statement.verb) for statement in parse_task(text)] == expected


def test_statements_know_where_they_are():
    text = "1. fix E\n2. replace /then/ -> b then  format"
    statements = parse_task(text)
    assert [statement.text for statement in statements] == [
        "fix E",
        "replace /then/ -> b",
        "format",
    ]
    assert all(text[each.start : each.end] == each.text for each in statements)


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("repalce foo with bar", "repalce", "Did you mean `replace`"),
        ("fix E then renmae a -> b", "renmae", "Did you mean `rename`"),
        ("add docstrings to all functions", "add", "does not know how to `add`"),
        ("rewrite the parser in Rust", "the parser in Rust", "into what"),
        ("rewrite fn f() -> i32 -> fn g() -> i32", "->", "two arrows"),
        ('rewrite "foo" -> "bar"', '"foo"', "string of the program"),
        ("rewrite pyhton: f($A) -> g($A)", "pyhton", "Did you mean `python`"),
        ("rewrite f($A) -> g($A) lang kotlin", "kotlin", "not a language"),
        ("replace a -> b -> c", "->", "two arrows"),
        (r"replace \bfoo\b -> bar", r"\bfoo\b", "regular expression"),
        ("replace foo.* with bar", "foo.*", "regular expression"),
        ("replace foo bar with baz", "foo bar", "not clear which text"),
        ("replace /foo/x -> bar", "x", "not a flag"),
        ("replace // -> x", "//", "nothing to look for"),
        ("replace /foo( -> bar", "/", "closing `/`"),
        ('replace "foo -> bar', '"', 'closing `"`'),
        ("replace /a/ -> b in c in d", "in c", "Put the text in quotes"),
        ("replace /a/ -> b and fix lint", "and fix", "Write `then`"),
        ("run make clean and format", "and format", "Write `then`"),
        ("replace /a/ ->", "", "new text is missing"),
        ("change tabs to spaces", "tabs", "Put it in quotes"),
        ("rename foo bar to baz", "foo bar", "not a name"),
        ("rename foo.py to bar.py", "foo.py", "looks like a file"),
        ("rename a -> a", "a", "the old one"),
        ("fix the bug in parser.py", "bug", "neither a rule"),
        ("fix imports", "imports", "sort imports"),
        ("fix lint in a way that works", "in a way that works", "which files"),
        ("fix E in ../other", "fix E in ../other", "outside the workspace"),
        ("fix E in /etc", "fix E in /etc", "outside the workspace"),
        ("format the dates nicely", "the dates nicely", "nothing but files"),
        ("run the tests", "the tests", "which command"),
        ("fix E then", "then", "missing"),
        ("fix E then then format", "then", "missing"),
    ],
)
def test_what_is_not_clear_is_refused_at_its_place(text: str, where: str, reason: str):
    with pytest.raises(TaskTextError) as caught:
        parse_task(text)
    error = caught.value
    assert reason in error.reason
    assert text[error.start : error.end] == where


def test_a_refusal_shows_the_place_the_verbs_and_the_way_to_a_model():
    with pytest.raises(TaskTextError) as caught:
        parse_task("fix E\nmake\tit faster please")
    message = str(caught.value)
    lines = message.splitlines()
    assert lines[1:3] == ["  make it faster please", "  ^^^^"]
    for verb in ("rename", "replace", "rewrite", "fix", "format", "run", "check"):
        assert f"\n  {verb}" in message
    assert "--backend" in message
    assert "orchestrator.backend" in message


def test_a_long_line_is_quoted_around_the_place():
    with pytest.raises(TaskTextError) as caught:
        parse_task("replace " + "x " * 300 + "with y")
    quotation, carets = str(caught.value).splitlines()[1:3]
    assert len(quotation) < 120
    assert quotation.endswith("…")
    assert quotation[carets.index("^")] == "x"


@pytest.mark.parametrize("text", ["", "  ", "\n\n", "- \n2. "])
def test_an_empty_text_has_its_own_message(text: str):
    with pytest.raises(TaskTextError, match="The task is empty"):
        parse_task(text)


def read_or_refuse(text: str) -> None:
    error = check_step(text)
    if error is not None:
        assert 0 <= error.start <= error.end <= len(text)
        return
    for statement in parse_task(text):
        assert parse_statement(describe(statement.verb)) == statement.verb


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str):
    read_or_refuse(text)


WORDS = [
    "rename", "replace", "rewrite", "fix", "format", "run", "check", "then", "in", "and", "to",
    "with", "->", "=>", "/a/", '"b"', "`c`", "src", "tests/**/*.py", "foo", "bar", "the", "all",
    "files", "python", ":", ",", ".", "lang", "js", "E,F", "lint", "imports", "unused", "remove",
    "everywhere", "$A", "print(", ")", "'", '"', "`", "/", "\n", "1.", "2.", "-", "=", "please",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
def test_any_words_of_the_language_are_read_or_refused(text: str):
    read_or_refuse(text)


def test_a_long_hostile_text_is_refused_in_time():
    for part in ("fix then ", '"', "`", "/", "replace /", "in ", "a, ", "and fix ", "\\", "-> "):
        error = check_step(part * (40_000 // len(part)))
        assert error is None or isinstance(error, TaskTextError)


def test_a_plan_keeps_the_order_of_the_person():
    plan = plan_from_text("rename load -> read_all in src\nthen fix E,F\ncheck")
    assert [task.id for task in plan.tasks] == ["T1", "T2", "T3"]
    assert [task.depends for task in plan.tasks] == [(), ("T1",), ("T2",)]
    assert [task.files for task in plan.tasks] == [("src",), (), ()]
    assert [step.text for task in plan.tasks for step in task.steps] == [
        "rename load -> read_all in src",
        "fix E,F",
        "check",
    ]
    assert plan.title == "rename load -> read_all in src then fix E,F check"


def test_titles_are_short_while_steps_are_whole():
    long = "x" * 200
    (task,) = plan_from_text(f"replace {long} with y").tasks
    assert len(task.title) <= TITLE_LENGTH
    assert parse_statement(task.steps[0].text) == word(long, "y")


def test_a_step_is_checked_without_raising():
    assert check_step("fix E then format") is None
    error = check_step("do something")
    assert error is not None
    assert error.reason
    assert (error.start, error.end) == (0, 2)
