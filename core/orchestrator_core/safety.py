"""What a person sets about safety: rules, confinement, budget; and how sources combine.

A workspace's own files are written by whoever can change the repository. So their word counts
only where it makes things stricter: a lower limit, a rule that asks or denies, less network.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct


class Effect(StrEnum):
    """What a rule says of a call, from the mildest to the strictest."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"

    @property
    def rank(self) -> int:
        """Greater is stricter."""
        return _RANKS[self]


_RANKS = {Effect.ALLOW: 0, Effect.ASK: 1, Effect.DENY: 2}


class PermissionRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Says what happens with the calls that match all it names.

    Attributes:
        effect: ``allow``, ``ask`` or ``deny``.
        tool: a glob on the tool's name, or one of ``read``, ``write``, ``execute`` for all tools
            that do so.
        path: a glob of workspace files, such as ``src/**``; empty matches calls without files.
        command: words of a command, each a glob, such as ``git diff *``: a last ``*`` stands
            for any further words. It is compared with each command of a line by itself.
    """

    effect: Effect
    tool: str = "*"
    path: str = ""
    command: str = ""


ConfinementMode = Literal["strict", "on", "off"]
_LOOSENESS: dict[ConfinementMode, int] = {"strict": 0, "on": 1, "off": 2}

Amount = Annotated[int, Meta(ge=0)]


class BudgetLimits(Struct, frozen=True, rename="camel"):
    """The most that one mission may spend, its sub-tasks included; None is no limit.

    Attributes:
        tokens: sent and received together.
        money_usd: in US dollars, as far as prices are known.
        requests: calls of a model.
        seconds: from the mission's start to its last call.
        agents: at work at once; more wait for their turn.
    """

    tokens: Amount | None = 2_000_000
    money_usd: Annotated[float, Meta(ge=0)] | None = None
    requests: Amount | None = 1_000
    seconds: Annotated[float, Meta(gt=0)] | None = 3600.0
    agents: Annotated[int, Meta(ge=1)] | None = 50

    @staticmethod
    def unlimited() -> dict[str, object]:
        """No limit at all, as a settings table."""
        return {field.encode_name: None for field in msgspec.structs.fields(BudgetLimits)}

    def tightened(self, other: BudgetLimits) -> BudgetLimits:
        """The lower limit of each measure."""
        return BudgetLimits(
            **{
                name: min((v for v in (mine, getattr(other, name)) if v is not None), default=None)
                for name, mine in msgspec.structs.asdict(self).items()
            }
        )


def stricter_mode(one: ConfinementMode, other: ConfinementMode) -> ConfinementMode:
    """The one that confines more."""
    return min(one, other, key=_LOOSENESS.__getitem__)
