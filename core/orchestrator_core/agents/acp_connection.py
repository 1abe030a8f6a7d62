"""One agent that is spoken to over ACP: the handshake, its sessions, and their turns.

This module imports the SDK, which takes most of a second: import it when an agent is used, in a
thread. What the SDK leaves to its caller is done here: cancelling a turn tells the agent and ends
the process of one that does not listen, a turn that falls silent or whose agent has died ends, and
an answer that does not fit the protocol is an error with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import acp
from acp.core import ClientSideConnection
from acp.schema import ClientCapabilities, FileSystemCapabilities, Implementation
from pydantic import ValidationError

from orchestrator_core import __version__
from orchestrator_core.agents import acp_answers
from orchestrator_core.agents.acp_answers import Capabilities
from orchestrator_core.agents.acp_client import AgentClient
from orchestrator_core.agents.acp_process import AgentProcess
from orchestrator_core.agents.known_agents import STRANGER
from orchestrator_core.errors import AgentError, LoginNeeded, ModelFault

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from acp.schema import PromptResponse

    from orchestrator_core.agents.acp_answers import Ended
    from orchestrator_core.agents.acp_place import Place
    from orchestrator_core.agents.acp_turn import Turn
    from orchestrator_core.agents.known_agents import Manners

logger = logging.getLogger(__name__)

T = TypeVar("T")

START_S = 120.0
"""How long an agent may take until it has shaken hands, or has a session: some load for long."""

CANCEL_GRACE_S = 1.0
"""How long an agent has to end a turn that was cancelled; then its process is ended."""

_LOOK_S = 0.5


class AgentConnection:
    """An agent's process, and the way to it. Open with :meth:`open`; lives on one event loop.

    Attributes:
        capabilities: as the agent said them.
        places: what each session that is used works on.
    """

    def __init__(
        self,
        name: str,
        manners: Manners,
        env: Mapping[str, str],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._manners = manners
        self._env = env
        self.places: dict[str, Place] = {}
        self.capabilities = Capabilities()
        self._clock_s = clock_s
        self._turns: dict[str, Turn] = {}
        self._process: AgentProcess | None = None
        self._wire: ClientSideConnection | None = None

    @classmethod
    async def open(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        manners: Manners = STRANGER,
    ) -> AgentConnection:
        """Start an agent and shake hands.

        Raises:
            ToolUnavailable: it cannot be started.
            ModelFault: it did not answer, or ended.
            AgentError: it speaks another version of the protocol.
        """
        connection = cls(name, manners, env)
        process = await AgentProcess.start(argv, cwd=cwd, env=env, on_update=connection._hear)
        connection._process = process
        try:
            client = cast("acp.Client", AgentClient(connection.places))
            connection._wire = ClientSideConnection(client, process)
            await connection._shake_hands()
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def alive(self) -> bool:
        """Whether it can be asked for anything."""
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def new_session(self, cwd: Path) -> str:
        """Begin a session that works in a folder, and asks before it acts; answers its id.

        Raises:
            LoginNeeded: a person must log in first.
            ModelFault: the agent died, or did not answer.
            AgentError: it will not do it.
        """
        begin = partial(self._connected().new_session, cwd=str(cwd))
        try:
            answer = await self._asked("a session", begin())
        except LoginNeeded:
            method = self._manners.method(self.capabilities.logins, self._env)
            if method is None:
                raise
            await self._asked("authentication", self._connected().authenticate(method))
            answer = await self._asked("a session", begin())
        if (modes := answer.modes) is not None:
            offered = {mode.id for mode in modes.available_modes}
            if mode := self._manners.mode(offered, modes.current_mode_id):
                wish = self._connected().set_session_mode(answer.session_id, mode)
                await self._asked(f"session mode {mode}", wish)
        return answer.session_id

    async def prompt(self, session_id: str, text: str, turn: Turn, *, silent_s: float) -> Ended:
        """Have the agent do something, until it says that it is done.

        Cancelling it cancels the turn, and ends the whole process if the agent goes on in spite
        of that.

        Args:
            session_id: whose turn it is.
            text: what is to be done.
            turn: hears what the agent does meanwhile, and may call it off.
            silent_s: a turn of which nothing is heard for so long is given up.

        Raises:
            ModelFault: the agent died, fell silent, or failed in passing.
            AgentError: it will not do it; or the turn was called off, with that reason.
        """
        content = [acp.text_block(text)]
        self._turns[session_id] = turn
        asked = asyncio.ensure_future(
            self._connected().prompt(session_id=session_id, prompt=cast("Any", content))
        )
        try:
            await self._attend(asked, turn, silent_s)
            return acp_answers.ended(await self._answer("the turn", asked))
        except BaseException:
            turn.call_off("it was cancelled")  # questions that wait for a person are taken back
            await self._call_off(session_id, asked)
            raise
        finally:
            self._turns.pop(session_id, None)

    async def close_session(self, session_id: str) -> None:
        """Have the agent forget a session, if it can; what goes wrong is of no consequence."""
        if not self.alive or not self.capabilities.close:
            return
        with contextlib.suppress(AgentError):
            closing = self._connected().close_session(session_id=session_id)
            await self._asked("closing a session", closing, CANCEL_GRACE_S)

    async def healthy(self, within_s: float) -> bool:
        """Whether the agent still answers; where it cannot be asked, whether it runs."""
        if not self.alive or not self.capabilities.list:
            return self.alive
        try:
            await self._asked("a sign of life", self._connected().list_sessions(), within_s)
        except ModelFault as error:
            logger.warning("%s", error)
            return False
        except AgentError:
            return True  # an answer is an answer
        return True

    async def close(self) -> None:
        """End the process and all it started; idempotent."""
        if self._process is not None:
            await self._process.close()
        if self._wire is not None:
            await self._wire.close()

    async def _shake_hands(self) -> None:
        files = FileSystemCapabilities(read_text_file=True, write_text_file=True)
        hello = self._connected().initialize(
            protocol_version=acp.PROTOCOL_VERSION,
            client_capabilities=ClientCapabilities(fs=files, terminal=False),
            client_info=Implementation(name="opencode-orchestrator", version=__version__),
        )
        answer = await self._asked("the handshake", hello)
        if answer.protocol_version != acp.PROTOCOL_VERSION:
            raise AgentError(
                f"{self.name} speaks version {answer.protocol_version} of the Agent Client "
                f"Protocol, this program version {acp.PROTOCOL_VERSION}: update one of them"
            )
        self.capabilities = acp_answers.capabilities(self.name, answer)

    def _connected(self) -> ClientSideConnection:
        assert self._wire is not None
        return self._wire

    def _hear(self, session_id: str, update: dict[str, Any]) -> None:
        turn = self._turns.get(session_id)
        if turn is not None:
            turn.hear(update)

    async def _attend(
        self, asked: asyncio.Future[PromptResponse], turn: Turn, silent_s: float
    ) -> None:
        """Wait for the end of a turn, unless it falls silent, is called off, or its agent dies."""
        assert self._process is not None
        turn.heard_s = self._clock_s()
        off = asyncio.ensure_future(turn.off.wait())
        try:
            while not asked.done():
                await asyncio.wait((asked, off), timeout=_LOOK_S, return_when="FIRST_COMPLETED")
                if asked.done():
                    return
                if turn.reason:
                    raise AgentError(f"{self.name} was stopped: {turn.reason}")
                if not self._process.alive:
                    # What it said last may still be in the pipe.
                    await asyncio.wait((asked,), timeout=_LOOK_S)
                    if not asked.done():
                        raise await self._lost("the turn")
                elif turn.heard_since(self._clock_s()) > silent_s:
                    raise ModelFault(f"{self.name} has said nothing for {silent_s:g} s")
        finally:
            off.cancel()

    async def _call_off(self, session_id: str, asked: asyncio.Future[PromptResponse]) -> None:
        """End a turn on the agent's side: ask it to, then end its process."""
        if asked.done():
            asked.exception()  # seen
            return
        try:
            if self.alive:
                with contextlib.suppress(ConnectionError):
                    await self._connected().cancel(session_id=session_id)
                await asyncio.wait((asked,), timeout=CANCEL_GRACE_S)
        finally:
            if asked.done():
                if not asked.cancelled():
                    asked.exception()
            else:
                asked.cancel()
                logger.warning("%s did not end a cancelled turn: it is ended", self.name)
                assert self._process is not None
                await self._process.close()

    async def _asked(
        self, what: str, asking: Coroutine[Any, Any, T], within_s: float = START_S
    ) -> T:
        """An answer within a time, or the error that says why there is none."""
        asked = asyncio.ensure_future(asking)
        try:
            await asyncio.wait((asked,), timeout=within_s)
            if not asked.done():
                raise ModelFault(f"{self.name} did not answer within {within_s:g} s ({what})")
            return await self._answer(what, asked)
        finally:
            asked.cancel()

    async def _answer(self, what: str, asked: asyncio.Future[T]) -> T:
        """What a request that has ended brought."""
        try:
            return await asked
        except acp.RequestError as error:
            raise acp_answers.refusal(self.name, what, error, self._manners.login) from error
        except ValidationError as error:
            raise acp_answers.nonsense(self.name, what, error) from error
        except ConnectionError as error:
            raise await self._lost(what) from error

    async def _lost(self, what: str) -> ModelFault:
        assert self._process is not None
        why = await asyncio.to_thread(self._process.epitaph)
        return ModelFault(f"{self.name} is gone ({what}): {why}")
