"""``run`` and ``check``: what a worker runs rather than rewrites."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import structs

from orchestrator_core.agents.protected import is_protected
from orchestrator_core.errors import MissingFile, UnreadableText, WorkspaceError
from orchestrator_core.mission.agent import Outcome
from orchestrator_core.mission.own_checks import as_check, copy_of, own_checks, run_in
from orchestrator_core.mission.reviewer import tree_hash
from orchestrator_core.records import CheckResult
from orchestrator_core.runtime.join import join_all
from orchestrator_core.workspace.text_file import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.tools.lint import Finding
    from orchestrator_core.workspace.draft import Draft
    from orchestrator_core.workspace.scratch import ScratchCopy

_SHOWN = 10


async def run(
    context: TaskContext, command: str, globs: Sequence[str], *, named_in: Sequence[str] = ()
) -> Outcome:
    """Run a command on a copy of the workspace and take what it changed into the draft.

    Args:
        context: the task.
        command: one shell line.
        globs: which changes are kept, as matcher patterns; none means all.
        named_in: the workspace's files that the command was read from.

    Raises:
        UntrustedWorkspace: nobody has trusted the workspace.
    """
    code = context.toolbox.code
    context.toolbox.shell.require_trust(named_in)
    texts = {**context.draft.workspace.unsaved(), **context.draft.documents()}
    tree = tree_hash(await context.pool.submit(context.draft.changes))
    async with copy_of(context, texts) as copy:
        result = await run_in(context, copy, command, named_in)
        notes: list[str] = []
        if result.exit_code == 0:
            kept = await code.glob(globs, hidden=True, root=copy.path)
            notes = await context.pool.submit(_take_changes, context, copy, kept)
    return Outcome(
        notes=(f"`{command}` ran {result.confined}", *notes),
        checks=(structs.replace(as_check(command, result), tree=tree),),
    )


def _take_changes(context: TaskContext, scratch: ScratchCopy, files: Sequence[str]) -> list[str]:
    """Bring what a command changed into the draft; answer what was left out."""
    notes: list[str] = []
    draft = context.draft
    for path in scratch.changed(files):
        if is_protected(path):
            notes.append(f"not kept: {path}, by which agents and editors are ruled")
            continue
        if not scratch.holds(path):
            notes.append(f"not kept: {path}, a link that leads out of the copy")
            continue
        try:
            text, bom = decode((scratch.path / path).read_bytes(), path)
            draft.write(path, "\ufeff" + text if bom else text)
        except UnreadableText as error:
            notes.append(f"not kept: {error}")
    for path in scratch.deleted():
        try:
            draft.delete(path)
        except (MissingFile, UnreadableText) as error:
            notes.append(f"not kept: {error}")
    return notes


async def check(context: TaskContext, paths: Sequence[str]) -> Outcome:
    """Count parse errors and linter findings, and run the workspace's check commands.

    In a mission that has changed nothing, any finding fails it; after other work, only what is
    worse than when the mission began.
    """
    tree = await context.pool.submit(_tree, context.draft, paths)
    started = time.perf_counter()
    originals = await context.pool.submit(context.originals)
    documents = context.draft.documents()
    code, lint = context.toolbox.code, context.toolbox.lint
    syntax = await code.syntax_errors(paths, documents=documents)
    broken = [
        f"{path}:{found.first.line}:{found.first.column}: does not parse"
        for path, found in sorted(syntax.items())
        if found.first is not None
    ]
    covered = [path for path in paths if lint.covers(path)]
    findings = await join_all(_findings(context, path) for path in covered)
    after = dict(zip(covered, findings, strict=True))
    changed = [path for path in covered if path in originals]
    before = dict(after)
    for path in changed:
        text = originals[path]
        before[path] = [] if text is None else await lint.findings(path, text)
    allowed = _counts(before) if originals else Counter[tuple[str, str]]()
    worse = _counts(after) - allowed
    shown = [
        f"{path}:{finding.line}:{finding.column}: {finding.code} {finding.message}"
        for path, found in after.items()
        for finding in found
        if worse[path, finding.code]
    ]
    took_s = round(time.perf_counter() - started, 4)
    checks = [
        CheckResult(
            name="check syntax",
            duration_s=took_s,
            command="tree-sitter",
            status="failed" if broken and not originals else "passed",
            after=len(broken),
            details=tuple(broken[:_SHOWN]),
        ),
        CheckResult(
            name="check lint",
            duration_s=took_s,
            command="ruff",
            status="failed" if worse else "passed",
            before=sum(map(len, before.values())) if originals else -1,
            after=sum(map(len, after.values())),
            details=tuple(shown[:_SHOWN]),
        ),
    ]
    checks += await own_checks(context, against_before=False)
    return Outcome(checks=tuple(structs.replace(each, tree=tree) for each in checks))


def _tree(draft: Draft, paths: Sequence[str]) -> str:
    """One hash over the texts that are checked, and their paths. Blocks on the disk."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            seen = draft.read(path).sha256
        except WorkspaceError:
            continue  # no check sees it, either
        digest.update(f"{path}\0{seen}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


async def _findings(context: TaskContext, path: str) -> list[Finding]:
    document = await context.pool.submit(context.draft.read, path)
    return await context.toolbox.lint.findings(path, document.text)


def _counts(findings: dict[str, list[Finding]]) -> Counter[tuple[str, str]]:
    return Counter((path, finding.code) for path, found in findings.items() for finding in found)
