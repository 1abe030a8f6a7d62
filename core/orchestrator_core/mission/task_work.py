"""One attempt at a task on drafts: worked on, reviewed, mended, and in a race several times at once.

A draft that does not pass goes back to its worker with the receipt, as often as the settings
allow; a round that leaves the same findings, or the same texts, as the one before ends it: there
is no progress. In a race each runner has a draft of its own; the first that passes wins, the
others are cancelled, and nothing of theirs is kept.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from orchestrator_core.errors import AgentError, BudgetExceeded, OrchestratorError
from orchestrator_core.mission.finding_places import with_places
from orchestrator_core.mission.own_checks import own_checks
from orchestrator_core.records import CheckResult, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.mission.agent import Backend, Outcome, TaskContext
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.workspace.draft import Draft
    from orchestrator_core.workspace.edits import Change

    MakeContext = Callable[[int], TaskContext]

_PLACE = re.compile(r":\d+:\d+")


class Worked(Struct, frozen=True):
    """What came of an attempt.

    Attributes:
        context: that of the draft; where there was a race, of the winner's.
        changes: what the draft would do to the workspace.
        reason: why it does not count; empty if it passed.
        notes: what the person should know.
    """

    context: TaskContext
    receipt: Receipt
    changes: Sequence[Change]
    outcome: Outcome
    reason: str = ""
    notes: tuple[str, ...] = ()


class TaskWork:
    """Attempts at the tasks of one backend. Holds no state; any number at once.

    Cancelling an attempt stops its workers and their tools.
    """

    def __init__(self, engine: Engine, backend: Backend) -> None:
        self._engine = engine
        self._backend = backend

    async def attempt(self, context: TaskContext, begun: Callable[[], None]) -> Worked:
        """Have a worker carry out the task, and mend it until it passes or gets no better.

        Args:
            context: with the draft to change.
            begun: told when a worker has a slot and begins.

        Raises:
            OrchestratorError: the worker or a tool failed.
        """
        worker = self._backend.worker
        async with self._slot() as token:
            begun()
            with token.kept():
                outcome = await worker.perform(context)
        rounds = self._engine.settings.limits.iterations
        before: set[object] = set()
        while True:
            changes = await self._changes(context.draft)
            receipt = await self.review(context, changes, outcome)
            rounds -= 1
            if receipt.passed:
                return Worked(context, receipt, changes, outcome, notes=outcome.notes)
            found: set[object] = {receipt.tree, _findings(receipt)}
            if found & before:
                reason = f"stagnation, mending it got no further: {why(receipt, changes)}"
                break
            before = found
            reason = why(receipt, changes)
            if not changes or rounds <= 0:
                break
            async with self._slot() as token:
                with token.kept():
                    mended = await worker.repair(context, receipt)
            if not mended:
                break
        return Worked(context, receipt, changes, outcome, reason, outcome.notes)

    async def race(
        self, make_context: MakeContext, begun: Callable[[], None], runners: int
    ) -> Worked:
        """Have several workers do the task side by side; the first that passes is taken.

        Args:
            make_context: a context with a draft of its own for each runner, from 0.
            begun: told when the first runner begins.
            runners: how many.

        Raises:
            BudgetExceeded: none passed, and one of them could have gone on with more.
            OrchestratorError: none passed, and the last of them ended with this error.
        """
        starts = iter([begun])

        def first_begun() -> None:
            next(starts, _nothing)()

        running = {
            asyncio.ensure_future(self.attempt(make_context(number), first_begun)): number
            for number in range(runners)
        }
        lost: dict[int, str] = {}
        worked: Worked | None = None
        error: OrchestratorError | None = None
        try:
            while running:
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for runner in sorted(ended, key=running.__getitem__):
                    number = running.pop(runner)
                    try:
                        worked = runner.result()
                    except OrchestratorError as failure:
                        lost[number] = str(failure)
                        if not isinstance(error, BudgetExceeded):
                            error = failure
                        continue
                    if worked.receipt.passed:
                        return _won(worked, number, runners, lost)
                    lost[number] = worked.reason
        finally:
            for runner in running:
                runner.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if worked is None or isinstance(error, BudgetExceeded):
            assert error is not None
            raise error  # with more to spend, a run may pass
        return structs.replace(
            worked, reason=f"none of {runners} runs passed: {' | '.join(_told(lost))}"
        )

    async def review(
        self, context: TaskContext, changes: Sequence[Change], outcome: Outcome
    ) -> Receipt:
        """Have the server's checks run, and the critic, if there is one, read what they passed."""
        receipt = await self._review(context, changes, outcome)
        if receipt.passed:
            return receipt
        return await self._engine.pool.submit(with_places, receipt, changes)

    async def _review(
        self, context: TaskContext, changes: Sequence[Change], outcome: Outcome
    ) -> Receipt:
        async with self._engine.concurrency.acquire(role="reviewer") as token:
            with token.kept():
                return await self._judged(context, changes, outcome)

    async def _judged(
        self, context: TaskContext, changes: Sequence[Change], outcome: Outcome
    ) -> Receipt:
        receipt = await self._engine.reviewer.review(context.task.id, changes, outcome.checks)
        if changes and receipt.passed and context.checks:
            receipt = _with_checks(receipt, await own_checks(context, against_before=True))
        critic = self._backend.critic
        if critic is None or not changes or not receipt.passed:
            return receipt
        try:
            opinion = await critic.judge(context, changes, receipt)
        except BudgetExceeded:
            raise
        except AgentError as error:
            opinion = CheckResult(name="critic", status="unverified", details=(str(error),))
        return _with_checks(receipt, (opinion,))

    async def _changes(self, draft: Draft) -> tuple[Change, ...]:
        """What a draft changes; to compare texts is the pool's, where there are any."""
        return await self._engine.pool.submit(draft.changes) if draft.documents() else ()

    def _slot(self):  # noqa: ANN202 - the controller's own awaitable
        return self._engine.concurrency.acquire(role="worker", backend=self._backend.name)


def _with_checks(receipt: Receipt, checks: Sequence[CheckResult]) -> Receipt:
    """A receipt that passed so far, with further checks of the same texts."""
    return structs.replace(
        receipt,
        passed=all(check.status != "failed" for check in checks),
        checks=(*receipt.checks, *(structs.replace(each, tree=receipt.tree) for each in checks)),
    )


def why(receipt: Receipt, changes: Sequence[Change]) -> str:
    """Why a receipt did not pass, in one line."""
    failed = [check for check in receipt.checks if check.status == "failed"]
    lines = [f"{check.name}: {'; '.join(check.details) or 'failed'}" for check in failed]
    told = "its edits made something worse and were not applied" if changes else "a check failed"
    return f"{told}: {' | '.join(lines)}"


def _findings(receipt: Receipt) -> tuple[tuple[str, ...], ...]:
    """What the failed checks found, wherever it is by now."""
    return tuple(
        (check.name, *(_PLACE.sub("", detail) for detail in check.details))
        for check in receipt.checks
        if check.status == "failed"
    )


def _won(worked: Worked, number: int, runners: int, lost: dict[int, str]) -> Worked:
    told = (f"run {number + 1} of {runners} was the first to pass", *_told(lost))
    return structs.replace(worked, notes=(*worked.notes, *told))


def _told(lost: dict[int, str]) -> list[str]:
    return [f"run {number + 1}: {reason}" for number, reason in sorted(lost.items())]


def _nothing() -> None:
    """Another runner has begun before."""
