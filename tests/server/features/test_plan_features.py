"""The plan file as a language, without a server: outline, ids, completion, actions, hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp

from orchestrator_core.errors import RequestError
from orchestrator_core.mission import plan_language
from orchestrator_core.mission.history import TaskRecord
from orchestrator_core.records import MissionStatus, TaskReport, TaskState
from orchestrator_server.features import plan_actions, plan_completion, plan_outline
from orchestrator_server.features.plan_ids import PlanIds
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """# Mission: Modernise 𝄞
## M1: Replace the old API
### T1.1: Rename 𝄞 load | agent:worker | depends: - | files: src/**/*.py
- [x] rename load -> read_all
- [ ] S1.1.2: check

### T1.2: Fix | depends: T1.1, T1.10
- [ ] fix E,F,I
## M2: Later
### T1.10: Format 𝄞 | depends: T1.1
- [!] format

"""
ENCODINGS = list(lsp.PositionEncodingKind)


def read(text: str = PLAN) -> Any:
    return plan_language.parse(text)


def record(
    task: str, status: TaskState, mission: MissionStatus = MissionStatus.FAILED, **more: Any
) -> TaskRecord:
    return TaskRecord(mission="m7", status=mission, task=TaskReport(task, task, status, **more))


def found(place: lsp.Range, lines: LineIndex) -> str:
    return lines.text[lines.offset(place.start) : lines.offset(place.end)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_symbols_nest_as_the_headings_do(encoding: lsp.PositionEncodingKind) -> None:
    lines = LineIndex(PLAN, encoding)
    roots = plan_outline.symbols(read(), lines)
    assert [root.name for root in roots] == ["M1: Replace the old API", "M2: Later"]
    tasks = list(roots[0].children or ())
    assert [(task.name, task.detail) for task in tasks] == [
        ("T1.1: Rename 𝄞 load", "pending"),
        ("T1.2: Fix", "pending"),
    ]
    assert [step.name for step in tasks[0].children or ()] == [
        "rename load -> read_all",
        "S1.1.2: check",
    ]
    assert found(tasks[0].selection_range, lines) == "T1.1"
    assert found(tasks[0].range, lines).endswith("S1.1.2: check")
    assert found(roots[0].range, lines).endswith("fix E,F,I")


def test_folds_end_where_their_section_has_its_last_text() -> None:
    folds = plan_outline.folds(read(), LineIndex(PLAN))
    assert [(fold.start_line, fold.end_line) for fold in folds] == [
        (1, 7), (2, 4), (6, 7), (8, 10), (9, 10),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_id_is_found_whole_wherever_it_stands(encoding: lsp.PositionEncodingKind) -> None:
    lines, ids = LineIndex(PLAN, encoding), PlanIds(read())
    at_use = ids.at(PLAN.index("T1.10\n"))
    assert at_use is not None
    assert at_use.id == "T1.10"
    places = [lines.range(span.start, span.end) for span in ids.places("T1.1")]
    assert [found(place, lines) for place in places] == ["T1.1"] * 3
    assert [place.start.line for place in places] == [2, 6, 9]
    assert ids.at(PLAN.index("Modernise")) is None


def test_a_renamed_id_must_be_free_and_an_id() -> None:
    ids = PlanIds(read())
    ids.check_rename("T1.1", "T9")
    ids.check_rename("T1.1", "T1.1")
    for old, new, why in [
        ("T1.1", "T1.2", "taken"),
        ("T1.1", "no id", "is no id"),
        ("T1.1", "words", "is no id"),
        ("S1.1.2", "step-2", "is no id"),
        ("T77", "T78", "given nowhere"),
    ]:
        with pytest.raises(RequestError, match=why):
            ids.check_rename(old, new)


@pytest.mark.parametrize(
    ("before", "kind", "typed"),
    [
        ("### T1: a title | dep", "option", "dep"),
        ("### T1: a title | depends: T1, T", "depends", "T"),
        ("### T1: a title | depends: ", "depends", ""),
        ("### T1: a title | depends: - | agent:wo", "agent", "wo"),
        ("### T1: a title | files: src/a.py,src/b", "files", "src/b"),
        ("- [ ] ren", "verb", "ren"),
        ("  1. [x] S1.2: f", "verb", "f"),
    ],
)
def test_what_is_being_written_is_known_from_the_line(before: str, kind: str, typed: str) -> None:
    asked = plan_completion.asked(before)
    assert asked is not None
    assert (asked.kind, asked.typed) == (kind, typed)


@pytest.mark.parametrize("before", ["### T1: a title", "any text", "# Mission: x | depends: ", ""])
def test_nothing_is_offered_in_a_persons_own_words(before: str) -> None:
    assert plan_completion.asked(before) is None


def labels(before: str, root: Path, *, snippets: bool = False) -> list[str]:
    asked = plan_completion.asked(before)
    assert asked is not None
    place = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
    items = plan_completion.complete(asked, place, read(), root, snippets=snippets)
    return [item.label for item in items]


def test_completion_offers_ids_agents_files_and_verbs(tmp_path: Path) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "a.py").touch()
    (tmp_path / "src" / ".hidden").touch()
    assert labels("### T2: t | depends: ", tmp_path) == ["T1.1", "T1.2", "T1.10", "M1", "M2"]
    assert "reviewer" in labels("### T2: t | agent: ", tmp_path)
    assert labels("### T2: t | files: src/", tmp_path) == ["src/a.py", "src/deep/"]
    assert labels("### T2: t | files: ../", tmp_path) == []
    assert labels("### T2: t | files: nowhere/", tmp_path) == []
    assert "rewrite" in labels("- [ ] r", tmp_path, snippets=True)
    assert labels("- [ ] rename a", tmp_path) == []


def titles(text: str, records: dict[str, TaskRecord]) -> list[str]:
    return [f"{a.title} {a.what}" for a in plan_actions.actions(read(text), "p.md", records)]


def test_actions_fit_the_state() -> None:
    fresh = PLAN.replace("[x]", "[ ]").replace("[!]", "[ ]")
    assert titles(fresh, {}) == ["Run plan", "Run T1.1", "Run T1.2", "Run T1.10"]
    ended = {
        "T1.1": record("T1.1", TaskState.DONE, files=("a.py",)),
        "T1.10": record("T1.10", TaskState.FAILED),
    }
    done = PLAN.replace("- [ ] S1.1.2: check\n", "")
    assert titles(done, ended) == [
        "Go on plan", "Undo plan", "Undo T1.1", "Show T1.1", "Run T1.2", "Retry T1.10", "Show T1.10",
    ]  # fmt: skip
    running = {"T1.2": record("T1.2", TaskState.RUNNING, MissionStatus.RUNNING)}
    assert titles(PLAN, running) == ["Stop plan", "Stop T1.2", "Show T1.2"]


def test_a_plan_with_mistakes_cannot_be_run_as_a_whole() -> None:
    assert "Run plan" not in titles(PLAN.replace("depends: -", "depends: T77"), {})


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lenses_and_code_actions_stand_at_their_headings(
    encoding: lsp.PositionEncodingKind,
) -> None:
    lines, document = LineIndex(PLAN, encoding), read()
    shown = plan_actions.lenses(plan_actions.actions(document, "p.md", {}), lines)
    assert [lens.range.start.line for lens in shown] == [0, 2, 6, 9]
    assert found(shown[3].range, lines) == "### T1.10: Format 𝄞 | depends: T1.1"
    where = lsp.Range(lsp.Position(6, 3), lsp.Position(7, 0))
    offered = plan_actions.code_actions(plan_actions.actions(document, "p.md", {}), lines, where)
    assert [(a.title, a.command.arguments) for a in offered if a.command] == [
        ("Run T1.2", ["p.md", {"task": "T1.2"}])
    ]


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 39), ("utf-16", 37), ("utf-32", 36)])
def test_hints_stand_behind_the_heading(encoding: str, column: int) -> None:
    records = {"T1.10": record("T1.10", TaskState.FAILED, reason="E1", duration_s=1.25)}
    whole = lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))
    (hint,) = plan_actions.hints(read(), records, LineIndex(PLAN, encoding), whole)
    assert (hint.label, hint.tooltip) == ("✗ failed 1.2 s", "E1")
    assert hint.position == lsp.Position(9, column - 1)
    elsewhere = lsp.Range(lsp.Position(0, 0), lsp.Position(8, 0))
    assert plan_actions.hints(read(), records, LineIndex(PLAN), elsewhere) == []
