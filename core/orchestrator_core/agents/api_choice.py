"""Which model behind an API is configured, and whether it may be used."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.errors import AgentError
from orchestrator_core.settings_sources import files_that_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from orchestrator_core.agents.chat import ChatModel, Prompt, Reply, Usage
    from orchestrator_core.config import ModelSettings

MODEL_VARIABLE = "OPENCODE_ORCHESTRATOR_MODEL"
URL_VARIABLE = "OPENCODE_ORCHESTRATOR_BASE_URL"
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""The providers, and the variables in which they usually have their keys."""


class Api(Struct, frozen=True):
    """A model behind an API, and the name of the variable that has its key."""

    provider: str
    model: str
    base_url: str
    key_variable: str

    @property
    def shown(self) -> str:
        """For people."""
        where = f" at {self.base_url}" if self.base_url else ""
        return f"{self.provider}:{self.model}{where}"


def configured(
    settings: ModelSettings,
    root: Path,
    trusts: Callable[[Sequence[str]], bool],
    environment: Mapping[str, str],
) -> Api | str:
    """The configured model, or why there is none that can be used. Blocks on the disk.

    The environment goes before the settings. What a workspace's own files name is used only if
    the person trusts these files: it decides where code and key are sent.

    Args:
        settings: of the model.
        root: the workspace.
        trusts: whether the word of these files of the workspace counts.
        environment: has the keys.
    """
    if environment.get(MODEL_VARIABLE):
        settings = msgspec.structs.replace(
            settings,
            name=environment[MODEL_VARIABLE],
            base_url=environment.get(URL_VARIABLE, ""),
            api_key_env="",
        )
    elif not settings.name:
        return _unnamed(environment)
    elif (named_in := files_that_set(root, "model")) and not trusts(named_in):
        return (
            f"{' and '.join(named_in)} of this workspace names a model, but is not trusted: look "
            "at it, then run `opencode-orchestrator trust`"
        )
    provider, _, model = settings.name.partition(":")
    if provider not in KEYS or not model:
        return (
            f"{settings.name!r} is no model: write {' or '.join(f'{name}:MODEL' for name in KEYS)} "
            "(openai for all that speak its protocol, with orchestrator.model.baseUrl)"
        )
    variable = settings.api_key_env or KEYS[provider]
    if not settings.base_url and not environment.get(variable):
        return f"{settings.name} needs a key: set {variable} in the environment"
    if find_spec("pydantic_ai") is None:
        return "a part is missing: pip install 'opencode-orchestrator[llm]'"
    return Api(provider, model, settings.base_url, variable)


def _unnamed(environment: Mapping[str, str]) -> str:
    keys = [variable for variable in KEYS.values() if environment.get(variable)]
    if keys:
        return f"{keys[0]} is set, but no model is named: set orchestrator.model.name"
    return "no model is named: set orchestrator.model.name"


class LazyApi:
    """The model of an API, connected to when it is first used: its libraries take seconds.

    Args:
        api: which one.
        silent_s: a request that brings nothing for so long is given up.
        environment: has the key.
    """

    def __init__(self, api: Api, silent_s: float, environment: Mapping[str, str]) -> None:
        self.name = f"{api.provider}:{api.model}"
        self._api = api
        self._silent_s = silent_s
        self._environment = environment
        self._made: ChatModel | None = None
        self._lock = asyncio.Lock()

    async def ready(self) -> None:
        """Import what it needs, in a thread."""
        async with self._lock:
            if self._made is None:
                self._made = await asyncio.to_thread(self._connect)

    async def reply(self, prompt: Prompt, on_text: Callable[[str], None]) -> Reply:
        """One turn; see :class:`~agents.chat.ChatModel`."""
        await self.ready()
        assert self._made is not None
        return await self._made.reply(prompt, on_text)

    def price_usd(self, usage: Usage) -> float:
        """What a turn of this size costs; 0 before :meth:`ready`."""
        return self._made.price_usd(usage) if self._made else 0.0

    async def close(self) -> None:
        """Close the connections, if there are any."""
        made, self._made = self._made, None
        if made is not None:
            await made.close()

    def _connect(self) -> ChatModel:
        try:
            from orchestrator_core.agents.llm import connect  # noqa: PLC0415 - takes seconds
        except ImportError as error:
            raise AgentError(
                f"{self.name} cannot be used: pip install 'opencode-orchestrator[llm]' ({error})"
            ) from error
        return connect(
            self._api.provider,
            self._api.model,
            api_key=self._environment.get(self._api.key_variable, ""),
            base_url=self._api.base_url,
            silent_s=self._silent_s,
        )
