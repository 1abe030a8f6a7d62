from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator_core.mission.plan_language import parse, render_states
from orchestrator_core.mission.todo_merge import merge
from orchestrator_core.mission.todo_union import union
from orchestrator_core.records import TaskState

PENDING, RUNNING, DONE, FAILED, CANCELLED = (
    TaskState.PENDING,
    TaskState.RUNNING,
    TaskState.DONE,
    TaskState.FAILED,
    TaskState.CANCELLED,
)
BASE = """# Mission: M
## M1: One
### T1: first
- [ ] fix E
- [ ] format
### T10: tenth | depends: T1
- [ ] check
### T1.1: stepless
"""


def test_ticks_are_applied_and_human_lines_kept():
    theirs = (
        BASE.replace("## M1: One\n", "## M1: One\nA note of mine.\n")
        .replace("- [ ] format", "- [ ] format in src   <- better")
        .replace("### T10", "### T2: my own task\n- [ ] fix I\n### T10")
    )
    result = merge(BASE, theirs, {"T1": DONE, "T1.1": RUNNING})
    assert result.text == (
        theirs.replace("- [ ] fix E", "- [x] fix E")
        .replace("- [ ] format in", "- [x] format in")
        .replace("### T1.1", "### [/] T1.1")
    )
    assert result.added == ("T2",)
    assert (result.conflicts, result.requests, result.overruled) == ((), (), ())


def test_ticking_one_id_leaves_longer_ones_alone():
    text = merge(BASE, BASE, {"T1": DONE}).text
    assert text == BASE.replace("- [ ] fix E\n- [ ] format", "- [x] fix E\n- [x] format")


def test_a_new_task_that_the_journal_knows_is_ticked():
    theirs = BASE + "### T2: mine\n- [ ] fix I\n"
    assert merge(BASE, theirs, {"T2": DONE}).text == BASE + "### T2: mine\n- [x] fix I\n"


def test_a_step_that_nobody_has_done_is_not_ticked():
    theirs = BASE.replace("- [ ] format\n", "- [ ] run make docs and look at them\n- [ ] format\n")
    first = merge(BASE, theirs, {"T1": RUNNING})
    assert "- [ ] run make docs" in first.text
    second = merge(first.base, first.text, {"T1": DONE})
    assert "- [x] fix E\n- [ ] run make docs and look at them\n- [x] format\n" in second.text


def test_a_conflict_keeps_both():
    theirs = BASE.replace("- [ ] fix E", "- [-] fix E")
    result = merge(BASE, theirs, {"T1": FAILED})
    assert (
        "- [!] fix E\n  <!-- conflict: you set [-], the journal says [!] -->\n- [!] format\n"
        in result.text
    )
    (conflict,) = result.conflicts
    assert (conflict.task_id, conflict.step, conflict.line) == ("T1", "fix E", 4)
    assert (conflict.theirs, conflict.journal) == (CANCELLED, FAILED)
    again = merge(result.base, result.text, {"T1": FAILED})
    assert (again.text, again.conflicts) == (result.text, ())
    assert [task.id for task in parse(result.text).plan.tasks] == ["T1", "T10", "T1.1"]


def test_a_conflict_at_the_end_of_a_file_with_other_line_ends():
    base = "### T1: a\r\n- [ ] x"
    text = merge(base, base.replace("[ ]", "[-]"), {"T1": DONE}).text
    assert text.startswith("### T1: a\r\n- [x] x")
    assert "you set [-]" in text


def test_a_final_state_cannot_be_claimed_away():
    base = BASE.replace("- [ ] check", "- [!] check")
    result = merge(base, base.replace("[!]", "[x]"), {"T10": FAILED})
    assert "- [!] check\n  <!-- conflict: you set [x]" in result.text


def test_a_request_ahead_of_the_journal_stays_until_the_journal_moves():
    theirs = BASE.replace("- [ ] check", "- [-] check")
    first = merge(BASE, theirs, {"T10": PENDING, "T1": RUNNING})
    assert "- [-] check" in first.text
    assert [(each.task_id, each.theirs) for each in first.requests] == [("T10", CANCELLED)]
    second = merge(first.base, first.text, {"T10": PENDING, "T1": DONE})
    assert "- [-] check" in second.text
    granted = merge(second.base, second.text, {"T10": CANCELLED})
    assert (granted.text, granted.conflicts) == (second.text, ())
    refused = merge(second.base, second.text, {"T10": RUNNING})
    assert "- [/] check\n  <!-- conflict" in refused.text


def test_an_old_text_saved_over_a_newer_gets_its_ticks_back():
    shown = render_states(parse(BASE), {"T1": DONE, "T10": RUNNING})
    result = merge(shown, BASE + "my line\n", {"T1": DONE, "T10": RUNNING})
    assert result.text == shown + "my line\n"
    assert {change.task_id for change in result.overruled} == {"T1", "T10"}


def test_tasks_that_the_person_took_out_stay_out():
    theirs = BASE.replace("### T10: tenth | depends: T1\n- [ ] check\n", "")
    result = merge(BASE, theirs, {"T10": DONE})
    assert (result.text, result.removed) == (theirs, ("T10",))


LINES = [
    "# Mission: M", "### T1: a", "### T10: b", "### T1.1: c | depends: T1", "- [ ] x", "- [x] x",
    "- [/] y", "- [-] y z", "- [ ] S1: y", "note", "", "### [!] T3: d",
]  # fmt: skip
texts = st.lists(st.sampled_from(LINES), max_size=12).map("\n".join)
some_states = st.dictionaries(
    st.sampled_from(["T1", "T10", "T1.1", "T3", "S1"]), st.sampled_from(TaskState)
)


@given(texts, some_states)
def test_a_merge_with_an_untouched_text_is_a_rendering(text: str, states: dict[str, TaskState]):
    document = parse(text)
    if len({task.id for task in document.tasks}) == len(document.tasks):
        assert merge(text, text, states).text == render_states(document, states)


@given(texts, texts, some_states)
def test_no_line_of_the_person_is_lost(base: str, theirs: str, states: dict[str, TaskState]):
    def bare(line: str) -> str:
        return "".join(char for char in line if char not in " xX/!-[]")

    merged = iter(merge(base, theirs, states).text.split("\n"))
    assert all(any(bare(line) == bare(other) for other in merged) for line in theirs.split("\n"))


@given(texts, texts, some_states)
def test_a_merge_again_changes_nothing(base: str, theirs: str, states: dict[str, TaskState]):
    for text in (base, theirs):
        for task in parse(text).tasks:  # of two steps with one text, either may be the new one
            assume(len({step.text for step in task.steps}) == len(task.steps))
    first = merge(base, theirs, states)
    second = merge(first.base, first.text, states)
    assert (second.text, second.conflicts) == (first.text, ())


@pytest.mark.parametrize(
    ("base", "first", "second", "expected"),
    [
        ("a\nb\n", "a\nb\none\n", "a\nb\ntwo\n", "a\nb\ntwo\none\n"),
        ("a\nb\n", "a\none\nb\n", "a\nb\ntwo\n", "a\none\nb\ntwo\n"),
        ("a\nb\n", "a\nb\none\n", "a\nb\none\ntwo\n", "a\nb\none\ntwo\n"),
        ("a\nb\n", "a\nB\n", "a\nb\ntwo\n", "a\nB\ntwo\n"),
        ("a\nb\nc\n", "a\nb\nc\none\n", "a\nc\n", "a\nc\none\n"),
        ("- [ ] x\n", "- [x] x\none\n", "- [/] x\ntwo\n", "- [/] x\ntwo\none\n"),
        ("a", "a\none", "a\ntwo", "a\ntwo\none"),
        ("", "one\n", "", "one\n"),
    ],
)
def test_two_saved_texts_become_one(base: str, first: str, second: str, expected: str):
    assert union(base, first, second) == expected


@given(*(st.lists(st.sampled_from("abcdef"), max_size=7) for _ in range(3)))
def test_a_union_has_what_either_added(base: list[str], first: list[str], second: list[str]):
    lines = union("\n".join(base), "\n".join(first), "\n".join(second)).split("\n")
    for added in (set(first) - set(base)) | (set(second) - set(base)):
        assert added in lines
