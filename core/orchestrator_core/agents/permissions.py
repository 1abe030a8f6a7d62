"""What an agent may do: a pure decision about each call, before it is made.

What always holds, whatever the rules say: nothing outside the workspace is reached, through no
link, and no agent changes what it is itself ruled by (:mod:`~orchestrator_core.agents.protected`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from msgspec import Struct

from orchestrator_core.agents.command_line import read_command
from orchestrator_core.agents.command_paths import judge_paths
from orchestrator_core.agents.permission_rules import (
    Layer,
    Verdict,
    strictest,
)
from orchestrator_core.agents.protected import is_protected
from orchestrator_core.errors import WorkspaceError
from orchestrator_core.safety import Effect, PermissionRule
from orchestrator_core.tools.registry import Permission

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from orchestrator_core.agents.command_line import SimpleCommand
    from orchestrator_core.workspace.root import Root

DEFAULTS = Layer(
    "by default",
    rules=(
        *(
            PermissionRule(Effect.ASK, tool, glob)
            for tool, glob in (
                # What commonly holds secrets.
                ("read", ".env"),
                ("read", ".env.*"),
                ("read", ".netrc"),
                ("read", ".npmrc"),
                ("read", ".pypirc"),
                ("read", "*.pem"),
                ("read", "*.key"),
                ("read", "id_rsa"),
                ("read", "id_ed25519"),
                ("read", ".git/**"),
                # What runs later without anybody looking.
                ("write", ".vscode/**"),
                ("write", ".idea/**"),
                ("write", ".husky/**"),
                ("write", ".githooks/**"),
                ("write", ".pre-commit-config.yaml"),
                ("write", ".envrc"),
                ("write", ".github/workflows/**"),
                ("write", ".gitlab-ci.yml"),
            )
        ),
    ),
)
"""Cautions that hold for everybody; a person answers them by being asked."""


class ToolCall(Struct, frozen=True):
    """What an agent wants to do.

    Attributes:
        tool: the tool's name, as in the registry.
        permission: what the tool does.
        paths: every file that it reads or changes, as the agent named them; for a tool that
            looks at many files, the folder (``.`` is the whole workspace).
        command: the shell line, of a tool that runs one.
        cwd: where the line runs, relative to the workspace.
    """

    tool: str
    permission: Permission
    paths: tuple[str, ...] = ()
    command: str = ""
    cwd: str = "."

    @property
    def summary(self) -> str:
        """The call in one line, for a person who is asked."""
        about = self.command or ", ".join(self.paths)
        return f"{self.tool} {about}".strip()


class Decision(Struct, frozen=True):
    """What is to happen with a call, and why; the reason is for people and models alike."""

    effect: Effect
    reason: str = ""


class Permissions:
    """The rights of one agent in one workspace. Immutable: safe from any thread.

    Args:
        root: the workspace.
        layers: the rules; every layer must agree.
    """

    def __init__(self, root: Root, layers: Iterable[Layer]) -> None:
        self._root = root
        self._layers = tuple(layers)

    @classmethod
    def of(
        cls,
        root: Root,
        rules: Sequence[PermissionRule] = (),
        workspace_rules: Sequence[PermissionRule] = (),
        *,
        workspace_trusted: bool = False,
    ) -> Self:
        """The rights that a mission's agents have at most.

        Args:
            root: the workspace.
            rules: the person's own.
            workspace_rules: those in the workspace's files.
            workspace_trusted: whether the person trusts these files as they are now. If not,
                their rules can only make things stricter.
        """
        own = (*rules, *workspace_rules) if workspace_trusted else tuple(rules)
        run = {Permission.EXECUTE: Effect.ASK}
        layers = [DEFAULTS, Layer("the settings", own, run)]
        if workspace_rules and not workspace_trusted:
            layers.append(Layer("the workspace's settings", tuple(workspace_rules)))
        return cls(root, layers)

    @property
    def root(self) -> Root:
        """The workspace."""
        return self._root

    def narrowed(
        self,
        rules: Sequence[PermissionRule] = (),
        *,
        source: str = "the task",
        permissions: Collection[Permission] | None = None,
        files: Sequence[str] = (),
    ) -> Self:
        """The rights of a sub-task: these, less what the arguments take away.

        Args:
            rules: further rules. One that allows adds nothing.
            source: who limits it, for the reasons.
            permissions: the only ones that it has.
            files: globs of the only files that it may write.
        """
        otherwise: dict[Permission, Effect] = {}
        if permissions is not None:
            otherwise = {p: Effect.DENY for p in Permission if p not in permissions}
        layers = [*self._layers]
        if otherwise:
            layers.append(Layer(source, (), otherwise))
        if files:
            allowed = tuple(PermissionRule(Effect.ALLOW, "write", glob) for glob in files)
            layers.append(Layer(source, allowed, {Permission.WRITE: Effect.DENY}))
        if rules:
            layers.append(Layer(source, tuple(rules)))
        return type(self)(self._root, layers)

    def decide(self, call: ToolCall) -> Decision:
        """What is to happen with a call. Reads symbolic links, and changes nothing.

        The strictest of what is said of each file, of each part of the command, and of the
        tool itself.
        """
        verdict = strictest(self._verdicts(call))
        return Decision(verdict.effect, verdict.reason)

    def shows(self, path: str) -> bool:
        """Whether a tool that looks at many files may show what it found in this one."""
        call = ToolCall("search", Permission.READ, (path,))
        return self.decide(call).effect is Effect.ALLOW

    def _verdicts(self, call: ToolCall) -> Iterator[Verdict]:
        for path in call.paths:
            yield self._of_path(call, path)
        if call.command or call.permission is Permission.EXECUTE:
            yield from self._of_line(call)
        if not call.paths and not call.command:
            yield strictest(layer.of_call(call.tool, call.permission) for layer in self._layers)

    def _of_path(self, call: ToolCall, path: str) -> Verdict:
        if path in ("", "."):
            if call.permission is Permission.WRITE:
                return Verdict(Effect.DENY, "a file must be named to be written")
            return strictest(layer.of_call(call.tool, call.permission) for layer in self._layers)
        try:
            name = self._root.relative(path)
            real = self._root.key(self._root.locate(name))
        except (WorkspaceError, OSError, ValueError) as error:
            return Verdict(Effect.DENY, str(error))
        # Rules about a file hold for every name that leads to it.
        return strictest(self._of_file(call, one) for one in dict.fromkeys((name, real)))

    def _of_file(self, call: ToolCall, name: str) -> Verdict:
        if call.permission is not Permission.READ and is_protected(name):
            return Verdict(Effect.DENY, f"{name} rules the agents themselves: none changes it")
        return strictest(layer.of_file(call.tool, call.permission, name) for layer in self._layers)

    def _of_line(self, call: ToolCall) -> Iterator[Verdict]:
        line = read_command(call.command)
        for reason in line.unclear:
            yield Verdict(Effect.ASK, f"it is not clear what the command does: {reason}")
        for command in line.commands:
            yield self._of_command(call, command)
        yield from judge_paths(self._root, line, call.cwd, is_protected)

    def _of_command(self, call: ToolCall, command: SimpleCommand) -> Verdict:
        return strictest(
            layer.of_command(call.tool, call.permission, command) for layer in self._layers
        )
