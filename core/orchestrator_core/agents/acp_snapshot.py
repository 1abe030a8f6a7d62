"""Git for an agent's copy: a repository that only borrows from the workspace's.

Nothing is written below the workspace, and nothing that an agent may have written is read: the
repository is made where the agent cannot write, and moved into its copy when it is whole.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

_GIT_S = 120.0
_WHO = ("OpenCode Orchestrator", "orchestrator@localhost")


class History(Struct, frozen=True):
    """What a workspace's repository has that a snapshot builds upon.

    Attributes:
        objects: the folder with its objects.
        head: the commit that is checked out; empty where there is none yet, or where the
            workspace is a folder inside the repository.
        shallow: where its history was cut off; the file need not exist.
        form: how its objects are named: ``sha1`` or ``sha256``.
    """

    objects: Path
    head: str
    shallow: Path
    form: str


def history(root: Path) -> History | None:
    """The history of a workspace; None where there is no git. Blocks; writes nothing."""
    try:
        told = _git(
            root,
            *("rev-parse", "--show-object-format", "--git-path", "objects"),
            *("--git-path", "shallow", "--show-prefix"),
        ).splitlines()
        form, objects, shallow, prefix = [*told, ""][:4]
        head = "" if prefix else _git(root, "rev-parse", "-q", "--verify", "HEAD", failing=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return History((root / objects).resolve(), head.strip(), root / shallow, form)


def tracked(root: Path) -> list[str]:
    """The files that git tracks, ignored ones among them; none where there is no git. Blocks."""
    try:
        return [path for path in _git(root, "ls-files", "-z").split("\0") if path]
    except (OSError, subprocess.SubprocessError):
        return []


def take_snapshot(tree: Path, past: History, ours: Path, exclude: Iterable[str] = ()) -> bool:
    """Make a folder a repository with one commit of what it holds, on top of a history.

    Args:
        tree: the folder; it has no repository yet.
        past: what the commit is on top of.
        ours: a folder on the same device where the agent cannot write.
        exclude: paths in the tree that do not belong to it.

    Returns:
        Whether it was made; what was wrong is logged.
    """
    making = Path(tempfile.mkdtemp(prefix="git-", dir=ours))
    try:
        _git(making, "init", "-q", "--template=", f"--object-format={past.form}", ".")
        made = making / ".git"
        for folder in ("info", "objects/info"):
            (made / folder).mkdir(parents=True, exist_ok=True)
        (made / "objects/info/alternates").write_text(f"{past.objects}\n", "utf-8")
        (made / "info/exclude").write_text("".join(f"/{path}\n" for path in exclude), "utf-8")
        if past.head and past.shallow.is_file():
            shutil.copyfile(past.shallow, made / "shallow")
        at = (f"--git-dir={made}", f"--work-tree={tree}")
        if past.head:
            _git(tree, *at, "read-tree", past.head)
        _git(tree, *at, "add", "-A")
        content = _git(tree, *at, "write-tree", "--missing-ok").strip()
        parent = ("-p", past.head) if past.head else ()
        commit = _git(tree, *at, "commit-tree", *parent, "-m", "Snapshot of the workspace", content)
        (made / "HEAD").write_text(commit, "utf-8")
        made.rename(tree / ".git")
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", "") or error
        logger.warning("the agent's copy has no git: %s", told)
        return False
    else:
        return True
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _git(cwd: Path, *words: str, failing: bool = False) -> str:
    """What a git command prints; nobody's configuration, hooks or monitors run."""
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *words],
        cwd=cwd,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=_GIT_S,
        check=not failing,
    )
    return done.stdout


def _environment() -> dict[str, str]:
    name, mail = _WHO
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": mail,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": mail,
    }
