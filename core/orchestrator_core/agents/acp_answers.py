"""What an agent answers, and what of it is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import Struct

from orchestrator_core.errors import AgentError, LoginNeeded, ModelFault

if TYPE_CHECKING:
    from acp import RequestError
    from acp.schema import InitializeResponse, PromptResponse
    from pydantic import ValidationError

_LOGIN = (-32000, 401, 403)
"""Errors that say who asks is not known: the protocol's, and a model's that is handed on."""

_OURS = (-32700, -32600, -32601, -32602)
"""Errors that say that we asked for something wrong: to ask again does not help."""

_SHOWN = 500


class Capabilities(Struct, frozen=True):
    """What the agent says of itself.

    Attributes:
        name: what it calls itself, with its version.
        close: whether sessions can be closed.
        list: whether it can be asked for its sessions, which shows that it is well.
        logins: the ways to authenticate.
    """

    name: str = ""
    close: bool = False
    list: bool = False
    logins: tuple[str, ...] = ()


class Ended(Struct, frozen=True):
    """How a turn ended.

    Attributes:
        tokens: what it cost; None where the agent does not tell.
    """

    stop: Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]
    tokens: int | None = None


def capabilities(name: str, answer: InitializeResponse) -> Capabilities:
    """What an agent said of itself when it shook hands."""
    info, said = answer.agent_info, answer.agent_capabilities
    sessions = said.session_capabilities if said else None
    return Capabilities(
        name=f"{info.title or info.name} {info.version}" if info else name,
        close=bool(sessions and sessions.close),
        list=bool(sessions and sessions.list),
        logins=tuple(method.id for method in answer.auth_methods or ()),
    )


def ended(answer: PromptResponse) -> Ended:
    """How a turn ended."""
    if answer.usage:
        return Ended(answer.stop_reason, answer.usage.total_tokens)
    return Ended(answer.stop_reason, _counted(answer.field_meta))


def _counted(meta: object) -> int | None:
    """The tokens that Gemini tells of, in a place of its own."""
    match meta:
        case {"quota": {"token_count": {"input_tokens": int(sent), "output_tokens": int(said)}}}:
            return sent + said
        case _:
            return None


def refusal(name: str, what: str, error: RequestError, login: str = "") -> AgentError:
    """An error that an agent answered with, as one of ours.

    Args:
        name: the agent.
        what: was asked of it.
        error: its answer.
        login: how a person logs in to it.
    """
    details = error.data
    if isinstance(details, dict):
        details = cast("dict[str, Any]", details)
        details = details.get("details") or details.get("message") or details
    said = f"{error}: {details}" if details else str(error)
    if error.code in _LOGIN:
        return LoginNeeded(f"{name} wants you to log in first: {login or said[:_SHOWN]}")
    kind = AgentError if error.code in _OURS else ModelFault
    return kind(f"{name} failed ({what}): {said[:_SHOWN]}")


def nonsense(name: str, what: str, error: ValidationError) -> ModelFault:
    """An answer that does not fit the protocol, as an error."""
    mistake = error.errors(include_url=False)[0]
    place = ".".join(map(str, mistake["loc"])) or "the answer"
    return ModelFault(
        f"{name} answered what the protocol does not know ({what}: {place}: {mistake['msg']})"
    )
