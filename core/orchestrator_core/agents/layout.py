"""Keeping files as tidy as they were: a longer name may break a line or the order of imports.

Only files that the Reviewer would not pass are touched, and only where that helps: imports are
sorted again where their order was broken, and a file that was laid out by the formatter before
is laid out by it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.mission.findings import new_findings
from orchestrator_core.runtime.join import join_all

if TYPE_CHECKING:
    from orchestrator_core.mission.agent import TaskContext

_UNSORTED_IMPORTS = "I001"


async def mend_layout(context: TaskContext) -> bool:
    """Mend what edits did to the layout of Python files; answer whether any was changed."""
    changes = await context.pool.submit(context.draft.changes)
    pairs = [
        (change.new_path or change.path, change.before.text, change.after_text)
        for change in changes
        if change.before is not None and change.after_text is not None
    ]
    covers = context.toolbox.lint.covers
    mended = await join_all(_mend(context, *pair) for pair in pairs if covers(pair[0]))
    return any(mended)


async def _mend(context: TaskContext, path: str, before: str, after: str) -> bool:
    lint = context.toolbox.lint
    old = await lint.findings(path, before)
    worse = {finding.code for finding in new_findings(old, await lint.findings(path, after))}
    if not worse:
        return False
    text = after
    if _UNSORTED_IMPORTS in worse:
        text = await lint.fix(path, text, (_UNSORTED_IMPORTS,))
    if await lint.format(path, before) == before:
        text = await lint.format(path, text)
    if text == after or new_findings(old, await lint.findings(path, text)):
        return False
    await context.pool.submit(context.draft.write, path, text)
    return True
