"""The gate: a task counts as done only when checks that the server itself ran have passed.

The Reviewer looks at the proposed texts before a byte of the workspace changes. For every
changed file it counts parse errors (tree-sitter, all supported languages) and linter findings
(Python) before and after; a file where any kind of finding became more frequent fails the task.
Findings are compared by file and rule, not by line or wording, because edits move lines and
rename what messages mention. A check that could not run is ``unverified``, never ``passed``.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.errors import ToolError
from orchestrator_core.mission.findings import new_findings
from orchestrator_core.records import CheckResult, Receipt
from orchestrator_core.runtime.join import join_all

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from orchestrator_core.tools.lint import Finding
    from orchestrator_core.tools.toolbox import Toolbox
    from orchestrator_core.workspace.edits import Change

_DETAILS = 10


class Reviewer:
    """Runs the checks. Safe to use from several tasks at once; cancelling a review stops it."""

    def __init__(self, toolbox: Toolbox, clock: Callable[[], float] = time.perf_counter) -> None:
        self._toolbox = toolbox
        self._clock = clock

    async def review(
        self, task_id: str, changes: Sequence[Change], ran: Sequence[CheckResult] = ()
    ) -> Receipt:
        """Check proposed changes against the texts that they were made from.

        Args:
            task_id: the task whose changes these are.
            changes: what the task wants to change.
            ran: checks that ran as part of the task's own work.

        Returns:
            The receipt; ``passed`` is false when any check failed.
        """
        tree = await asyncio.to_thread(tree_hash, changes) if changes else tree_hash(())
        checks = [*ran]
        if changes:
            checks += await join_all(
                (self._timed(self._syntax(changes), tree), self._timed(self._lint(changes), tree))
            )
        passed = all(check.status != "failed" for check in checks)
        return Receipt(task_id=task_id, passed=passed, checks=tuple(checks), tree=tree)

    async def _timed(self, check: Coroutine[None, None, CheckResult], tree: str) -> CheckResult:
        started = self._clock()
        result = await check
        took_s = round(self._clock() - started, 4)
        return msgspec.structs.replace(result, duration_s=took_s, tree=tree)

    async def _syntax(self, changes: Sequence[Change]) -> CheckResult:
        code = self._toolbox.code
        before = {c.path: c.before.text for c in changes if c.before is not None}
        after = {c.new_path or c.path: c.after_text for c in changes if c.after_text is not None}
        try:
            old, new = await join_all(
                code.syntax_errors(paths=list(texts), documents=texts) for texts in (before, after)
            )
        except ToolError as error:
            return CheckResult(name="syntax", status="unverified", details=(str(error),))
        moved = {c.path: c.new_path or c.path for c in changes}
        old_counts = Counter({moved[path]: found.count for path, found in old.items()})
        worse: list[str] = []
        for path, found in sorted(new.items()):
            if found.count > old_counts[path]:
                where = f":{found.first.line}:{found.first.column}" if found.first else ""
                worse.append(f"{path}{where}: does not parse any more")
        return CheckResult(
            name="syntax",
            command="tree-sitter",
            status="failed" if worse else "passed",
            before=sum(old_counts.values()),
            after=sum(found.count for found in new.values()),
            details=_first(worse),
        )

    async def _lint(self, changes: Sequence[Change]) -> CheckResult:
        lint = self._toolbox.lint
        pairs = [
            (
                c.new_path or c.path,
                c.before.text if c.before is not None else None,
                c.after_text,
            )
            for c in changes
            if c.after_text is not None and lint.covers(c.new_path or c.path)
        ]
        try:
            findings = await join_all(
                [
                    *(self._findings(path, before) for path, before, _ in pairs),
                    *(self._findings(path, after) for path, _, after in pairs),
                ]
            )
        except ToolError as error:
            return CheckResult(name="lint", status="unverified", details=(str(error),))
        olds, news = findings[: len(pairs)], findings[len(pairs) :]
        worse: list[str] = []
        for (path, _, _), old, new in zip(pairs, olds, news, strict=True):
            worse += [
                f"{path}:{f.line}:{f.column}: {f.code} {f.message}" for f in new_findings(old, new)
            ]
        return CheckResult(
            name="lint",
            command="ruff",
            status="failed" if worse else "passed",
            before=sum(map(len, olds)),
            after=sum(map(len, news)),
            details=_first(worse),
        )

    async def _findings(self, path: str, text: str | None) -> list[Finding]:
        return [] if text is None else await self._toolbox.lint.findings(path, text)


def tree_hash(changes: Sequence[Change]) -> str:
    """One hash over paths and new texts, in the order of their paths."""
    digest = hashlib.sha256()
    for change in sorted(changes, key=lambda change: change.path):
        text = "\0deleted" if change.after_text is None else change.after_text
        for part in (change.path, change.new_path, text):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big"))
            digest.update(encoded)
    return digest.hexdigest()


def _first(lines: Sequence[str]) -> tuple[str, ...]:
    shown = tuple(lines[:_DETAILS])
    more = len(lines) - len(shown)
    return (*shown, f"… and {more} more") if more > 0 else shown
