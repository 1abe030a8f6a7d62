from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.agents.grammar import check_step, plan_from_text
from orchestrator_core.errors import PlanError
from orchestrator_core.mission.plan_document import MARKER_OF, PlanDocument
from orchestrator_core.mission.plan_language import parse, render, render_states
from orchestrator_core.records import Plan, Step, Task, TaskState

PLANS = Path(__file__).parents[3] / "fixtures" / "plans"
PENDING, RUNNING, DONE, FAILED, CANCELLED = (
    TaskState.PENDING,
    TaskState.RUNNING,
    TaskState.DONE,
    TaskState.FAILED,
    TaskState.CANCELLED,
)

LINES = st.sampled_from(
    [
        "# Mission: M", "## M1: One", "## Notes", "### T1: one", "### T10: ten | depends: T1",
        "### [x] T2: two | files: src", "#### T1.1: part", "### T1.10 | agent:Worker | depends:",
        "- [ ] fix E", "- [x] fix F", "  * [/] S1.1: nested | size:S", "- [!] a|b", "1. [-] x",
        "- [X] big", "- [y] bad", "- [] bad", "- [link](x)", "```", "~~~~", "<!-- note", "-->",
        "text", "", "| a | b |", "### T1: again", "\ufeff", "### [?] T3: what \\| bar | depend: T1",
    ]
)  # fmt: skip
documents = st.one_of(
    st.text(max_size=80),
    st.builds(
        str.join,
        st.sampled_from(["\n", "\r\n"]),
        st.lists(st.one_of(LINES, st.text(max_size=10)), max_size=14),
    ),
)
states = st.sampled_from(TaskState)


def read(name: str) -> PlanDocument:
    return parse((PLANS / name).read_text("utf-8"), check_step=check_step)


def tasks_of(text: str) -> dict[str, Task]:
    return {task.id: task for task in parse(text).plan.tasks}


def messages(text: str) -> list[str]:
    return [f"{each.line}:{each.column} {each.message}" for each in parse(text).problems]


def test_the_form_of_the_contract_is_read():
    document = read("contract.md")
    assert document.problems == ()
    assert document.checked_plan() == Plan(
        "Modernise the parser",
        (
            Task(
                "T1.1",
                "Rename load to read_all",
                (Step("rename load -> read_all"),),
                files=("src/**/*.py",),
                milestone="M1: Replace the old API",
            ),
            Task(
                "T1.2",
                "Fix what the linter finds",
                (Step("fix E,F,I"),),
                depends=("T1.1",),
                milestone="M1: Replace the old API",
            ),
        ),
    )


def test_the_forms_of_the_original_are_read():
    document = parse((PLANS / "original.md").read_text("utf-8"))
    assert document.problems == ()
    tasks = {task.id: task for task in document.plan.tasks}
    assert list(tasks) == ["T1.1", "P1.1", "P1.2.1", "P1.2.2", "P1.3"]
    assert tasks["T1.1"].steps == (
        Step("S1.1.1"),
        Step("create `src/auth/login.ts`", DONE),
    )
    assert tasks["T1.1"].milestone == "M1"
    assert tasks["P1.1"].agent == "planner"
    assert tasks["P1.1"].group == "1"
    assert tasks["P1.2.1"].depends == ("P1.1",)
    assert tasks["P1.2.1"].files == ("src/a.ts",)
    assert tasks["P1.2.2"].depends == ("P1.1", "P1.2.1")
    assert tasks["P1.2.2"].files == ("src/b.ts", "tests/b.test.ts")
    assert tasks["P1.3"].depends == ("P1.2.1", "P1.2.2")


def test_every_problem_is_told_with_its_place():
    found = [
        (problem.line, problem.column, problem.end_column, problem.message)
        for problem in read("faulty.md").problems
    ]
    starts = [
        (2, 1, "this step belongs to no task"),
        (4, 28, "tasks wait for each other: T1 -> T3 -> T2 -> T1"),
        (10, 5, "the id T1 is used twice"),
        (12, 31, "there is no T44"),
        (13, 4, "this is no marker"),
        (14, 32, "unknown agent `wroker`: did you mean `worker`?"),
        (14, 48, "`../up/*.py` lies outside the workspace"),
        (15, 7, "The built-in planner does not know how to `fxi`. Did you mean `fix`?"),
        (16, 1, "the title is missing"),
        (17, 1, "the step is empty"),
        (18, 21, "unknown option `depend`: did you mean `depends`?"),
        (18, 34, "unknown option `colour`"),
        (19, 18, "The built-in planner does not know how to `frobnicate`."),
    ]
    assert [(line, column) for line, column, _, _ in found] == [
        (line, column) for line, column, _ in starts
    ]
    for (_, _, _, message), (_, _, start) in zip(found, starts, strict=True):
        assert message.startswith(start)
    text = (PLANS / "faulty.md").read_text("utf-8").split("\n")
    line, column, end_column, _ = found[-1]
    assert text[line - 1][column - 1 : end_column - 1] == "frobnicate"


def test_a_plan_with_problems_is_not_carried_out():
    with pytest.raises(PlanError) as caught:
        read("faulty.md").checked_plan("todo.md")
    assert "todo.md:10:5: the id T1 is used twice" in str(caught.value)
    assert "colour" not in str(caught.value)


def test_warnings_alone_do_not_stop_a_plan():
    document = parse("### T1: one | colour: red\n- [ ] fix")
    assert [problem.severity for problem in document.problems] == ["warning"]
    assert [task.id for task in document.checked_plan().tasks] == ["T1"]


@pytest.mark.parametrize("text", ["", "just text", "# Mission: x\n"])
def test_a_text_without_tasks_is_told(text: str):
    assert "there is no task" in messages(text)[0]


def test_milestones_and_steps_can_be_depended_on():
    tasks = tasks_of(
        "## M1: one\n### T1: a\n- [ ] S1: x\n### T2: b\n## M2: two | depends: M1\n"
        "### T3: c\n### T4: d | depends: S1\n## Loose ends\n### T5: e | depends: M2\n"
    )
    assert tasks["T3"].depends == ("T1", "T2")
    assert tasks["T4"].depends == ("T1", "T2")
    assert tasks["T5"].depends == ("T3", "T4")
    assert tasks["T5"].milestone == ""


def test_a_task_with_steps_waits_for_its_parts():
    tasks = tasks_of("### T1: whole | depends: T0\n- [ ] check\n#### T1.1: part\n### T0: first\n")
    assert tasks["T1"].depends == ("T0", "T1.1")
    assert tasks["T1.1"].depends == ("T0",)


def test_bars_belong_to_steps_unless_they_begin_an_option():
    (task,) = parse(
        "### T1: a \\| b | files: src\n- [ ] replace /a|b: c/ -> d | size:S\n"
    ).plan.tasks
    assert task.title == "a | b"
    assert task.steps == (Step("replace /a|b: c/ -> d"),)


def test_fenced_code_and_comments_are_the_persons():
    text = "### T1: a\n```\n### T2: b\n- [ ] no\n```\n<!-- \n- [ ] no\n-->\n- [x] yes\n"
    (task,) = parse(text).plan.tasks
    assert task.steps == (Step("yes", DONE),)
    assert "not closed" in messages("### T1: a\n```\n- [ ] no")[0]


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("  ", PENDING), ("x ", PENDING), ("/x", RUNNING), ("!x", FAILED), ("!/", RUNNING),
        ("xX", DONE), ("-x", CANCELLED), ("- ", PENDING), ("!-", FAILED),
    ],
)  # fmt: skip
def test_a_tasks_state_is_the_fold_of_its_steps(marks: str, state: TaskState):
    text = "### T1: a\n" + "".join(f"- [{mark}] s\n" for mark in marks)
    assert tasks_of(text)["T1"].state is state


def test_a_task_without_steps_has_its_state_in_the_heading():
    assert tasks_of("### [!] T1: a\n")["T1"].state is FAILED
    text = render_states(parse("### T1: a | depends: -\r\n### T10: b"), {"T1": DONE})
    assert text == "### [x] T1: a | depends: -\r\n### T10: b"
    assert render_states(parse(text), {"T1": RUNNING}) == text.replace("[x]", "[/]")


def test_a_heading_that_contradicts_its_steps_is_told():
    assert "the steps say otherwise" in messages("### [x] T1: a\n- [ ] fix")[0]


def test_ids_match_whole():
    text = "".join(f"### {name}: t\n- [ ] x\n" for name in ("T1", "T10", "T1.1", "T11", "T1.10"))
    ticked = render_states(parse(text), {"T1": DONE})
    assert ticked == text.replace("### T1: t\n- [ ]", "### T1: t\n- [x]")


def test_steps_can_have_states_of_their_own():
    document = parse("### T1: t\n- [ ] a\n- [ ] S2: b\n- [ ] c\n")
    text = render_states(document, {"T1": RUNNING, ("T1", 0): DONE, "S2": FAILED})
    assert text == "### T1: t\n- [x] a\n- [!] S2: b\n- [/] c\n"


def test_a_groups_marker_follows_its_tasks():
    document = parse("### [ ] G1: all\n#### T1: a\n- [ ] x\n#### T2: b\n- [ ] y\n")
    assert render_states(document, {"T1": DONE}).startswith("### [ ] G1")
    assert render_states(document, {"T1": DONE, "T2": DONE}).startswith("### [x] G1")


def test_a_capital_tick_is_left_as_the_person_wrote_it():
    text = "### T1: t\n- [X] a\n"
    assert render_states(parse(text), {"T1": DONE}) == text


@given(documents)
def test_parsing_and_rendering_without_a_change_is_the_identity(text: str):
    document = parse(text, check_step=check_step)
    assert render_states(document, {}) == text
    names = [task.id for task in document.tasks]
    same = {
        task.id: task.state
        for task in document.tasks
        if not task.steps and task.marker and names.count(task.id) == 1
    }
    assert render_states(document, same) == text


@given(documents, st.dictionaries(st.sampled_from(["T1", "T10", "T1.1", "T1.10", "T2"]), states))
def test_rendering_changes_markers_alone_and_reads_back(text: str, wanted: dict[str, TaskState]):
    document = parse(text)
    after = parse(render_states(document, wanted))
    assert [task.id for task in after.tasks] == [task.id for task in document.tasks]
    added = len(after.text) - len(text)
    assert added % len("[x] ") == 0
    assert added <= len("[x] ") * len(document.tasks)
    for before, now in zip(document.tasks, after.tasks, strict=True):
        assert (before.title, before.line) == (now.title, now.line)
        assert [option.value for option in before.options] == [
            option.value for option in now.options
        ]
        for step, then in zip(before.steps, now.steps, strict=True):
            assert step.text == then.text
            if before.id in wanted and step.marker:
                assert then.state is wanted[before.id]


@given(documents)
def test_every_range_is_exact(text: str):
    document = parse(text)
    for node in (*document.tasks, *document.milestones):
        assert text[node.id_span.start : node.id_span.end] == node.id
    for task in document.tasks:
        for step in task.steps:
            assert text[step.text_span.start : step.text_span.end] in {step.text, ""}
            if step.marker:
                assert text[step.marker.at - 1] + text[step.marker.at + 1] == "[]"
            assert text[step.span.start : step.span.end].count("\n") == 0
    lines = re.split(r"\r\n|\r|\n", text)  # as editors count them
    for problem in document.problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


ids = st.from_regex(r"[A-Z]{1,2}[0-9]{1,2}(\.[0-9]{1,2})?", fullmatch=True)
line_text = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" |\\#"),
    min_size=1,
    max_size=20,
).map(lambda text: " ".join(text.split())).filter(bool)  # fmt: skip
step_text = line_text.filter(lambda text: ":" not in text)
files = st.sampled_from(["src", "**/*.py", "{a,b}/*.ts", "my files/x", "a|b", "it's"])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = draw(st.lists(ids, unique=True, min_size=1, max_size=6))
    milestones = iter(["", *(f"M{n}x: {draw(line_text)}" for n in range(len(names)))])
    milestone = next(milestones)
    tasks: list[Task] = []
    for index, name in enumerate(names):
        if draw(st.booleans()):
            milestone = next(milestones)
        steps = tuple(draw(st.lists(st.builds(Step, step_text, states), max_size=3)))
        state = parse(
            "### T1: t\n" + "".join(f"- [{MARKER_OF[step.state]}] x\n" for step in steps)
        ).plan.tasks[0].state if steps else draw(states)  # fmt: skip
        tasks.append(
            Task(
                name,
                draw(line_text),
                steps,
                depends=tuple(draw(st.lists(st.sampled_from(names[:index]), unique=True)))
                if index
                else (),
                files=tuple(draw(st.lists(files, unique=True, max_size=3))),
                agent=draw(st.sampled_from(["worker", "reviewer"])),
                milestone=milestone,
                group=draw(st.sampled_from(["", "1", "a b"])),
                state=state,
            )
        )
    return Plan(draw(line_text), tuple(tasks))


@given(plans())
def test_a_fresh_file_reads_back_as_the_same_plan(plan: Plan):
    assert parse(render(plan)).plan == plan


def test_a_plan_from_plain_text_survives_its_file():
    plan = plan_from_text("replace /a|b: c/ -> d then fix E in src, {a,b} then run pytest | tee x")
    document = parse(render(plan), check_step=check_step)
    assert document.checked_plan() == plan
