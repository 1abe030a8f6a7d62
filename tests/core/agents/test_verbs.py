from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator_core.agents.grammar import parse_statement, parse_task
from orchestrator_core.agents.verbs import (
    LANGUAGES,
    VERB_HELP,
    Check,
    Fix,
    Format,
    Rename,
    Replace,
    Rewrite,
    Run,
    Verb,
    describe,
    patterns,
)
from orchestrator_core.mission.plan import leaves_workspace

NASTY = [
    " -> ", "→", " => ", " in ", " in src", " then ", " and fix", "\n", "\\", "\\n", '"', "'", "`",
    "/", "\\/", "$1", "$$", "${x}", "\\1", ": ", " lang js", "|", " ", "\t", "x", "(", "everywhere",
    " please", "regex ", "1. ", "2. ", "- ", ", then ", "\0", "\u2028", "é", "😀",
]  # fmt: skip
texts = st.one_of(
    st.text(max_size=12),
    st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=4)), max_size=6).map("".join),
)
some_text = texts.filter(bool)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}(\.[A-Za-z_][A-Za-z0-9_]{0,6})?", fullmatch=True)
file_like = (".py", ".js", ".c", ".h", ".go", ".md", ".rb", ".cs", ".ts", ".rs", ".sh")
names = names.filter(lambda name: not name.endswith(file_like))
glob_words = st.sampled_from(
    ["src", "tests/**/*.py", "{a,b}/*.ts", "python", "then", "the", "in", "a b", "file", "src/",
     "x,y", 'q"r', "app/(group)/[id]/p.tsx", "and", ".", "de-ch", "*.py", "src.", "it's", "code"]
)  # fmt: skip
glob = st.one_of(glob_words, some_text).filter(
    lambda value: value.strip() and not leaves_workspace(value)
)
globs = st.lists(glob, max_size=3, unique=True).map(tuple)
rules = st.lists(st.sampled_from(["E", "F401", "I", "ALL", "UP", "PLR0913"]), unique=True)

verbs: st.SearchStrategy[Verb] = st.one_of(
    st.builds(Rename, names, names, globs).filter(lambda verb: verb.old != verb.new),
    st.builds(
        Replace,
        pattern=some_text,
        replacement=texts,
        literal=st.booleans(),
        word=st.booleans(),
        ignore_case=st.booleans(),
        multiline=st.booleans(),
        globs=globs,
    ),
    st.builds(
        Rewrite,
        some_text.filter(str.strip),
        texts,
        st.one_of(st.none(), st.sampled_from(sorted(LANGUAGES))),
        globs,
    ),
    st.builds(Fix, rules.map(tuple), globs),
    st.builds(Format, globs),
    st.builds(Run, some_text.filter(str.strip), globs),
    st.builds(Check, globs),
)


@given(verbs)
@example(Rewrite("print($A)", "log.info($A)", "python", ("src",)))
@example(Replace("a", "", literal=True))
@example(Run("the tests"))
def test_describe_parses_back_to_the_same_verb(verb: Verb):
    assert parse_statement(describe(verb)) == verb


@given(
    st.lists(verbs, min_size=1, max_size=4), st.sampled_from([" then ", "\n", "\n- ", ", then "])
)
def test_described_verbs_can_be_joined(several: list[Verb], joint: str):
    text = joint.join(describe(verb) for verb in several)
    assert [statement.verb for statement in parse_task(text)] == several


@given(verbs)
def test_describe_gives_one_printable_line(verb: Verb):
    line = describe(verb)
    assert len(line.splitlines()) == 1
    assert line == line.strip()


@pytest.mark.parametrize("name", sorted(VERB_HELP))
def test_the_examples_of_the_help_are_understood(name: str):
    example_text = VERB_HELP[name].split("   (")[0]
    assert describe(parse_statement(example_text)).split()[0] == name


def test_patterns_reach_below_plain_names():
    assert patterns(("src", "./lib/", "**/*.py", "a.py")) == (
        "src", "src/**", "lib/**", "**/*.py", "a.py", "a.py/**",
    )  # fmt: skip


def test_patterns_of_the_workspace_itself_are_everything():
    assert patterns((".",)) == ()
    assert patterns(("src", "./")) == ()
