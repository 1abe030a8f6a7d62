"""``/task`` about lines of a file: asks for a text where the editor can, else drafts a task.

The protocol has no way to ask for a text. An editor that can (``"input": true`` in its
``initializationOptions``) is asked by ``orchestrator/input`` ``{"prompt": …}`` and answers the text
or null. In any other, the task is added to the plan file with its file and lines, and shown: there
it is completed, checked and run like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lsprotocol import types as lsp
from msgspec import Meta, Struct
from pygls.exceptions import JsonRpcException

from orchestrator_core.errors import RequestError
from orchestrator_server.show import show
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from orchestrator_core.mission.plan_addition import AddedTask
    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.folder import Folder
    from orchestrator_server.server import HardenedServer

INPUT = "orchestrator/input"

Line = Annotated[int, Meta(ge=1)]


class Lines(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Lines of a file, from 1, the last included: ``at`` in the options of ``/task``."""

    uri: str
    first_line: Line
    last_line: Line


def folder_of(session: EditorSession, at: Lines | None) -> str | None:
    """The folder of the lines' file, as :meth:`EditorSession.folder` takes it."""
    place = None if at is None else session.place(at.uri)
    return None if place is None else place[0].root.as_uri()


async def ask_text(server: HardenedServer, prompt: str) -> str | None:
    """A text that the person types; None if they do not.

    Raises:
        RequestError: the editor said that it can ask, and cannot.
    """
    try:
        text = await server.request(INPUT, {"prompt": prompt})
    except JsonRpcException as error:
        raise RequestError(f"the editor does not answer {INPUT}: {error}") from error
    return text.strip() or None if isinstance(text, str) else None


async def task_at(session: EditorSession, at: Lines, text: str | None) -> str | AddedTask | None:
    """The text of a task about some lines.

    Args:
        session: the editor's.
        at: the lines.
        text: what was typed already; asked for if it is None.

    Returns:
        The text; where it could not be asked for, the task that was added to the plan file; None
        where the person typed nothing.

    Raises:
        RequestError: the file lies in no folder of the session.
    """
    from orchestrator_server.features.source_tasks import (  # noqa: PLC0415 - after initialize
        Spot,
        do_here,
        glob_of,
    )

    place = session.place(at.uri)
    if place is None:
        raise RequestError(f"{at.uri} lies in no folder that is open here")
    folder, path = place
    spot = Spot(path, at.first_line, max(at.first_line, at.last_line))
    if text is None and session.offers_input:
        text = await ask_text(session.server, f"What is to be done in {spot}?")
        if text is None:
            return None
    if text is not None:
        return do_here(spot, text)
    engine = await folder.orchestrator()
    added = await engine.plans.add_task(f"In {spot}", (glob_of(path),))
    await _show(session.server, folder, engine.settings.plan_file, added)
    return added


async def _show(server: HardenedServer, folder: Folder, path: str, added: AddedTask) -> None:
    """Open the plan file where the task is to be written; where that cannot be, say so."""
    encoding = server.workspace.position_encoding or lsp.PositionEncodingKind.Utf16
    place = LineIndex(added.text, encoding).range(added.at, added.at)
    if not await show(server, folder.uri(path), place):
        server.window_show_message(
            lsp.ShowMessageParams(
                lsp.MessageType.Info,
                f"Orchestrator: {added.task_id} was added to {path}, line {place.start.line + 1}: "
                "write there what is to be done, then run it",
            )
        )
