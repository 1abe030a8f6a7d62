"""A person's day in real editors. Run by `make test-editors`, not collected by `make test`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from real_editors.emacs import Emacs
from real_editors.helix import Helix
from real_editors.kakoune import Kakoune
from real_editors.neovim import Neovim
from real_editors.workbench import Workbench, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real_editors.editor import Editor

PLAN = """\
# Mission: Tidy the shop
### T1: Say what a price is | depends: -
- [ ] replace /PRICES/ -> PRICE_OF in shop
"""
ALLOWED = 'permissions = [{ effect = "allow", command = "sleep *" }]'
UNSAVED = 'NOTE = "not saved 🙂"'


@pytest.fixture(params=[Neovim, Emacs, Helix, Kakoune])
def editor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Editor]:
    """An editor that was started on the plan file. At the end it is left, and nothing may stay."""
    missing = [name for name in (*request.param.needs, "tmux") if program(name) is None]
    if missing:
        pytest.skip(f"install {', '.join(missing)}: `make test-editors` says how")
    bench = Workbench(tmp_path / "b")
    bench.lay(PLAN)
    bench.write(".config/opencode-orchestrator/settings.toml", ALLOWED)
    bench.run("opencode-orchestrator", "trust")
    editor: Editor = request.param(bench)
    try:
        editor.start(".opencode/todo.md")
        yield editor
        editor.quit()
        bench.ended()
        assert bench.files() == bench.before, "unsaved work reached the disk"
        left = [path for path in bench.temporary.rglob("*") if not path.is_dir()]
        assert not left, "temporary files are left"
    finally:
        bench.close()


def test_a_plan_is_marked_mended_run_and_undone(editor: Editor) -> None:
    editor.substitute("depends: -", "depends: T9")
    editor.is_marked("there is no T9")
    editor.substitute("depends: T9", "depends: -")
    editor.is_marked("there is no T9", wanted=False)
    editor.save()
    editor.act("T1", "Run T1")
    editor.bench.sees("done, 1 file changed")
    editor.shows("shop/prices.py", "PRICE_OF", without="PRICES")

    editor.open(".opencode/todo.md")
    editor.act("Mission", "Undo plan")
    editor.shows("shop/prices.py", "PRICES", without="PRICE_OF")


def test_a_task_edits_a_buffer_with_unsaved_text(editor: Editor) -> None:
    editor.open("shop/prices.py")
    editor.append(UNSAVED)
    editor.task("replace /PRICES/ -> PRICE_OF in shop")
    editor.bench.sees("done, 1 file changed")
    editor.shows("shop/prices.py", "PRICE_OF", UNSAVED, without="PRICES")

    editor.open("shop/prices.py")
    editor.act("return PRICE_OF", "Reject of T1")
    editor.shows("shop/prices.py", "return PRICES[", "PRICE_OF = {", "in PRICE_OF]", UNSAVED)

    editor.undo_mission()
    editor.shows("shop/prices.py", "PRICES = {", "in PRICES]", UNSAVED, without="PRICE_OF")


def test_a_comment_is_done(editor: Editor) -> None:
    editor.open("shop/prices.py")
    editor.append("# TODO: replace /PRICES/ -> PRICE_OF in shop")
    editor.act("TODO", "Do this TODO with orchestrator: replace")
    editor.shows("shop/prices.py", "PRICE_OF = {", "in PRICE_OF]")


def test_a_task_is_run_on_selected_lines(editor: Editor) -> None:
    editor.open("shop/prices.py")
    editor.task_here("return PRICES", "replace /PRICES/ -> PRICE_OF")
    editor.bench.sees("done, 1 file changed")
    editor.shows("shop/prices.py", "PRICE_OF = {", without="PRICES")

    editor.undo_mission()
    editor.shows("shop/prices.py", "PRICES = {", without="PRICE_OF")


def test_a_running_mission_shows_its_progress_and_is_stopped(editor: Editor) -> None:
    editor.task("run sleep 600 in shop")
    editor.bench.sees(editor.progress)
    editor.bench.runs("sleep")

    editor.stop_mission()
    editor.bench.runs("sleep", wanted=False)
    editor.bench.sees("stopped by /stop")
    editor.sees_stopped("T1")


def test_why_a_task_is_refused_is_shown(editor: Editor) -> None:
    editor.task("frobnicate the shop")
    editor.bench.sees("does not know how to `frobnicate`")
