"""Puts a new plan in place of the one that stands there, which goes into the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.errors import EditRefused, StaleEdit
from orchestrator_core.mission.todo_sync import TodoSyncService, archived
from orchestrator_core.workspace.edits import Change, diff_edits

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.engine import Engine

_ATTEMPTS = 5


async def write_plan(engine: Engine, text: str, archive: Path) -> tuple[Path, ...]:
    """Make ``text`` the plan: in the editor's buffer, if it has the file open, else in the file.

    Args:
        engine: the workspace's services.
        text: the rendered plan.
        archive: the folder that gets what stood there, if that was something else.

    Returns:
        What was put into the archive, the latest text last.

    Raises:
        EditError: the plan was not taken; what stood there still does.
        WorkspaceError: what stands there cannot be read.
    """
    path, submit = engine.settings.plan_file, engine.pool.submit
    kept: list[Path] = []
    for _ in range(_ATTEMPTS):
        before = await submit(engine.workspace.find, path)
        if before is None or before.source == "disk":
            former = await submit(_on_disk, engine.workspace.locate(path), text, archive)
            return (*kept, former) if former else tuple(kept)
        if before.text == text:
            return tuple(kept)
        if before.text.strip():
            kept.append(await submit(archived, before.encode(), archive))
        edits = await submit(diff_edits, before.text, text)
        change = Change(path, "modify", before, text, edits, bom=before.bom)
        try:
            async with engine.apply_lock:
                await engine.applier.apply([change], label="orchestrator: plan")
        except StaleEdit:
            continue  # somebody types: what is there now is to be kept, too
        return tuple(kept)
    raise EditRefused(f"{path} keeps changing in the editor: wait a moment, then try again")


def _on_disk(target: Path, text: str, archive: Path) -> Path | None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with TodoSyncService(target) as file:
        return file.begin(text, archive=archive)
