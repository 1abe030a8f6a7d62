"""Confined commands: what the tool server's ``confine`` keeps a command from.

A confined command writes below the folders that it is given and nowhere else, reads no
:data:`HIDDEN` file of the person's, has no network unless it is allowed, reaches no socket of
another program, and signals nobody outside. How much of that holds depends on the system:
:meth:`Confinement.status` asks it by trying.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.decoding import decode
from orchestrator_core.errors import Unconfined
from orchestrator_core.redaction import names_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orchestrator_core.safety import ConfinementMode

logger = logging.getLogger(__name__)

HIDDEN = tuple(
    """.ssh .gnupg .aws .azure .kube .netrc .npmrc .pypirc .git-credentials .vault-token
    .password-store .mozilla .docker/config.json .config/gcloud .config/gh .config/git/credentials
    .config/op .config/rclone .config/google-chrome .config/chromium .local/share/keyrings
    .local/share/opencode/auth.json .codex/auth.json .claude/.credentials.json
    .gemini/oauth_creds.json .cargo/credentials.toml .cargo/credentials .terraform.d
    .m2/settings.xml .gradle/gradle.properties .gem/credentials .pgpass .my.cnf""".split()  # noqa: SIM905
)
"""Where secrets lie in a person's home."""

_STATUS_S = 20.0


class ConfinementStatus(Struct, frozen=True, rename="camel"):
    """What this system can enforce.

    Attributes:
        landlock: the version of the kernel's Landlock; 0 where there is none.
        files: writes elsewhere are refused.
        hidden: what is hidden cannot be read.
        network: how the network is cut off: ``namespace`` (with a loopback of the command's
            own), ``seccomp`` (no loopback either), or empty where it cannot be.
        sockets: other programs' sockets are out of reach.
        read_only: parts of writable folders can be made read-only.
        signals: programs outside get no signals.
    """

    landlock: int = 0
    files: bool = False
    hidden: bool = False
    network: str = ""
    sockets: bool = False
    read_only: bool = False
    signals: bool = False


class Confinement:
    """How this workspace's commands are confined. Thread-safe.

    Args:
        program: the tool server's binary.
        mode: ``strict`` runs no command that cannot be confined; ``on`` does what the system
            can; ``off`` does nothing.
        network: whether commands may use it.
        hidden: what they may not read.
    """

    def __init__(
        self,
        program: str | Path,
        mode: ConfinementMode = "on",
        *,
        network: bool = False,
        hidden: Sequence[Path] | None = None,
    ) -> None:
        self._program = program
        self.mode: ConfinementMode = mode
        self.network = network
        self._hidden = [Path.home() / name for name in HIDDEN] if hidden is None else [*hidden]
        self._lock = threading.Lock()
        self._status: ConfinementStatus | None = None

    def for_agent(self, own: Sequence[Path]) -> Confinement:
        """The same for an agent: it talks to its model, and reads its own files and keys."""
        hidden = [
            path
            for path in self._hidden
            if not any(path == place or path.is_relative_to(place) for place in own)
        ]
        return Confinement(self._program, self.mode, network=True, hidden=hidden)

    def status(self) -> ConfinementStatus:
        """What this system can enforce. Asked once, which takes some milliseconds of blocking."""
        with self._lock:
            if self._status is None:
                self._status = self._ask()
            return self._status

    def _ask(self) -> ConfinementStatus:
        argv = [str(self._program), "confine", "--status"]
        try:
            answer = subprocess.run(argv, capture_output=True, timeout=_STATUS_S, check=True)
            return decode(answer.stdout, ConfinementStatus)
        except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
            logger.warning("commands cannot be confined: %s", error)
            return ConfinementStatus()

    def wrap(
        self, argv: Sequence[str], write: Sequence[Path], read_only: Sequence[Path] = ()
    ) -> list[str]:
        """The command line that runs ``argv`` confined. Blocks the first time.

        Args:
            argv: program and arguments.
            write: the folders that it may write below.
            read_only: paths in them that it may not write.

        Raises:
            Unconfined: this system cannot, and the mode is ``strict``.
        """
        if self.mode == "off":
            return list(argv)
        status = self.status()
        network_held = self.network or status.network
        if self.mode == "strict" and not (status.files and network_held):
            missing = "the network" if status.files else "files outside the workspace"
            raise Unconfined(
                f"this system cannot keep commands from {missing}, and orchestrator.confinement "
                'is "strict": set it to "on" to run them with what there is'
            )
        if not status.files and not status.network:
            return list(argv)
        out = [str(self._program), "confine"]
        for option, paths in (
            ("--write", write),
            ("--read-only", read_only),
            ("--hide", self._hidden),
        ):
            for path in paths:
                out += [option, str(path)]
        out += ["--network"] * self.network
        out += ["--no-namespaces"] * (not status.sockets)
        out += ["--strict"] * (self.mode == "strict")
        return [*out, "--", *argv]

    def in_force(self) -> str:
        """What holds for a command, in a few words for receipts and people. Blocks once."""
        if self.mode == "off":
            return "not confined: orchestrator.confinement is off"
        status = self.status()
        if not status.files and not status.network:
            return "not confined: this system cannot"
        files = f"Landlock {status.landlock}" if status.files else "writes not confined"
        if self.network:
            network = "network allowed"
        else:
            network = f"no network ({status.network})" if status.network else "network not confined"
        return f"confined: {files}, {network}" + ("" if status.sockets else ", sockets reachable")


def filtered_environment(
    environment: Mapping[str, str], passed: Collection[str] = ()
) -> dict[str, str]:
    """An environment without secrets, and without the ways to the person's agents and desktop.

    Args:
        environment: usually ``os.environ``.
        passed: names that are kept whatever they are.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in passed or not (names_secret(name) or name in _WAYS_OUT)
    }


_WAYS_OUT = frozenset(
    """SSH_AUTH_SOCK SSH_AGENT_PID GPG_AGENT_INFO DBUS_SESSION_BUS_ADDRESS XAUTHORITY DISPLAY
    WAYLAND_DISPLAY DOCKER_HOST CONTAINER_HOST KUBECONFIG VSCODE_IPC_HOOK_CLI GIT_ASKPASS SSH_ASKPASS
    VSCODE_GIT_IPC_HANDLE TMUX STY NVIM NVIM_LISTEN_ADDRESS BASH_ENV ENV LD_PRELOAD LD_AUDIT
    PROMPT_COMMAND""".split()  # noqa: SIM905
)
