"""Rules in layers: in a layer the strictest rule that matches wins, and so does the strictest layer.

Nothing that is put on top can loosen what lies below. That is why the rights of a sub-task are
always a subset of its parent's: a sub-task adds a layer and never takes one away.
"""

from __future__ import annotations

import shlex
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.agents.path_globs import matches_path
from orchestrator_core.safety import Effect, PermissionRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator_core.agents.command_line import SimpleCommand
    from orchestrator_core.tools.registry import Permission


class Verdict(Struct, frozen=True):
    """What one layer says of one file or command, and why; ``by_rule`` if a rule says so."""

    effect: Effect
    reason: str = ""
    by_rule: bool = False


ALLOWED = Verdict(Effect.ALLOW)


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """The strictest verdict, the first of several; nothing at all is allowed."""
    return max(verdicts, key=lambda verdict: verdict.effect.rank, default=ALLOWED)


class Layer(Struct, frozen=True):
    """Rules of one source, and what holds where none of them matches.

    Attributes:
        source: who wrote them, for the reasons that people read.
        otherwise: by permission; what is not named is left to the other layers.
    """

    source: str
    rules: tuple[PermissionRule, ...] = ()
    otherwise: Mapping[Permission, Effect] = {}

    def of_file(self, tool: str, permission: Permission, path: str) -> Verdict:
        """What the layer says of a tool that works on a file (relative to the workspace)."""
        return self._judge(
            permission,
            (
                rule
                for rule in self.rules
                if not rule.command
                and _names_tool(rule, tool, permission)
                and (not rule.path or matches_path(rule.path, path))
            ),
        )

    def of_command(self, tool: str, permission: Permission, command: SimpleCommand) -> Verdict:
        """What the layer says of a command. One that is not wholly known is never allowed."""
        verdict = self._judge(
            permission,
            (
                rule
                for rule in self.rules
                if not rule.path
                and _names_tool(rule, tool, permission)
                and (not rule.command or matches_command(rule, command.words))
            ),
        )
        return ALLOWED if command.transparent and not verdict.by_rule else verdict

    def of_call(self, tool: str, permission: Permission) -> Verdict:
        """What the layer says of a tool that names neither files nor a command."""
        return self._judge(
            permission,
            (
                rule
                for rule in self.rules
                if not rule.command and not rule.path and _names_tool(rule, tool, permission)
            ),
        )

    def _judge(self, permission: Permission, rules: Iterable[PermissionRule]) -> Verdict:
        rule = max(rules, key=lambda rule: rule.effect.rank, default=None)
        if rule is not None:
            return Verdict(rule.effect, f"{self.source}: {describe(rule)}", by_rule=True)
        effect = self.otherwise.get(permission, Effect.ALLOW)
        return Verdict(
            effect, "" if effect is Effect.ALLOW else f"{self.source}: no rule allows it"
        )


def describe(rule: PermissionRule) -> str:
    """The rule in a few words."""
    parts = (
        "" if rule.tool == "*" else rule.tool,
        rule.path,
        f"`{rule.command}`" if rule.command else "",
    )
    return " ".join([rule.effect, *(part for part in parts if part)])


def _names_tool(rule: PermissionRule, tool: str, permission: Permission) -> bool:
    return rule.tool == permission or fnmatchcase(tool, rule.tool)


def matches_command(rule: PermissionRule, words: Sequence[str | None]) -> bool:
    """Whether a rule is about a command.

    A word that is only known when the command runs (None) may be anything: it matches where the
    rule is one that asks or denies, and does not where the rule would allow.
    """
    allows = rule.effect is Effect.ALLOW
    pattern = _command_pattern(rule.command)
    if pattern and pattern[-1] == "*":
        pattern, rest = pattern[:-1], words[len(pattern) - 1 :]
        if allows and None in rest:
            return False
        words = words[: len(pattern)]
    elif not allows and None in words:
        # It may expand to several words, or to none.
        words = words[: len(pattern)]
        words = [*words, *[None] * (len(pattern) - len(words))]
    if len(words) != len(pattern):
        return not allows and None in words
    return all(_matches_word(p, w, allows=allows) for p, w in zip(pattern, words, strict=True))


def _matches_word(pattern: str, word: str | None, *, allows: bool) -> bool:
    return not allows if word is None else fnmatchcase(word, pattern)


@lru_cache(maxsize=1024)
def _command_pattern(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())
