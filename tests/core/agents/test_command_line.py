"""Shell lines: every program that a shell would run is found, or the line is unclear."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator_core.agents.command_line import read_command
from orchestrator_core.runtime.command import run_command
from orchestrator_core.runtime.confinement import Confinement
from orchestrator_core.runtime.programs import tool_server

PROGRAMS = ("alpha", "beta", "gamma", "delta")
PIECES = (
    *PROGRAMS,
    *(
        "alpha",
        "'beta'",
        '"gamma"',
        "\\delta",
        'al"ph"a',
        "be't'a",
        "al\\\npha",
        "x=1",
        "$x",
        '"$x"',
    ),
    *(";", "&&", "||", "|", "&", "\n", "(", ")", "{ ", " }", "! ", "$(", ")", "`", "`", "'", '"'),
    *("if ", " then ", " else ", " fi", "for i in 1 2; do ", " done", "while false; do "),
    *("case a in a) ", ";; esac", "<<EOF\n", "\nEOF\n", "#", "> out", "2>&1", "< /dev/null", "\\"),
    *(
        "sh -c ",
        "env ",
        "command ",
        "xargs ",
        "exec ",
        "nice ",
        "time ",
        "eval ",
        "${x:-",
        "}",
        "$((",
    ),
    *(
        "f() { ",
        "; }",
        " f ",
        "x=alpha",
        "$((1",
        "))",
        "[ a ]",
        "[[ a ]]",
        "\t",
        "  ",
        "-a",
        "1",
        "echo ",
    ),
)


class Shells:
    """Real shells whose programs only note that they ran."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shells-"))
        self.log = self.folder / "log"
        programs = self.folder / "bin"
        programs.mkdir()
        for name in PROGRAMS:
            (programs / name).write_text(f"#!/bin/sh\necho {name} >> {self.log}\n")
            (programs / name).chmod(0o755)
        self.environment = {"PATH": f"{programs}:{os.defpath}", "HOME": str(self.folder)}
        self.confinement = Confinement(tool_server())

    def ran(self, shell: str, line: str) -> set[str]:
        self.log.write_text("")
        argv = self.confinement.wrap([shell, "-c", line], [self.folder])
        run_command(argv, cwd=self.folder, env=self.environment, timeout_s=10)
        return set(self.log.read_text().split())


@pytest.fixture(scope="module")
def shells() -> Shells:
    return Shells()


@settings(max_examples=120)
@example(["alpha", " ", "'x\n'", "beta"])
@example(["x=alpha", ";", "$x"])
@example(["env ", "`", "`", "alpha"])
@example(["! ", "! ", "alpha"])
@example(["[ a ]", "#", ";", "alpha"])
@example(["alpha", " <<EOF\n$(", "beta", ")\nEOF\n", "gamma"])
@example(["alpha ", "#", "'\n", "beta", " #'"])
@example(["case a in a) ", "alpha", ";; esac"])
@example(["f() { ", "alpha", "; }", ";", " f "])
@example(["sh -c ", "'", "alpha", ";", "beta", "'"])
@example(["echo ", "alpha", "|", "xargs ", "beta"])
@example(["${x:-", "$(", "alpha", ")", "}"])
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9))
def test_whatever_a_shell_runs_was_found_or_the_line_is_unclear(
    shells: Shells, pieces: list[str]
) -> None:
    line = "".join(pieces)
    read = read_command(line)
    if read.unclear:
        return
    found = {command.words[0] for command in read.commands}
    for shell in ("sh", "bash"):
        assert shells.ran(shell, line) <= found, line


@pytest.mark.soak
@settings(max_examples=5000)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14))
def test_whatever_a_shell_runs_was_found_in_many_more_lines(
    shells: Shells, pieces: list[str]
) -> None:
    test_whatever_a_shell_runs_was_found_or_the_line_is_unclear.hypothesis.inner_test(  # type: ignore[attr-defined]
        shells, pieces
    )


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    read_command(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("git  log\t-1", ["git", "log", "-1"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        (r"a\ b 'it'\''s'", ["a b", "it's"]),
        ('"a\\"b\\$c\\d"', ['a"b$c\\d']),
        ('"  spaced  "', ["  spaced  "]),
        ("alpha \\\n  x", ["alpha", "x"]),
        ("ls $x", ["ls", None]),
        ('ls "a$x"', ["ls", None]),
        ("ls *.py", ["ls", None]),
        ("ls '*.py'", ["ls", "*.py"]),
        ("ls \\*.py", ["ls", "*.py"]),
        ("ls é '日本'", ["ls", "é", "日本"]),
        ("ls '' \"\"", ["ls", "", ""]),
        ("ls 2>&1 >x", ["ls"]),
        ("NO_COLOR=1 ls", ["ls"]),
        ("ls a=b", ["ls", "a=b"]),
    ],
)
def test_words_are_read_as_a_shell_reads_them(line: str, words: list[str | None]) -> None:
    read = read_command(line)
    assert [list(command.words) for command in read.commands] == [words]
    assert not read.unclear


def test_what_a_wrapper_runs_is_a_command_of_its_own() -> None:
    line = "env LANG=C timeout -k 1 5 nice -n 3 sh -c 'ls; find . -name x -exec rm {} +' | xargs -0 cat"
    found = [command.words for command in read_command(line).commands]
    for words in (("ls",), ("rm", None), ("cat", None)):
        assert words in found
    assert not read_command(line).unclear


def test_redirections_are_files_that_the_line_opens() -> None:
    read = read_command("a <in >out 2>>log >|forced >&2 2>&-")
    assert [(r.target.text, r.writes) for r in read.redirects] == [
        *(("in", False), ("out", True), ("log", True), ("forced", True)),
    ]
