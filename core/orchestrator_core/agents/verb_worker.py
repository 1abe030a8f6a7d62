"""Carries out verbs: per-file work in parallel, on the worker pool and in tool processes.

Files are taken in chunks. A chunk is one call to a tool process, so that several processes and
cores work at once, progress shows, and a stop takes effect at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.agents import commands
from orchestrator_core.agents.grammar import parse_task
from orchestrator_core.agents.layout import mend_layout
from orchestrator_core.agents.verbs import (
    Check,
    Fix,
    Format,
    Rename,
    Replace,
    Rewrite,
    Run,
    patterns,
)
from orchestrator_core.errors import UnreadableText
from orchestrator_core.mission.agent import Outcome
from orchestrator_core.runtime.join import join_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from orchestrator_core.agents.verbs import Verb
    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.records import CheckResult, Receipt
    from orchestrator_core.tools.code import FileEdits, RewriteResult, Skipped

CHUNK = 64
_NOTES = 10


class VerbWorker:
    """The Worker of the built-in backend. Holds no state: one serves all tasks."""

    async def perform(self, context: TaskContext) -> Outcome:
        """Carry out every step of the task on its draft, in order."""
        notes: list[str] = []
        checks: list[CheckResult] = []
        for text in [step.text for step in context.task.steps] or [context.task.title]:
            for statement in parse_task(text):
                outcome = await _perform(statement.verb, context)
                notes += outcome.notes
                checks += outcome.checks
        return Outcome(notes=_distinct(notes), checks=tuple(checks))

    async def repair(self, context: TaskContext, receipt: Receipt) -> bool:  # noqa: ARG002 - it looks itself
        """Bring the layout of changed files in order; see :mod:`~agents.layout`."""
        return await mend_layout(context)


async def _perform(verb: Verb, context: TaskContext) -> Outcome:
    match verb:
        case Replace():
            return await _replace(verb, context)
        case Rewrite():
            return await _rewrite(verb, context)
        case Rename():
            return await _rename(verb, context)
        case Fix():
            return await _fix(verb, context)
        case Format():
            return await _format(verb, context)
        case Check():
            return await commands.check(context, await _select(context, verb.globs))
        case Run():
            named_in = [context.plan_file] if context.plan_file else []
            globs = patterns(verb.globs)
            return await commands.run(context, verb.command, globs, named_in=named_in)


async def _replace(verb: Replace, context: TaskContext) -> Outcome:
    code = context.toolbox.code

    def call(paths: Sequence[str], documents: dict[str, str | None]) -> Awaitable[RewriteResult]:
        return code.replace(
            verb.pattern,
            verb.replacement,
            paths=paths,
            documents=documents,
            literal=verb.literal,
            word=verb.word,
            ignore_case=verb.ignore_case,
            multiline=verb.multiline,
        )

    return await _rewrite_files(call, await _select(context, verb.globs), context)


async def _rewrite(verb: Rewrite, context: TaskContext) -> Outcome:
    code = context.toolbox.code

    def call(paths: Sequence[str], documents: dict[str, str | None]) -> Awaitable[RewriteResult]:
        return code.rewrite(
            verb.pattern,
            verb.replacement,
            language=verb.language,
            paths=paths,
            documents=documents,
        )

    selected = await _select(context, verb.globs)
    if verb.language is None:
        return await _rewrite_files(call, selected, context)
    # The tool reads a file that is named as the language that is named, whatever its own; from
    # a glob it takes the files of that language only.
    documents = context.draft.documents()
    result = await code.rewrite(
        verb.pattern,
        verb.replacement,
        language=verb.language,
        globs=patterns(verb.globs or context.task.files),
        documents=documents,
    )
    wanted = set(selected)
    await _take(context, [file for file in result.files if file.path in wanted])
    return Outcome(notes=_skipped(s for s in result.skipped if s.path in wanted))


async def _rename(verb: Rename, context: TaskContext) -> Outcome:
    rename = context.toolbox.rename
    documents = context.draft.documents()
    globs = patterns(verb.globs or context.task.files)
    symbol = await rename.find(verb.old, globs, documents=documents)
    result = await rename.rename(symbol, verb.new, documents=documents)
    await _take(context, result.files)
    notes: list[str] = []
    if result.mentions:
        notes.append(
            f"{result.mentions} mentions of {verb.old} in comments, strings and other files "
            "are as they were"
        )
    if result.unresolved:
        places = ", ".join(result.unresolved[:_NOTES])
        notes.append(f"may have been meant, but the owner's type is not known: {places}")
    return Outcome(notes=tuple(notes))


async def _fix(verb: Fix, context: TaskContext) -> Outcome:
    lint = context.toolbox.lint
    return await _rework(
        context, verb.globs, lambda path, text: lint.fix(path, text, rules=verb.rules)
    )


async def _format(verb: Format, context: TaskContext) -> Outcome:
    return await _rework(context, verb.globs, context.toolbox.lint.format)


async def _select(context: TaskContext, globs: Sequence[str]) -> list[str]:
    """The files that a verb is about: its own globs, within those of its task."""
    code = context.toolbox.code
    documents = context.draft.documents()
    wanted = await code.glob(patterns(globs), documents=documents)
    if globs and context.task.files:
        allowed = set(await code.glob(patterns(context.task.files), documents=documents))
        return [path for path in wanted if path in allowed]
    if context.task.files:
        return await code.glob(patterns(context.task.files), documents=documents)
    return wanted


async def _rewrite_files(
    call: Callable[[Sequence[str], dict[str, str | None]], Awaitable[RewriteResult]],
    paths: Sequence[str],
    context: TaskContext,
) -> Outcome:
    """Have the tools compute edits chunk by chunk, and take them into the draft."""
    documents = context.draft.documents()
    done = 0
    skipped: list[Skipped] = []

    async def one(chunk: Sequence[str]) -> None:
        nonlocal done
        result = await call(chunk, {p: documents[p] for p in chunk if p in documents})
        await _take(context, result.files)
        skipped.extend(result.skipped)
        done += len(chunk)
        context.progress(done, len(paths))

    await join_all(one(paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK))
    return Outcome(notes=_skipped(skipped))


async def _take(context: TaskContext, files: Iterable[FileEdits]) -> None:
    """Make edits in the draft, a file a task of the pool."""
    edited = [
        context.pool.submit(context.draft.edit, file.path, file.edits, sha256=file.sha256)
        for file in files
        if file.edits
    ]
    for future in edited:
        await future


async def _rework(
    context: TaskContext,
    globs: Sequence[str],
    rework: Callable[[str, str], Awaitable[str]],
) -> Outcome:
    """Put every Python file through ``rework``, many at a time."""
    lint = context.toolbox.lint
    paths = [path for path in await _select(context, globs) if lint.covers(path)]
    notes: list[str] = []
    done = 0

    async def one(path: str) -> None:
        nonlocal done
        try:
            document = await context.pool.submit(context.draft.read, path)
        except UnreadableText as error:
            notes.append(f"{path}: left alone, {error}")
        else:
            text = await rework(path, document.text)
            if text != document.text:
                await context.pool.submit(context.draft.write, path, text)
        done += 1
        context.progress(done, len(paths))

    await join_all(map(one, paths))
    documents = {p: t for p, t in context.draft.documents().items() if p in set(paths)}
    parsed = await context.toolbox.code.syntax_errors(paths, documents=documents)
    notes += [f"{p}: left alone, it does not parse" for p, found in parsed.items() if found.count]
    return Outcome(notes=_limited(sorted(notes)))


def _skipped(files: Iterable[Skipped]) -> tuple[str, ...]:
    return _limited(sorted(f"{file.path}: left alone, {file.reason}" for file in files))


def _distinct(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))


def _limited(notes: Sequence[str]) -> tuple[str, ...]:
    more = len(notes) - _NOTES
    return (*notes[:_NOTES], f"… and {more} more files left alone") if more > 0 else tuple(notes)
