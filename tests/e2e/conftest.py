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

from fake_editor import FIXTURES, FakeEditor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

# A converter learns each type of the protocol at its first use: one is enough for all sessions.
CONVERTER = default_converter()
SERVE = [sys.executable, "-m", "orchestrator_server.cli", "serve", "--stdio"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the small workspace."""
    root = tmp_path / "shop workspace"
    shutil.copytree(FIXTURES / "workspaces" / "shop", root)
    return root


_FOLDERS = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose folders for state, cache and settings are the test's own."""
    own = {name: str(tmp_path / name) for name in _FOLDERS}
    return {**os.environ, **own}


@pytest.fixture
def tree(shop: Path) -> Callable[[], dict[str, bytes]]:
    """Answers the bytes of every file of the workspace but the program's own."""

    def read() -> dict[str, bytes]:
        return {
            str(path.relative_to(shop)): path.read_bytes()
            for path in sorted(shop.rglob("*"))
            if path.is_file() and ".opencode" not in path.parts
        }

    return read


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
) -> AsyncGenerator[FakeEditor]:
    """A session of an editor; when it is ended the server must leave nothing behind."""
    client = LanguageClient(converter_factory=lambda: CONVERTER)
    await client.start_io(*SERVE, env=environment)
    fake = FakeEditor(client, shop)
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
    _, left = psutil.wait_procs(family, timeout=10)
    assert not left
    assert process.returncode == 0
