"""``run`` and ``check``: what a worker runs rather than rewrites."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from orchestrator_core.agents.protected import is_protected
from orchestrator_core.config import SETTINGS_FILES
from orchestrator_core.errors import MissingFile, UnreadableText, UntrustedWorkspace
from orchestrator_core.mission.agent import Outcome
from orchestrator_core.records import CheckResult
from orchestrator_core.runtime.join import join_all
from orchestrator_core.workspace.scratch import ScratchCopy
from orchestrator_core.workspace.text_file import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.runtime.command import CommandResult
    from orchestrator_core.tools.lint import Finding

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
    shell, code = context.toolbox.shell, context.toolbox.code
    shell.require_trust(named_in)
    texts = {**context.draft.workspace.unsaved(), **context.draft.documents()}
    files = await code.glob(hidden=True)
    root = context.draft.workspace.root
    scratch = await context.pool.submit(ScratchCopy, root, files, texts, context.scratch)
    try:
        result = await shell.run(
            command,
            cwd=scratch.path,
            writable=[scratch.path, *await context.pool.submit(scratch.build_folders)],
            timeout_s=context.timeout_s,
            named_in=named_in,
        )
        notes: list[str] = []
        if result.exit_code == 0:
            kept = await code.glob(globs, hidden=True, root=scratch.path)
            notes = await context.pool.submit(_take_changes, context, scratch, kept)
    finally:
        await context.pool.submit(scratch.remove)
    return Outcome(
        notes=(f"`{command}` ran {result.confined}", *notes),
        checks=(_as_check("run", command, result),),
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
    return Outcome(checks=tuple(checks + await _run_checks(context)))


async def _run_checks(context: TaskContext) -> list[CheckResult]:
    """The commands of ``orchestrator.checks``; unverified where nobody trusts the workspace."""
    results: list[CheckResult] = []
    root = context.draft.workspace.root
    named_in = [name for name in SETTINGS_FILES if (root / name).is_file()]
    for command in context.checks:
        try:
            outcome = await run(context, command, ["!**"], named_in=named_in)
        except UntrustedWorkspace as error:
            results.append(
                CheckResult(name="run", status="unverified", command=command, details=(str(error),))
            )
        else:
            results += outcome.checks
    return results


async def _findings(context: TaskContext, path: str) -> list[Finding]:
    document = await context.pool.submit(context.draft.read, path)
    return await context.toolbox.lint.findings(path, document.text)


def _counts(findings: dict[str, list[Finding]]) -> Counter[tuple[str, str]]:
    return Counter((path, finding.code) for path, found in findings.items() for finding in found)


def _as_check(name: str, command: str, result: CommandResult) -> CheckResult:
    passed = result.exit_code == 0
    tail = result.output.rstrip().splitlines()[-_SHOWN:]
    return CheckResult(
        name=name,
        command=command,
        status="passed" if passed else "failed",
        exit_code=result.exit_code,
        duration_s=round(result.duration_s, 3),
        details=() if passed else (f"exit code {result.exit_code}", result.confined, *tail),
    )
