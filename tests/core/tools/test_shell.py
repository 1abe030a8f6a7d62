"""Commands run where the person trusts the workspace, and nowhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from orchestrator_core.errors import Unconfined, UntrustedWorkspace
from orchestrator_core.runtime.confinement import Confinement
from orchestrator_core.runtime.programs import tool_server
from orchestrator_core.tools.shell import Shell
from orchestrator_core.tools.trust import TrustStore


def confined(root: Path, store: TrustStore) -> Shell:
    return Shell(root, store, Confinement(tool_server()))


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "state" / "trust.json", clock=lambda: 12.0)


def test_nothing_is_trusted_before_somebody_says_so(store: TrustStore, root: Path) -> None:
    assert not store.is_trusted(root)
    assert not store.revoke(root)
    assert store.workspaces() == []


def test_trust_is_for_one_workspace_and_seen_by_other_stores(
    store: TrustStore, root: Path, tmp_path: Path
) -> None:
    store.trust(root)
    other = TrustStore(tmp_path / "state" / "trust.json")
    assert other.is_trusted(root)
    assert not other.is_trusted(root.parent)
    (root / "inner").mkdir()
    assert not other.is_trusted(root / "inner")
    assert other.workspaces() == [root.resolve()]
    assert other.revoke(root)
    assert not store.is_trusted(root)


def test_a_link_to_a_trusted_workspace_is_that_workspace(
    store: TrustStore, root: Path, tmp_path: Path
) -> None:
    store.trust(root)
    link = tmp_path / "link"
    link.symlink_to(root)
    assert store.is_trusted(link)


def test_a_file_that_names_commands_is_trusted_with_its_content(
    store: TrustStore, root: Path
) -> None:
    file = root / "pyproject.toml"
    file.write_text("checks = ['make']")
    store.trust(root)
    assert not store.is_trusted(root, ["pyproject.toml"])
    store.trust(root, ["pyproject.toml"])
    assert store.is_trusted(root, ["pyproject.toml"])
    file.write_text("checks = ['rm']")
    assert not store.is_trusted(root, ["pyproject.toml"])
    assert store.is_trusted(root)
    file.unlink()
    assert not store.is_trusted(root, ["pyproject.toml"])
    with pytest.raises(FileNotFoundError):
        store.trust(root, ["pyproject.toml"])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"workspaces": 3}', "\x00"])
def test_a_damaged_store_trusts_nobody(store: TrustStore, root: Path, content: str) -> None:
    store.trust(root)
    store._path.write_text(content)
    assert not store.is_trusted(root)
    store.trust(root)
    assert store.is_trusted(root)


def test_the_store_is_readable_by_its_owner_only(store: TrustStore, root: Path) -> None:
    store.trust(root)
    assert store._path.stat().st_mode & 0o077 == 0
    assert [path.name for path in store._path.parent.iterdir()] == ["trust.json"]


async def test_a_command_runs_in_a_trusted_workspace(store: TrustStore, root: Path) -> None:
    shell = confined(root, store)
    assert not shell.trusted
    with pytest.raises(UntrustedWorkspace, match="nobody has trusted"):
        await shell.run(f"touch {root}/made")
    assert not (root / "made").exists()
    store.trust(root)
    seen: list[str] = []
    result = await shell.run("pwd; exit 3", on_output=seen.append)
    assert (result.outcome, result.exit_code) == ("exited", 3)
    assert result.output == "".join(seen) == f"{root}\n"


async def test_a_command_of_a_file_that_changed_is_refused(store: TrustStore, root: Path) -> None:
    (root / "plan.md").write_text("run make")
    store.trust(root, ["plan.md"])
    shell = confined(root, store)
    assert (await shell.run("true", named_in=["plan.md"])).exit_code == 0
    (root / "plan.md").write_text("run rm")
    with pytest.raises(UntrustedWorkspace, match=r"plan\.md changed"):
        await shell.run("true", named_in=["plan.md"])


async def test_cancelling_ends_the_command_before_it_returns(store: TrustStore, root: Path) -> None:
    store.trust(root)
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    pids: list[int] = []

    def on_output(text: str) -> None:
        pids.append(int(text))
        loop.call_soon_threadsafe(started.set)

    task = asyncio.create_task(
        confined(root, store).run("sleep 60 & echo $!; wait", on_output=on_output)
    )
    await asyncio.wait_for(started.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (pid,) = pids
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_the_deadline_of_a_command_is_an_outcome(store: TrustStore, root: Path) -> None:
    store.trust(root)
    result = await confined(root, store).run("sleep 60", timeout_s=0.1)
    assert result.outcome == "timed out"


@pytest.mark.skipif(
    not Confinement(tool_server()).status().files,
    reason="this kernel has no Landlock",
)
async def test_a_command_writes_where_it_was_told_and_in_a_temporary_folder_that_goes(
    store: TrustStore, root: Path, tmp_path: Path
) -> None:
    store.trust(root)
    scratch = tmp_path / "scratch"
    shell = Shell(root, store, Confinement(tool_server()), scratch=scratch)
    refused = await shell.run("echo x > a")
    assert refused.exit_code != 0
    assert "confined: Landlock" in refused.confined
    line = 'echo x > a && echo x > "$TMPDIR/t" && mkdir -p "$XDG_CACHE_HOME" && echo "$TMPDIR"'
    result = await shell.run(line, writable=[root])
    assert result.exit_code == 0, result.output
    assert (root / "a").read_text() == "x\n"
    assert Path(result.output.strip()).parent == scratch
    assert list(scratch.iterdir()) == []


async def test_a_command_is_not_run_when_it_must_be_confined_and_cannot(
    store: TrustStore, root: Path, tmp_path: Path
) -> None:
    store.trust(root)
    shell = Shell(root, store, Confinement(tmp_path / "nothing", "strict"))
    with pytest.raises(Unconfined):
        await shell.run(f"touch {root}/made")
    assert list(root.iterdir()) == []
