"""Which backend is there, and which one ``auto`` takes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.agents.agent_choice import Agent
from orchestrator_core.agents.agent_choice import found as agent_found
from orchestrator_core.agents.api_choice import Api, configured
from orchestrator_core.agents.choice import preferred, survey
from orchestrator_core.config import AgentSettings, ModelSettings, Settings
from orchestrator_core.errors import RequestError
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.runtime.confinement import filtered_environment
from orchestrator_core.tools.trust import TrustStore
from scripted_backend import Recorder

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"OPENAI_API_KEY": "k"}
NOWHERE = {"PATH": ""}
LOCAL = ModelSettings(name="openai:small", base_url="http://127.0.0.1:1/v1")


def found(
    root: Path, settings: ModelSettings, environment: dict[str, str] | None = None
) -> Api | str:
    """What is configured, where nobody trusts anything."""
    return configured(settings, root, lambda _: False, environment or {})


def test_a_model_needs_a_name_a_known_provider_and_a_key(project: Path) -> None:
    assert "no model is named" in str(found(project, ModelSettings()))
    assert "OPENAI_API_KEY is set" in str(found(project, ModelSettings(), KEY))
    assert "is no model" in str(found(project, ModelSettings(name="gpt-5"), KEY))
    assert "is no model" in str(found(project, ModelSettings(name="other:x"), KEY))
    assert "set ANTHROPIC_API_KEY" in str(found(project, ModelSettings(name="anthropic:c"), KEY))
    assert found(project, ModelSettings(name="openai:gpt-5"), KEY) == Api(
        "openai", "gpt-5", "", "OPENAI_API_KEY"
    )


def test_a_local_server_needs_no_key(project: Path) -> None:
    api = found(project, LOCAL)
    assert isinstance(api, Api)
    assert api.shown == "openai:small at http://127.0.0.1:1/v1"


@pytest.mark.parametrize("name", ["pyproject.toml", ".opencode/orchestrator.toml"])
def test_a_workspace_names_no_model_unless_it_is_trusted(project: Path, name: str) -> None:
    table = "[tool.opencode-orchestrator.model]" if name == "pyproject.toml" else "[model]"
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(f'{table}\nname = "openai:evil"\nbaseUrl = "http://evil/v1"\n')
    settings = ModelSettings(name="openai:evil", base_url="http://evil/v1")
    assert "not trusted" in str(found(project, settings, KEY))
    asked: list[str] = []

    def trusts(files: object) -> bool:
        asked.extend(files)  # pyright: ignore[reportArgumentType]
        return True

    assert isinstance(configured(settings, project, trusts, KEY), Api)
    assert asked == [name]


def test_the_environment_goes_before_the_settings(project: Path) -> None:
    environment = {
        "OPENCODE_ORCHESTRATOR_MODEL": "openai:mine",
        "OPENCODE_ORCHESTRATOR_BASE_URL": "http://127.0.0.1:2/v1",
    }
    settings = ModelSettings(name="openai:theirs", base_url="http://elsewhere/v1")
    api = found(project, settings, environment)
    assert isinstance(api, Api)
    assert (api.model, api.base_url) == ("mine", "http://127.0.0.1:2/v1")
    bare = found(project, settings, {"OPENCODE_ORCHESTRATOR_MODEL": "openai:mine", **KEY})
    assert isinstance(bare, Api)
    assert bare.base_url == ""


def test_auto_takes_the_first_that_is_there(project: Path, tmp_path: Path) -> None:
    trust = TrustStore(tmp_path / "trust.json")
    none = survey(Settings(), project, trust, NOWHERE)
    assert preferred(none, "auto").name == "builtin"
    agent = {"PATH": agent_on(tmp_path / "bin", "opencode")}
    assert preferred(survey(Settings(), project, trust, agent), "auto").name == "acp"
    local = survey(Settings(model=LOCAL), project, trust, agent)
    assert preferred(local, "auto").name == "llm"
    assert preferred(local, "builtin").name == "builtin"
    assert not preferred(none, "llm").usable
    assert not preferred(none, "no such").usable


def agent_on(folder: Path, name: str) -> str:
    """A program of that name, and a ``PATH`` with it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder)


def agent_of(root: Path, command: str = "", **environment: str) -> Agent | str:
    """The agent, where nobody trusts anything."""
    return agent_found(AgentSettings(command), root, lambda _: False, environment)


def test_the_first_agent_on_path_is_taken(project: Path, tmp_path: Path) -> None:
    assert "no agent is on PATH (opencode" in str(agent_of(project, PATH=""))
    path = agent_on(tmp_path / "bin", "gemini")
    agent = agent_of(project, PATH=path, HOME="/home/ada")
    assert isinstance(agent, Agent)
    assert agent.shown == f"gemini: {path}/gemini --acp"
    assert [str(place) for place in agent.writes] == ["/home/ada/.gemini"]
    agent_on(tmp_path / "bin", "opencode")
    agent = agent_of(project, PATH=path, HOME="/home/ada", XDG_CACHE_HOME="/c")
    assert isinstance(agent, Agent)
    assert agent.argv == (f"{path}/opencode", "acp")
    assert {str(place) for place in agent.writes} == {
        *("/home/ada/.config/opencode", "/home/ada/.local/share/opencode"),
        *("/home/ada/.local/state/opencode", "/c/opencode"),
    }
    assert '"bash":"ask"' in agent.environment["OPENCODE_PERMISSION"]


def test_an_agent_can_be_named_or_be_any_command(project: Path, tmp_path: Path) -> None:
    path = agent_on(tmp_path / "bin", "gemini")
    agent_on(tmp_path / "bin", "codex-acp")
    named = agent_of(project, "codex", PATH=path)
    assert isinstance(named, Agent)
    assert named.argv == (f"{path}/codex-acp",)
    any_command = agent_of(project, "gemini --acp --model 'a b'", PATH=path)
    assert isinstance(any_command, Agent)
    assert (any_command.name, any_command.argv[1:]) == ("gemini", ("--acp", "--model", "a b"))
    theirs = agent_of(project, "gemini", PATH=path, OPENCODE_ORCHESTRATOR_AGENT="codex")
    assert isinstance(theirs, Agent)
    assert theirs.name == "codex"
    assert "opencode is not on PATH" in str(agent_of(project, "opencode", PATH=path))
    assert "names no program" in str(agent_of(project, "nothing --acp", PATH=path))
    assert "cannot be read" in str(agent_of(project, "'", PATH=path))


def test_a_workspace_names_no_agent_unless_it_is_trusted(project: Path, tmp_path: Path) -> None:
    path = agent_on(tmp_path / "bin", "gemini")
    (project / "pyproject.toml").write_text(
        '[tool.opencode-orchestrator.agent]\ncommand = "/bin/sh -c evil"\n'
    )
    assert "not trusted" in str(agent_of(project, "/bin/sh -c evil", PATH=path))
    settings = AgentSettings("/bin/sh -c evil")
    agent = agent_found(settings, project, lambda files: list(files) == ["pyproject.toml"], {})
    assert isinstance(agent, Agent)


def test_an_agent_gets_the_keys_of_models_and_no_other_secrets(
    project: Path, tmp_path: Path
) -> None:
    agent = agent_of(project, "gemini", PATH=agent_on(tmp_path / "bin", "gemini"))
    assert isinstance(agent, Agent)
    names = ("GEMINI_API_KEY", "ANTHROPIC_API_KEY", "DEPLOY_TOKEN", "AWS_SECRET_ACCESS_KEY", "PATH")
    kept = filtered_environment(dict.fromkeys(names, "x"), agent.passed)
    assert sorted(kept) == ["ANTHROPIC_API_KEY", "GEMINI_API_KEY", "PATH"]


async def open_with(project: Path, tmp_path: Path, settings: Settings) -> Orchestrator:
    """An orchestrator of the project."""
    places = Places.of(project, state=tmp_path / "state", cache=tmp_path / "cache")
    return await Orchestrator.open(project, settings, Recorder(), places=places)


async def test_auto_gives_verbs_to_the_builtin_backend_and_the_rest_to_a_model(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENCODE_ORCHESTRATOR_MODEL", raising=False)
    engine = await open_with(project, tmp_path, Settings(model=LOCAL))
    try:
        assert engine.plans.request("rename total -> add_up").backend == "builtin"
        assert engine.plans.request("implement authentication with JWT").backend == "llm"
        (project / "verbs.md").write_text("### T1: x\n- [ ] rename total -> add_up\n")
        (project / "words.md").write_text("### T1: x\n- [ ] make it better\n")
        assert (await engine.plans.request_from_file("verbs.md")).backend == "builtin"
        assert (await engine.plans.request_from_file("words.md")).backend == "llm"
        with pytest.raises(RequestError, match="there is: acp, auto, builtin, editor, llm"):
            engine.plans.request("x", backend="other")
        with pytest.raises(RequestError, match="no editor offers its model"):
            engine.plans.request("x", backend="editor")
    finally:
        await engine.close()


async def test_without_a_model_a_task_in_words_is_refused_with_advice(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENCODE_ORCHESTRATOR_MODEL", raising=False)
    monkeypatch.delenv("OPENCODE_ORCHESTRATOR_AGENT", raising=False)
    monkeypatch.setattr("orchestrator_core.agents.agent_choice.KNOWN", ())  # none is on PATH
    engine = await open_with(project, tmp_path, Settings())
    try:
        with pytest.raises(RequestError, match=r"orchestrator\.model\.name"):
            await engine.start(engine.plans.request("implement authentication with JWT"))
        with pytest.raises(RequestError, match="no model is named"):
            engine.plans.request("x", backend="llm")
    finally:
        await engine.close()


def test_neither_server_nor_engine_imports_what_models_need() -> None:
    script = (
        "import sys\n"
        "import orchestrator_server.app, orchestrator_core.orchestrator\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'pydantic', 'pydantic_ai', 'openai', 'anthropic', 'acp', 'httpx2'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
