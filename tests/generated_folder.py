"""A state folder like the one that was reported: 742 files, 6.2 MB, a person's files among them."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_core.cleanup.age_clock import AgeClock
from orchestrator_core.cleanup.cleaner import Cleaner
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import record
from orchestrator_core.cleanup.manifest import Manifest
from orchestrator_core.config import CleanupLimits

if TYPE_CHECKING:
    from orchestrator_core.cleanup.steps import JournalArchive

DAY_S = 86_400.0
FILES, BYTES = 742, 6_200_000

_OURS = (  # kind, folder, suffix, files, bytes of each
    (Kind.SESSION, "sessions/s{n}", "state.json", 180, 4_000),
    (Kind.HISTORY, "archive", "todo-{n}.md", 120, 6_000),
    (Kind.LOG, "logs", "server-{n}.log", 40, 40_000),
    (Kind.DOCUMENT, "documents", "page-{n}.md", 80, 12_000),
    (Kind.CACHE, "cache", "entry-{n}.bin", 40, 8_000),
)
_MODULES = 240
_USERS = 42


class Desk:
    """A workspace with its state folder, manifest and cleaner; time passes as the test says."""

    def __init__(
        self,
        root: Path,
        limits: CleanupLimits | None = None,
        *,
        clock: AgeClock | None = None,
        journal: JournalArchive | None = None,
        free_bytes: int = 10**12,
    ) -> None:
        self.root = root
        self.folder = root / ".opencode"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.limits = limits or CleanupLimits()
        self.now_s = 1000.0
        self.free_bytes = free_bytes
        self.manifest = Manifest(self.folder, clock or AgeClock(lambda: self.now_s, "boot"))
        self.cleaner = Cleaner(
            root, self.manifest, lambda: self.limits, journal, free_bytes=lambda _: self.free_bytes
        )

    def put(self, name: str | bytes, kind: Kind | None, data: bytes = b"data") -> Path:
        """Write a file; of a kind of ours it is recorded, else it is a person's."""
        path = self.folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if kind is not None:
            record(self.manifest, path, kind)
        return path

    def passes(self, days: float) -> None:
        """Time passes."""
        self.now_s += days * DAY_S

    def tree(self) -> dict[str, tuple[bytes, int]]:
        """Bytes and mode of every plain file, but for the cleanup's own two."""
        return {
            name: (path.read_bytes(), path.stat().st_mode)
            for name, path in self.files().items()
            if not name.startswith(("manifest.db", "cleanup.lock"))
        }

    def files(self) -> dict[str, Path]:
        """Every file below the state folder."""
        return {
            str(path.relative_to(self.folder)): path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    def size_bytes(self) -> int:
        """What all files take."""
        return sum(path.stat().st_size for path in self.files().values())

    def assert_agrees(self) -> None:
        """What the manifest says is what lies there."""
        for entry in self.manifest.used_before(Kind, float("inf")):
            assert entry.kind is not Kind.TEMPORARY
            status = (self.folder / os.fsdecode(entry.path)).lstat()
            assert (status.st_ino, status.st_size) == (entry.inode, entry.size), entry.path
        quarantine = self.folder / "quarantine"
        lying = {path.name for path in quarantine.iterdir()} if quarantine.exists() else set()
        assert lying == {item.id for item in self.manifest.quarantined()}


def lines(rng: random.Random, size: int) -> bytes:
    """Text that compresses as logs and plans do."""
    start = rng.randrange(len(_TEXT) - size)
    return _TEXT[start : start + size]


def _text() -> bytes:
    rng = random.Random(0)
    words = ["mission", "task", "done", "started", "checked", "src/"]
    return b"\n".join(
        f"{rng.getrandbits(64):016x} {' '.join(rng.choices(words, k=5))}".encode()
        for _ in range(4_000)
    )


_TEXT = _text()


def generate(desk: Desk, seed: int = 1) -> dict[str, tuple[bytes, int]]:
    """Fill a desk's folder, as forty days of use would have; answers the person's files."""
    rng = random.Random(seed)
    users = _generate_users(desk, rng)
    for number in range(_MODULES):
        name = f"node_modules/package-{number % 24}/lib/file-{number}.js"
        desk.put(name, None, lines(rng, 11_600))
    for kind, folder, name, count, size in _OURS:
        with desk.manifest.writing():
            for number in range(count):
                place = f"{folder}/{name}".replace("{n}", str(number))
                desk.put(place, kind, lines(rng, rng.randrange(size // 2, size)))
                desk.passes(40 / count / len(_OURS))
    return users


def _generate_users(desk: Desk, rng: random.Random) -> dict[str, tuple[bytes, int]]:
    names = [
        "package.json",
        "package-lock.json",
        "bun.lock",
        "opencode.json",
        "orchestrator.toml",
        "AGENTS.md",
        *(f"agents/agent {n}.md" for n in range(10)),
        *(f"commands/command-{n}.md" for n in range(10)),
        *(f"plugins/plugin-{n}.ts" for n in range(8)),
        *(f"archive/my-plan-{n}.md" for n in range(4)),
        *(f"sessions/notes-{n}.txt" for n in range(2)),
        "logs/mine.log",
        "cache/mine.bin",
    ]
    assert len(names) == _USERS
    for name in names:
        data = lines(rng, rng.randrange(100, 2_000))
        if name == "package.json":
            data = b'{"dependencies": {"@opencode-ai/plugin": "1.0.0"}}'
        path = desk.put(name, None, data)
        path.chmod(rng.choice([0o600, 0o644, 0o755]))
    return {name: desk.tree()[name] for name in names}
