"""The settings: one schema for environment, editor and files.

How they are read from these: :mod:`orchestrator_core.settings_sources`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from orchestrator_core.records import Mode
from orchestrator_core.safety import BudgetLimits, ConfinementMode, PermissionRule

SETTINGS_FILES = ("pyproject.toml", ".opencode/orchestrator.toml")
"""The files of a workspace that may hold settings, the later one wins."""

Seconds = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class Flags(Struct, frozen=True):
    """The feature flags. Off changes how work is done, never its result."""

    rust_pool: bool = True
    work_stealing: bool = True
    adaptive_polling: bool = True
    task_pooling: bool = True


class Limits(Struct, frozen=True, rename="camel"):
    """How many agents of a role work at once, how long they may take, and how often they try.

    Attributes:
        attempts: how often a task is begun, where texts change meanwhile or an error may pass.
        iterations: how often one attempt goes to the Reviewer, mended each time.
        retry_first_s: the longest pause before the second attempt; it doubles with each.
        retry_cap_s: no pause is longer.
        racers: how often a task is done side by side in mode ``race``.
        depth: how deep tasks are divided in mode ``fractal``; 0 means not at all.
    """

    commander: Annotated[int, Meta(ge=1, le=50)] = 1
    planner: Annotated[int, Meta(ge=1, le=50)] = 10
    worker: Annotated[int, Meta(ge=1, le=50)] = 10
    reviewer: Annotated[int, Meta(ge=1, le=50)] = 10
    total: Annotated[int, Meta(ge=1, le=50)] = 50
    wait_s: Seconds = 300.0
    mission_s: Seconds = 3600.0
    tasks: Annotated[int, Meta(ge=1)] = 10_000
    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    iterations: Annotated[int, Meta(ge=1, le=20)] = 3
    retry_first_s: Seconds = 0.5
    retry_cap_s: Seconds = 30.0
    racers: Annotated[int, Meta(ge=2, le=10)] = 3
    depth: Annotated[int, Meta(ge=0, le=3)] = 3


class CleanupLimits(Struct, frozen=True, rename="camel"):
    """What may stay in ``.opencode``, and for how long; 0 switches a limit off.

    Days and hours are those in which the computer was on: they are counted without the wall
    clock, which may be wrong.

    Attributes:
        enabled: False: nothing is ever cleaned up but by the command ``clean``.
        session_days: sessions that were not used for so long go to the quarantine.
        files: the most files of ours; above, those longest unused go to the quarantine.
        cache_hours: caches and fetched documents that were not used for so long are deleted.
        cache_bytes: what these may take in all.
        node_modules: whether ``.opencode/node_modules`` is deleted where it can be regenerated.
        regenerable: packages in ``.opencode/package.json`` that no person declared.
        compress: whether old logs, plans and missions are compressed.
        history_days: replaced plans and archived missions that are older go to the quarantine.
        log_days: logs that are older go to the quarantine.
        log_bytes: a log that has grown above this is put aside and compressed.
        journal_bytes: above, finished missions are moved from the journal to the archive.
        quarantine_days: what lies in the quarantine for so long is deleted.
        budget_bytes: what all files of ours may take, the quarantine among them.
        budget_files: how many files of ours there may be, the quarantine among them.
        free_bytes: with less room than this on the disk nothing is written any more.
    """

    enabled: bool = True
    session_days: NotNegative = 7.0
    files: Annotated[int, Meta(ge=0)] = 500
    cache_hours: NotNegative = 24.0
    cache_bytes: Annotated[int, Meta(ge=0)] = 10_000_000
    node_modules: bool = True
    regenerable: tuple[str, ...] = ("@opencode-ai/plugin",)
    compress: bool = True
    history_days: NotNegative = 30.0
    log_days: NotNegative = 30.0
    log_bytes: Annotated[int, Meta(ge=0)] = 262_144
    journal_bytes: Annotated[int, Meta(ge=0)] = 500_000
    quarantine_days: NotNegative = 7.0
    budget_bytes: Annotated[int, Meta(ge=0)] = 2_000_000
    budget_files: Annotated[int, Meta(ge=0)] = 200
    free_bytes: Annotated[int, Meta(ge=0)] = 20_000_000


class ModelSettings(Struct, frozen=True, rename="camel"):
    """The model behind an API that backend ``llm`` talks to.

    Attributes:
        name: provider and model, such as ``openai:gpt-5`` or ``anthropic:claude-sonnet-5``;
            ``openai`` is also for all that speak its protocol. Empty: no model.
        base_url: where the API is; empty for the provider's own.
        api_key_env: the environment variable with the key; empty for the provider's usual one.
        context_tokens: how much the model takes, its reply included.
        max_output_tokens: the most of one reply.
        silent_s: a request that brings nothing for so long is given up and tried again.
        turns: the most replies for one task.
        review: whether the Reviewer role reads each diff that the checks have passed.
    """

    name: str = ""
    base_url: str = ""
    api_key_env: str = ""
    context_tokens: Annotated[int, Meta(ge=2_000)] = 128_000
    max_output_tokens: Annotated[int, Meta(ge=256)] = 8_192
    silent_s: Seconds = 120.0
    turns: Annotated[int, Meta(ge=1)] = 60
    review: bool = True


class AgentSettings(Struct, frozen=True, rename="camel"):
    """The agent that backend ``acp`` works with, over the Agent Client Protocol.

    Attributes:
        command: ``opencode``, ``claude-code``, ``gemini``, ``codex``, or any command line; empty:
            the first of these that is on ``PATH``.
        silent_s: a turn of which nothing is heard for so long is given up and tried again.
    """

    command: str = ""
    silent_s: Seconds = 300.0


class Settings(Struct, frozen=True, rename="camel"):
    """Everything a person can set, with its default.

    Attributes:
        backend: who plans and works; ``builtin`` needs no model, and ``auto`` takes it for what
            it understands and else the best that is there (:mod:`~agents.choice`).
        mode: how tasks are carried out where a request does not say.
        workers: threads of the worker pool; 0 means one a processor and at least two.
        tool_processes: the most Rust tool processes at once.
        plan_file: the plan that ``/run`` carries out, relative to the workspace.
        checks: commands that the Reviewer runs in trusted workspaces, each one shell line.
        check_timeout_s: how long one such command may take.
        log_level: what goes to stderr.
        permissions: rules for what agents may do; see :class:`PermissionRule`.
        workspace_permissions: those of the workspace's own files.
        confinement: ``strict`` runs no command that cannot be confined, ``on`` confines as far
            as the system can, ``off`` not at all.
        network: whether commands may use the network.
        pass_environment: variables that commands get although their names sound like secrets.
        budget: what one mission may spend.
        review: when a person is asked about changes: ``after`` a task made them, by hunk;
            ``before``, and then by hunk; or not at all (``off``).
    """

    backend: str = "auto"
    mode: Mode = Mode.NORMAL
    workers: Annotated[int, Meta(ge=0, le=64)] = 0
    tool_processes: Annotated[int, Meta(ge=1, le=4)] = 4
    plan_file: str = ".opencode/todo.md"
    checks: tuple[str, ...] = ()
    check_timeout_s: Seconds = 600.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    permissions: tuple[PermissionRule, ...] = ()
    workspace_permissions: tuple[PermissionRule, ...] = ()
    confinement: ConfinementMode = "on"
    network: bool = False
    pass_environment: tuple[str, ...] = ()
    budget: BudgetLimits = msgspec.field(default_factory=BudgetLimits)
    review: Literal["after", "before", "off"] = "after"
    limits: Limits = msgspec.field(default_factory=Limits)
    flags: Flags = msgspec.field(default_factory=Flags)
    cleanup: CleanupLimits = msgspec.field(default_factory=CleanupLimits)
    model: ModelSettings = msgspec.field(default_factory=ModelSettings)
    agent: AgentSettings = msgspec.field(default_factory=AgentSettings)
