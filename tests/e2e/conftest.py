"""The real server in a process of its own, driven by a fake editor with real capabilities."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import pytest_asyncio
from lsprotocol import types as lsp
from pygls.protocol import default_converter
from pytest_lsp import LanguageClient
from pytest_lsp.client import DEFAULT_CLIENT_FEATURES, register_lsp_features

from fake_editor import EDITORS, FIXTURES, FakeEditor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

# A converter learns each type of the protocol at its first use: one is enough for all sessions.
CONVERTER = default_converter()
LIKE_ANOTHER = {"neovim-0.10.4", "neovim-0.11.4"}
"""Editors of whose abilities each is another's, too: edits as Neovim 0.7.2, UTF-8 as Helix."""

every_editor = pytest.mark.parametrize(
    "editor",
    [pytest.param(n, marks=pytest.mark.soak) if n in LIKE_ANOTHER else n for n in EDITORS],
    indirect=True,
)

SERVE = [sys.executable, "-m", "orchestrator_server.cli", "serve", "--stdio"]


def copy_of_shop(folder: Path) -> Path:
    """A copy of the small workspace in a folder."""
    root = folder / "shop workspace"
    shutil.copytree(FIXTURES / "workspaces" / "shop", root)
    return root


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the small workspace."""
    return copy_of_shop(tmp_path)


_FOLDERS = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


def environment_in(folder: Path) -> dict[str, str]:
    """An environment with folders for state, cache and settings in this one."""
    return {**os.environ, **{name: str(folder / name) for name in _FOLDERS}}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose folders for state, cache and settings are the test's own."""
    return environment_in(tmp_path)


def tree_of(shop: Path) -> dict[str, bytes]:
    """The bytes of every file of a workspace but the program's own."""
    return {
        str(path.relative_to(shop)): path.read_bytes()
        for path in sorted(shop.rglob("*"))
        if path.is_file() and ".opencode" not in path.parts
    }


@pytest.fixture
def tree(shop: Path) -> Callable[[], dict[str, bytes]]:
    """Answers the bytes of every file of the workspace but the program's own."""
    return lambda: tree_of(shop)


def initialize_params(name: str, root: Path) -> lsp.InitializeParams:
    """What an editor sent at initialize, with this root."""
    sent = json.loads((FIXTURES / "editors" / f"{name}.json").read_text("utf-8"))
    text = json.dumps(sent).replace("/workspace", root.as_posix().replace(" ", "%20"))
    params = json.loads(text)
    params["processId"] = os.getpid()
    if params.get("rootPath"):
        params["rootPath"] = str(root)
    return CONVERTER.structure(params, lsp.InitializeParams)


@pytest.fixture
def initialization_options() -> dict[str, Any] | None:
    """What the editor sends beside its capabilities; None leaves that as it was recorded."""
    return None


@pytest_asyncio.fixture
async def editor(
    request: pytest.FixtureRequest,
    shop: Path,
    environment: dict[str, str],
    initialization_options: dict[str, Any] | None,
) -> AsyncIterator[FakeEditor]:
    """A session of the editor that ``request.param`` names, VS Code by default."""
    name = getattr(request, "param", "vscode-1.139.1")
    async with editor_session(name, shop, environment, initialization_options) as fake:
        yield fake


@asynccontextmanager
async def editor_session(
    name: str,
    shop: Path,
    environment: dict[str, str],
    initialization_options: dict[str, Any] | None = None,
    prepare: Callable[[LanguageClient], object] = lambda _: None,
) -> AsyncGenerator[FakeEditor]:
    """A session of an editor; when it is ended the server must leave nothing behind.

    ``prepare`` may teach the client more before it says hello.
    """
    client = LanguageClient(converter_factory=lambda: CONVERTER)
    await client.start_io(*SERVE, env=environment)
    fake = FakeEditor(client, shop)
    prepare(client)
    rest = {
        method: handler
        for method, handler in DEFAULT_CLIENT_FEATURES.items()
        if method not in fake.handled
    }
    register_lsp_features(client, rest)
    server = psutil.Process(fake.process.pid)
    params = initialize_params(name, shop)
    params.initialization_options = initialization_options or params.initialization_options
    fake.capabilities = params.capabilities
    result = await client.initialize_session(params)
    fake.encoding = result.capabilities.position_encoding or lsp.PositionEncodingKind.Utf16
    yield fake
    family = [server, *server.children(recursive=True)]
    process = fake.process
    await client.shutdown_session()
    _, left = psutil.wait_procs(family, timeout=30)
    assert not left
    assert process.returncode == 0
