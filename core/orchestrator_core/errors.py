"""The exceptions of the engine.

::

    OrchestratorError
    ├── RequestError              the person asked for something that cannot be done as written
    │   ├── TaskTextError         a task's text that no verb understands, or a pattern that is wrong
    │   ├── PlanError             a plan file with problems, each with line and column
    │   ├── SettingsError         a setting with a value that is not allowed
    │   ├── WorkspaceError        a folder that does not exist or cannot be read
    │   │   ├── MissingFile       a file of the workspace that is not there
    │   │   └── UnreadableText    a file that is no UTF-8 text: it is left alone and reported
    │   ├── CleanupRefused        a workspace in which nothing is ever cleaned up
    │   └── UntrustedWorkspace    a command would run in a workspace that nobody trusted
    ├── AgentError                an agent could not do its task
    │   ├── LoginNeeded           the agent is not allowed to use its model: somebody must log in
    │   ├── BudgetExceeded        the next call could cost more than is left: resume with more
    │   ├── ModelFault            the model's side failed in passing: the same call may go well
    │   └── ContextOverflow       the conversation is longer than the model can take
    ├── EditError
    │   ├── StaleEdit             the text changed since the edit was computed: compute it again
    │   └── EditRefused           the editor or the file system would not take the edit
    ├── ToolError
    │   ├── ToolRejected          the tool answered that the arguments are wrong
    │   ├── PermissionDenied      the rules, or the person who was asked, do not allow the call
    │   ├── ToolTimeout           the deadline of the call passed
    │   ├── ToolCrashed           the process died during the call
    │   └── ToolUnavailable       no process can be started
    │       └── Unconfined        commands cannot be confined here, and strict mode wants it
    ├── ConcurrencyError
    │   ├── AcquireTimeout        no slot became free in time
    │   ├── CircuitOpen           too many failures: calls are refused for a while
    │   ├── MemoryPressure        low-priority work is refused while memory is short
    │   └── TokenReleased         a token was released twice, or used after its release
    ├── PoolError
    │   ├── PoolClosed            work was given to a pool that is closed
    │   ├── DeadlineExceeded      a task had not finished when its deadline passed
    │   └── PooledObjectMisuse    a pooled object was used after its release
    ├── ContentsUnavailable       the old texts that undo needs cannot be kept or read
    ├── CleanupError              the state folder could not be cleaned up
    │   ├── CleanupBusy           another process is cleaning it up now
    │   └── DiskFull              there is hardly any room: nothing more is written
    └── JournalError
        ├── JournalDamaged        the journal cannot be read
        ├── JournalBusy           another live server owns the workspace
        └── IllegalTransition     an event that the mission's state does not allow

A message says what happened, where, and what to do. ``RequestError`` is the only branch that
ends a command with exit code 2; all others end it with 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.records import Problem


class OrchestratorError(Exception):
    """Root of all errors that the engine raises on purpose.

    Attributes:
        transient: whether the same may go well when it is tried again a little later.
    """

    transient = False


class RequestError(OrchestratorError):
    """The request cannot be carried out as written; nothing was changed."""


class TaskTextError(RequestError):
    """A task's text cannot be understood.

    Attributes:
        reason: what is wrong in one sentence, for a place that shows the text itself.
        start: where the offending part begins in the text, in characters.
        end: where it ends, exclusive.
    """

    def __init__(self, message: str, reason: str = "", start: int = 0, end: int = 0) -> None:
        self.reason = reason or message
        self.start = start
        self.end = end
        super().__init__(message)


class PlanError(RequestError):
    """A plan has problems.

    Attributes:
        problems: every problem found, in the order of the text.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "plan") -> None:
        self.problems = tuple(problems)
        lines = [f"{source}:{p.line}:{p.column}: {p.message}" for p in self.problems]
        super().__init__("\n".join(lines))


class SettingsError(RequestError):
    """A setting has a value that is not allowed."""


class WorkspaceError(RequestError):
    """The workspace does not exist or cannot be read."""


class MissingFile(WorkspaceError):
    """There is no such file in the workspace."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} does not exist")


class UnreadableText(WorkspaceError):
    """A file that is not UTF-8 text or cannot be read; it is left alone.

    Attributes:
        path: the file, relative to the workspace.
        reason: why it is left alone, to be shown beside the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} {reason}: it is left alone")


class UntrustedWorkspace(RequestError):
    """A command would run in a workspace that nobody has trusted yet."""


class CleanupRefused(RequestError):
    """Nothing is ever cleaned up in this workspace, or there is nothing by that name."""


class AgentError(OrchestratorError):
    """An agent could not do its task; the message says why."""

    def __init__(self, message: str, *, transient: bool | None = None) -> None:
        if transient is not None:
            self.transient = transient
        super().__init__(message)


class LoginNeeded(AgentError):
    """The agent may not use its model until a person has logged in to it, or set a key."""


class ModelFault(AgentError):
    """A call to a model failed for a reason that may pass: it is worth another try.

    Attributes:
        retry_after_s: how long the model's side asked to be left alone; None if it did not say.
    """

    transient = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class ContextOverflow(AgentError):
    """The conversation is longer than the model can take."""


class BudgetExceeded(AgentError):
    """The budget does not cover the next call, so it was not made.

    Attributes:
        measure: what ran out, as in the settings: ``tokens``, ``moneyUsd``, ``seconds`` …
        more: how much of it the call needed.
    """

    def __init__(self, message: str, measure: str, more: float = 0.0) -> None:
        self.measure = measure
        self.more = more
        super().__init__(message)


class EditError(OrchestratorError):
    """An edit could not be applied; the workspace is as it was before."""


class StaleEdit(EditError):
    """The text is no longer the one that the edit was computed from.

    Attributes:
        path: the file, relative to the workspace.
    """

    def __init__(self, path: str, message: str | None = None) -> None:
        self.path = path
        super().__init__(message or f"{path} changed while an edit to it was being made")


class EditRefused(EditError):
    """The editor or the file system would not take the edit."""


class ToolError(OrchestratorError):
    """A tool call failed."""

    def __init__(self, message: str, *, transient: bool | None = None) -> None:
        if transient is not None:
            self.transient = transient
        super().__init__(message)


class ToolRejected(ToolError):
    """The tool refused the arguments.

    Attributes:
        code: the JSON-RPC error code.
        data: what the tool added, for example the offset of a mistake in a pattern.
    """

    def __init__(self, message: str, code: int = -32602, data: object = None) -> None:
        self.code = code
        self.data = data
        super().__init__(message)


class PermissionDenied(ToolError):
    """A call that the rules forbid, or that the person who was asked did not allow."""


class ToolTimeout(ToolError):
    """The deadline of a tool call passed; its work was stopped."""

    transient = True


class ToolCrashed(ToolError):
    """The process that ran the call died."""

    transient = True


class ToolUnavailable(ToolError):
    """No process can be started for the tool."""


class Unconfined(ToolUnavailable):
    """This system cannot confine commands, and the settings want no command without."""


class ConcurrencyError(OrchestratorError):
    """Work was not admitted."""


class AcquireTimeout(ConcurrencyError):
    """No slot became free within the wait limit."""


class CircuitOpen(ConcurrencyError):
    """The circuit breaker refuses calls after repeated failures."""

    transient = True


class MemoryPressure(ConcurrencyError):
    """Low-priority work is refused while memory is short."""

    transient = True


class TokenReleased(ConcurrencyError):
    """A concurrency token was released twice, or used after its release."""


class PoolError(OrchestratorError):
    """A pool was used against its rules."""


class PoolClosed(PoolError):
    """Work was given to a pool that is closed or closing."""


class DeadlineExceeded(PoolError, TimeoutError):
    """A task had not finished when its deadline passed; it was asked to stop."""


class PooledObjectMisuse(PoolError):
    """A pooled object was released twice or used after its release."""


class ContentsUnavailable(OrchestratorError):
    """The store of the old texts that undo needs cannot be written or read."""


class CleanupError(OrchestratorError):
    """The state folder could not be cleaned up; nothing was lost."""


class CleanupBusy(CleanupError):
    """Another process is cleaning the state folder up now."""


class DiskFull(CleanupError):
    """The disk has hardly any room left: the program stops writing before others must."""


class JournalError(OrchestratorError):
    """The journal cannot be used."""


class JournalDamaged(JournalError):
    """The journal's file cannot be read as one."""


class JournalBusy(JournalError):
    """Another live process owns this workspace's journal."""


class IllegalTransition(JournalError):
    """An event does not fit the mission's state: a finished task that starts, say."""
