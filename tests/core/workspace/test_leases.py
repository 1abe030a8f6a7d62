"""Clashes of regions are found from their globs alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.workspace.leases import LeaseTable, Region, globs_overlap


@pytest.mark.parametrize(
    ("one", "two", "overlap"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "src/ab.py", False),
        ("src/a.py", "tests/a.py", False),
        ("src", "src/deep/x.py", True),
        ("src/", "src/deep/x.py", True),
        ("src", "source/x.py", False),
        ("*.py", "deep/down/x.py", True),
        ("*.py", "deep/down/*.rs", False),
        ("src/*.py", "src/deep/x.py", False),
        ("src/**/*.py", "src/x.py", True),
        ("**", "anything/at/all", True),
        (".", "anything", True),
        ("src/**/test_*.py", "**/*_test.py", True),
        ("a/{b,c}.ts", "a/c.*", True),
        ("a/{b,c}.ts", "a/d.*", False),
        ("a/[xy].ts", "a/z.ts", True),
        ("./src/a.py", "src/a.py", True),
        ("a*b/x", "ac*/x", True),
        ("a*b/x", "ac*c/x", False),
    ],
)
def test_globs_overlap_when_a_path_could_match_both(one: str, two: str, overlap: bool) -> None:
    assert globs_overlap(one, two) is overlap
    assert globs_overlap(two, one) is overlap


@st.composite
def globs_of(draw: st.DrawFn, name: str) -> str:
    """A glob that matches the name: characters made wild, and stars put between."""
    masks = [draw(st.sampled_from([char, "?", "*", f"*{char}", f"{char}*"])) for char in name]
    glob = "".join(masks)
    while "**" in glob:
        glob = glob.replace("**", "*")
    return glob


@given(st.data(), st.text("ab", min_size=1, max_size=6))
def test_globs_that_match_one_name_overlap(data: st.DataObject, name: str) -> None:
    one, two = data.draw(globs_of(name)), data.draw(globs_of(name))
    assert globs_overlap(f"x/{one}", f"x/{two}")
    assert globs_overlap(f"x/{one}", f"**/{two}")


def test_many_stars_are_compared_in_reasonable_time() -> None:
    assert not globs_overlap("a*" * 20 + "b", "a*" * 20 + "c")
    assert globs_overlap("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "x")  # too many: for safety


def test_lines_apart_in_one_file_do_not_clash() -> None:
    table = LeaseTable()
    assert table.acquire("T1", [Region("a.py", 1, 10)]) == ()
    assert table.acquire("T2", [Region("a.py", 11, 20)]) == ()
    assert table.acquire("T3", [Region("a.py", 20)]) == ("T2",)
    assert table.acquire("T4", [Region("*.py")]) == ("T1", "T2")
    assert table.acquire("T5", [Region("a.py", 5, 5), Region("b.py")]) == ("T1",)
    assert table.acquire("T6", [Region("**")]) == ("T1", "T2")


def test_a_refused_lease_takes_nothing_and_a_released_one_is_free() -> None:
    table = LeaseTable()
    table.acquire("T1", [Region("src/**")])
    assert table.acquire("T2", [Region("docs"), Region("src/x.py")]) == ("T1",)
    assert table.acquire("T3", [Region("docs/x.md")]) == ()
    table.release("T1")
    table.release("T1")
    table.release("T3")
    assert table.acquire("T2", [Region("docs"), Region("src/x.py")]) == ()
    assert table.acquire("T2", [Region("src")]) == ()  # its own lease is not in its way
    assert table.acquire("T4", [Region("docs")]) == ()
