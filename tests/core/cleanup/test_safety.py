"""Whatever lies in the folder, nothing but the program's own files is ever touched."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from generated_folder import Desk
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import creating, record, session
from orchestrator_core.cleanup.state_folder import StateFolder
from orchestrator_core.config import CleanupLimits
from orchestrator_core.errors import CleanupError, CleanupRefused

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
ODD_NAMES = (
    b"new\nline",
    b"inv\xff\xfealid",
    b"-rf",
    b" ",
    b"a'b\"c",
    "ü€🙂".encode(),
    b"\x1b[31m",
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "workspace")


def expired(desk: Desk, name: str | bytes = "sessions/a", data: bytes = b"ours") -> Path:
    """A session that is to go."""
    path = desk.put(name, Kind.SESSION, data)
    desk.passes(8)
    return path


def replace_by_link_outside(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(outside)


def replace_by_link_to_parent(path: Path, _: Path) -> None:
    path.unlink()
    path.symlink_to("../..")


def replace_by_link_to_device(path: Path, _: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def replace_by_pipe(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine").write_text("mine")


def replace_by_same_bytes(path: Path, _: Path) -> None:
    data = path.read_bytes()
    other = path.with_name("other")
    other.write_bytes(data)
    other.replace(path)


def change_one_byte(path: Path, _: Path) -> None:
    path.write_bytes(b"Ours")


def append(path: Path, _: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"mine")


def replace_folder_by_link(path: Path, outside: Path) -> None:
    shutil.copy2(path, outside.parent / path.name)
    shutil.rmtree(path.parent)
    path.parent.symlink_to(outside.parent)


CHANGES = (
    replace_by_link_outside,
    replace_by_link_to_parent,
    replace_by_link_to_device,
    replace_by_pipe,
    replace_by_folder,
    replace_by_same_bytes,
    change_one_byte,
    append,
    replace_folder_by_link,
)


def runs(*command: str) -> bool:
    """Whether a command can be carried out here."""
    return not subprocess.run(command, capture_output=True, check=False).returncode


def signature(root: Path) -> dict[str, object]:
    """Everything below a folder, links not followed."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode) and not name.startswith(("manifest.db", "cleanup.")):
                content = Path(path).read_bytes()
            if not name.startswith(("manifest.db", "cleanup.lock")):
                found[path] = (status.st_mode, status.st_ino, content)
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_the_recorded_file_stays(
    desk: Desk, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "outside" / "precious"
    outside.parent.mkdir()
    outside.write_text("precious")
    path = expired(desk)
    change(path, outside)
    before = signature(tmp_path)

    report = desk.cleaner.run()

    assert signature(tmp_path) == before
    assert not report.steps
    # Where its folder is a link, it is simply gone.
    kept = [] if change is replace_folder_by_link else ["sessions/a"]
    assert [file.path for file in report.kept] == kept
    assert not desk.cleaner.run().kept, "it is the person's now"


@pytest.mark.parametrize("change", CHANGES[:-1])
def test_a_file_that_changes_between_plan_and_removal_stays(
    desk: Desk, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    path = expired(desk)
    seen: dict[str, object] = {}

    def stopping() -> bool:  # asked when the plan is made, just before the first removal
        if not seen:
            change(path, outside)
            seen.update(signature(desk.folder))
        return False

    report = desk.cleaner.run(stopping=stopping)

    assert not report.steps
    assert len(report.kept) == 1
    after = signature(desk.folder)
    assert {name: after[name] for name in seen} == seen
    assert desk.manifest.quarantined() == []


def test_what_is_written_while_it_is_moved_is_put_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = expired(desk)
    rename = os.rename

    def slow_rename(source: bytes, target: str, **folders: int) -> None:
        path.write_bytes(b"mine")  # the last moment there is
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", slow_rename)
    report = desk.cleaner.run()
    assert not report.steps
    assert path.read_bytes() == b"mine"
    assert desk.manifest.quarantined() == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_go_and_come_back(desk: Desk, name: bytes) -> None:
    path = expired(desk, b"sessions/x" + name + b"/" + name, b"odd")
    report = desk.cleaner.run()
    assert report.quarantined == 1
    assert report.steps[0].path.isprintable()
    assert not path.exists()
    desk.cleaner.restore(report.restore_id)
    assert path.read_bytes() == b"odd"


def test_immutable_files_stay_and_are_reported(desk: Desk) -> None:
    chattr = shutil.which("chattr")
    path = expired(desk)
    if chattr is None or not runs(chattr, "+i", str(path)):
        pytest.skip("no file can be made immutable here")
    try:
        other = expired(desk, "sessions/b")
        report = desk.cleaner.run()
        assert [step.path for step in report.steps] == ["sessions/b"]
        assert [kept.path for kept in report.kept] == ["sessions/a"]
        assert path.exists()
        assert not other.exists()
        desk.assert_agrees()
    finally:
        subprocess.run([chattr, "-i", path], check=True)


def test_a_folder_that_cannot_be_written_is_an_error_in_words(desk: Desk) -> None:
    path = expired(desk)
    desk.manifest.close()
    if not runs("chattr", "+i", str(desk.folder)):
        pytest.skip("no folder can be made immutable here")
    try:
        with pytest.raises(CleanupError, match="cannot be"):
            desk.cleaner.run()
    finally:
        runs("chattr", "-i", str(desk.folder))
    assert path.exists()
    assert desk.cleaner.run().steps


def test_unreadable_files_stay_and_are_reported(desk: Desk) -> None:
    path = expired(desk)
    path.chmod(0)
    script = f"""
        import os, sys
        from pathlib import Path
        from orchestrator_core.cleanup.age_clock import AgeClock
        from generated_folder import Desk
        if os.geteuid() == 0:
            os.setegid(65534); os.seteuid(65534)
        desk = Desk(Path(sys.argv[1]), clock=AgeClock(lambda: {desk.now_s}, "boot"))
        report = desk.cleaner.run()
        assert not report.steps, report
        assert [kept.path for kept in report.kept] == ["sessions/a"], report
    """
    desk.manifest.close()
    if AS_ROOT:  # root may read anything: another user does it
        for place in (desk.root, *desk.root.rglob("*")):
            os.chown(place, 65534, 65534)
        for above in desk.root.parents:
            if above.stat().st_mode & 0o001:
                break
            above.chmod(above.stat().st_mode | 0o011)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(desk.root)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert path.exists()


def test_nothing_is_removed_across_devices(desk: Desk) -> None:
    expired(desk, "sessions/a/state.json")
    shutil.rmtree(desk.folder / "sessions/a")
    mountpoint = desk.folder / "sessions/a"
    mountpoint.mkdir()
    if not runs("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mountpoint)):
        pytest.skip("nothing can be mounted here")
    try:
        file = mountpoint / "state.json"
        file.write_bytes(b"ours")
        with (
            StateFolder(desk.root, desk.folder) as folder,
            pytest.raises(OSError, match="device"),
            folder.folder(b"sessions/a"),
        ):
            pytest.fail("it was opened")
        desk.cleaner.run()
        assert file.read_bytes() == b"ours"
    finally:
        subprocess.run(["umount", str(mountpoint)], check=True)


def test_a_live_session_keeps_its_files(desk: Desk) -> None:
    with StateFolder(desk.root, desk.folder) as folder:
        with session(folder, desk.manifest, "one") as place:
            (place / "state.json").write_text("{}")
            record(desk.manifest, place / "state.json", Kind.SESSION)
            desk.passes(100)
            report = desk.cleaner.run()
            assert not report.steps
            assert {kept.reason for kept in report.kept} == {"in use by a running session"}
        assert desk.cleaner.run().quarantined == 2
        desk.assert_agrees()


def test_a_session_that_comes_alive_after_the_plan_keeps_its_files(desk: Desk) -> None:
    with StateFolder(desk.root, desk.folder) as folder:
        with session(folder, desk.manifest, "one") as place:
            (place / "state.json").write_text("{}")
            record(desk.manifest, place / "state.json", Kind.SESSION)
        desk.passes(100)
        alive = session(folder, desk.manifest, "one")
        begun: list[Path] = []

        def stopping() -> bool:
            if not begun:
                begun.append(alive.__enter__())
            return False

        report = desk.cleaner.run(stopping=stopping)
        alive.__exit__(None, None, None)
    assert not report.steps
    assert (begun[0] / "state.json").exists()


def test_a_file_that_is_being_written_is_not_taken_for_abandoned(desk: Desk) -> None:
    with (
        StateFolder(desk.root, desk.folder) as folder,
        creating(folder, desk.manifest, b"archive/a", Kind.HISTORY) as stream,
    ):
        stream.write(b"first")
        desk.cleaner.run()
        stream.write(b" and last")
    assert (desk.folder / "archive/a").read_bytes() == b"first and last"
    desk.assert_agrees()


def test_an_error_while_writing_leaves_nothing(desk: Desk) -> None:
    with (
        StateFolder(desk.root, desk.folder) as folder,
        pytest.raises(RuntimeError),
        creating(folder, desk.manifest, b"archive/a", Kind.HISTORY),
    ):
        raise RuntimeError
    assert not desk.tree()
    assert desk.manifest.totals() == {}


def test_home_and_the_root_are_refused(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(desk.root))
    expired(desk)
    for run in (desk.cleaner.run, desk.cleaner.preview):
        with pytest.raises(CleanupRefused, match="home folder"):
            run()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(desk.cleaner.run().steps) == 1
    with pytest.raises(CleanupRefused):
        StateFolder(Path("/"), desk.folder)


def test_a_state_folder_that_is_a_link_is_refused(desk: Desk, tmp_path: Path) -> None:
    expired(desk)
    elsewhere = tmp_path / "elsewhere"
    desk.folder.rename(elsewhere)
    desk.folder.symlink_to(elsewhere)
    with pytest.raises(CleanupRefused, match="link"):
        desk.cleaner.run()


def test_what_is_no_plain_file_below_the_folder_cannot_be_recorded(desk: Desk) -> None:
    (desk.folder / "link").symlink_to("/etc/passwd")
    for path in (desk.folder / "link", desk.folder, Path("/etc/passwd")):
        with pytest.raises(CleanupError):
            record(desk.manifest, path, Kind.CACHE)


def test_a_damaged_manifest_removes_nothing(desk: Desk) -> None:
    path = expired(desk)
    desk.manifest.close()
    (desk.folder / "manifest.db").write_bytes(b"no database" * 1000)
    assert not desk.cleaner.run().steps
    assert path.exists()
    assert (desk.folder / "manifest.db.damaged").exists()


def test_off_the_scheduler_does_nothing_and_the_command_still_cleans(desk: Desk) -> None:
    desk.limits = CleanupLimits(enabled=False)
    expired(desk)
    assert not desk.cleaner.enabled
    assert desk.cleaner.run().steps
