"""A unified diff that other programs read back."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.unified import diff_of, unified

if TYPE_CHECKING:
    from pathlib import Path

OLD = "".join(f"line {n} 🍕\n" for n in range(40))
NEW = (
    OLD.replace("line 3 ", "drei ").replace("line 5 🍕\n", "").replace("line 30 ", "new\nline 30 ")
)


def test_parts_that_are_far_apart_have_context_of_their_own() -> None:
    told = unified(OLD, NEW, "a.txt").splitlines()
    assert told[:2] == ["--- a/a.txt", "+++ b/a.txt"]
    assert [line for line in told if line.startswith("@@")] == [
        "@@ -1,9 +1,8 @@",
        "@@ -28,6 +27,7 @@",
    ]
    assert [line for line in told[2:] if line[0] in "+-"] == [
        "-line 3 🍕",
        "+drei 🍕",
        "-line 5 🍕",
        "+new",
    ]


@pytest.mark.parametrize(
    ("before", "after", "new_path", "heads"),
    [
        (None, "x\n", "", ["--- /dev/null", "+++ b/a.txt"]),
        ("x\n", None, "", ["--- a/a.txt", "+++ /dev/null"]),
        ("x\n", "x\n", "b.txt", ["rename from a.txt", "rename to b.txt"]),
    ],
)
def test_files_are_made_deleted_and_renamed(
    before: str | None, after: str | None, new_path: str, heads: list[str]
) -> None:
    assert unified(before, after, "a.txt", new_path).splitlines()[:2] == heads


def test_nothing_is_told_of_what_is_the_same() -> None:
    assert unified(OLD, OLD, "a.txt") == ""


@pytest.mark.parametrize("end", ["", "no end"])
def test_git_makes_of_it_what_it_was_made_from(tmp_path: Path, end: str) -> None:
    old, new = OLD + end, NEW + end[:2]
    (tmp_path / "a.txt").write_text(old, "utf-8")
    draft = Draft(Workspace(tmp_path))
    draft.write("a.txt", new)
    changes = draft.changes()
    (tmp_path / "a.txt").write_text(new, "utf-8")
    for inverted, text in ((True, old), (False, new)):
        subprocess.run(
            ["git", "apply", "-"],
            input=diff_of(changes, inverted=inverted).encode(),
            cwd=tmp_path,
            check=True,
        )
        assert (tmp_path / "a.txt").read_text("utf-8") == text
