"""``/task`` without a text: ask what to do, with what the protocol has for asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from msgspec import Struct
from pygls.exceptions import JsonRpcException

from orchestrator_core.errors import TaskTextError

if TYPE_CHECKING:
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_server.server import HardenedServer


class Answer(Struct, frozen=True):
    """What the person chose: a text, or a plan file to carry out."""

    text: str = ""
    plan_file: str = ""


async def ask_for_task(server: HardenedServer, engine: Orchestrator) -> Answer | None:
    """Offer what can be run without typing a text.

    Returns:
        The choice, or None when the person chose nothing.

    Raises:
        TaskTextError: the editor cannot ask; the message says how to give a text.
    """
    choices = {
        "Fix what the linter finds": Answer(text="fix"),
        "Format the code": Answer(text="format"),
        "Check everything": Answer(text="check"),
    }
    plan_file = engine.settings.plan_file
    if engine.plans.exists():
        choices = {f"Run {plan_file}": Answer(plan_file=plan_file), **choices}
    try:
        chosen = await server.window_show_message_request_async(
            lsp.ShowMessageRequestParams(
                type=lsp.MessageType.Info,
                message="What should be done? To type a task, pass it to /task as its argument.",
                actions=[lsp.MessageActionItem(title=title) for title in choices],
            )
        )
    except JsonRpcException as error:
        from orchestrator_core.agents.verbs import VERB_HELP  # noqa: PLC0415 - after initialize

        raise TaskTextError(
            "what should be done? Pass the task as the command's first argument, for example:\n"
            + "\n".join(f"  {example}" for example in VERB_HELP.values())
        ) from error
    return None if chosen is None else choices.get(chosen.title)
