"""Where state lies: the workspace's own folder, and the person's state and cache folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

from msgspec import Struct

APP = "opencode-orchestrator"


def own_settings() -> Path:
    """The person's own settings file, for all workspaces; it need not exist."""
    import platformdirs  # noqa: PLC0415 - the initialize answer does not wait for it

    return Path(platformdirs.user_config_dir(APP, appauthor=False)) / "settings.toml"


class Places(Struct, frozen=True):
    """The folders of one workspace. Nothing is created by naming them.

    Attributes:
        project: ``.opencode`` in the workspace: journal, plan, logs.
        contents: texts that undo needs, outside of the workspace.
        trust: which workspaces may run commands, outside of any workspace.
        scratch: copies that commands run in, outside of the workspace.
    """

    project: Path
    contents: Path
    trust: Path
    scratch: Path

    @classmethod
    def of(cls, root: Path, *, state: Path | None = None, cache: Path | None = None) -> Places:
        """The places of a workspace.

        Args:
            root: the workspace.
            state: the person's state folder for this program; the platform's by default.
            cache: the person's cache folder for this program; the platform's by default.
        """
        import platformdirs  # noqa: PLC0415 - see above

        state = state or Path(platformdirs.user_state_dir(APP, appauthor=False))
        cache = cache or Path(platformdirs.user_cache_dir(APP, appauthor=False))
        name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
        return cls(
            project=root / ".opencode",
            contents=state / "contents",
            trust=state / "trust.json",
            scratch=cache / "scratch" / name,
        )
