"""What a workspace reads: the editor's text over the disk's, and nothing outside."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from orchestrator_core.errors import MissingFile, UnreadableText, WorkspaceError
from orchestrator_core.workspace.documents import Overlay, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "a.py").write_bytes(b"x = 1\r\ny = 2\n")
    return Workspace(tmp_path)


def test_root_that_does_not_exist_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"nowhere does not exist"):
        Workspace(tmp_path / "nowhere")


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="not a folder"):
        Workspace(tmp_path / "file")


def test_root_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("orchestrator_core.workspace.root.os.scandir", refuse)
    with pytest.raises(WorkspaceError, match=r"cannot be read \(Permission denied\)"):
        Workspace(tmp_path)


def test_reads_keep_line_endings_and_hash_the_bytes(workspace: Workspace) -> None:
    document = workspace.read("a.py")
    assert document.text == "x = 1\r\ny = 2\n"
    assert document.sha256 == hashlib.sha256(b"x = 1\r\ny = 2\n").hexdigest()
    assert (document.version, document.bom, document.source) == (None, False, "disk")
    assert document.encode() == b"x = 1\r\ny = 2\n"


def test_byte_order_mark_is_kept_out_of_the_text_and_remembered(workspace: Workspace) -> None:
    data = b"\xef\xbb\xbfname\n"
    (workspace.root / "b.txt").write_bytes(data)
    document = workspace.read("b.txt")
    assert (document.text, document.bom) == ("name\n", True)
    assert document.sha256 == hashlib.sha256(data).hexdigest()
    assert document.encode() == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"caf\xe9\n", r"is not UTF-8 \(byte 0xe9 on line 1\)"),
        (b"\xef\xbb\xbfok\n\xff\n", r"is not UTF-8 \(byte 0xff on line 2\)"),
        (b"MZ\x00\x01", "is binary"),
        ("text".encode("utf-16"), "is UTF-16"),
    ],
)
def test_what_is_no_utf8_text_is_named_with_the_reason(
    workspace: Workspace, data: bytes, reason: str
) -> None:
    (workspace.root / "odd").write_bytes(data)
    with pytest.raises(UnreadableText, match=reason) as caught:
        workspace.read("odd")
    assert caught.value.path == "odd"
    assert (workspace.root / "odd").read_bytes() == data


def test_folders_pipes_and_huge_files_are_left_alone_without_blocking(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, max_file_bytes=10)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_text("x" * 11)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, reason in {
            "folder": "is a directory",
            "pipe": "no regular file",
            "big": "larger",
            "socket": "cannot be read",
        }.items():
            with pytest.raises(UnreadableText, match=reason):
                workspace.read(name)


def test_missing_file_is_an_error_to_read_and_a_value_to_find(workspace: Workspace) -> None:
    with pytest.raises(MissingFile, match=r"no\.py does not exist"):
        workspace.read("no.py")
    assert workspace.find("no.py") is None
    assert workspace.find("a.py/below") is None


@pytest.mark.parametrize(
    "path", ["../up", "a/../../up", "/etc/passwd", "", ".", "a\0b", "..", "sub/.."]
)
def test_paths_out_of_the_workspace_are_refused(workspace: Workspace, path: str) -> None:
    with pytest.raises(WorkspaceError):
        workspace.read(path)


def test_links_are_followed_inside_and_refused_outside(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-secret"
    root.mkdir()
    outside.mkdir()
    (outside / "key").write_text("secret")
    (root / "real.py").write_text("real")
    (root / "link.py").symlink_to("real.py")
    (root / "leak").symlink_to(outside / "key")
    (root / "door").symlink_to(outside, target_is_directory=True)
    workspace = Workspace(root)
    assert workspace.read("link.py").text == "real"
    for path in ("leak", "door/key", "door/new"):
        with pytest.raises(WorkspaceError, match="outside the workspace"):
            workspace.read(path)


def test_absolute_paths_below_the_root_are_taken_by_either_name(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "alias").symlink_to("real", target_is_directory=True)
    workspace = Workspace(tmp_path / "alias")
    assert workspace.relative(tmp_path / "alias" / "sub" / "x") == "sub/x"
    assert workspace.relative(tmp_path / "real" / "sub" / "x") == "sub/x"
    assert workspace.relative("./sub//x") == "sub/x"


def test_an_open_buffer_wins_over_the_disk_until_it_is_closed(workspace: Workspace) -> None:
    workspace.opened("a.py", "typed\n", 1)
    workspace.changed("a.py", "typed more\n", 2)
    document = workspace.read("a.py")
    assert (document.text, document.version, document.source) == ("typed more\n", 2, "editor")
    assert document.sha256 == hashlib.sha256(b"typed more\n").hexdigest()
    workspace.closed("a.py")
    assert workspace.read("a.py").source == "disk"


def test_a_buffer_that_was_never_saved_exists(workspace: Workspace) -> None:
    workspace.opened("new.py", "fresh", 1)
    assert workspace.read("new.py").text == "fresh"
    assert workspace.unsaved() == {"new.py": "fresh"}


def test_an_untouched_buffer_has_the_hash_of_its_file(workspace: Workspace) -> None:
    (workspace.root / "b.txt").write_bytes(b"\xef\xbb\xbfname\n")
    on_disk = workspace.read("b.txt").sha256
    workspace.opened("b.txt", "name\n", 1)
    assert workspace.read("b.txt").sha256 == on_disk
    assert workspace.unsaved() == {}


def test_a_buffer_is_found_through_a_link(workspace: Workspace) -> None:
    (workspace.root / "link.py").symlink_to("a.py")
    workspace.opened("link.py", "typed", 3)
    document = workspace.read("a.py")
    assert (document.path, document.text) == ("a.py", "typed")
    assert workspace.read("link.py").path == "link.py"


def test_half_a_surrogate_pair_in_a_buffer_is_reported_when_read(workspace: Workspace) -> None:
    workspace.opened("a.py", "x = '\ud800'", 1)
    with pytest.raises(UnreadableText, match="surrogate"):
        workspace.read("a.py")


def test_an_applied_text_counts_until_the_file_on_disk_changes(workspace: Workspace) -> None:
    workspace.note_applied("a.py", "applied\n")
    document = workspace.read("a.py")
    assert (document.text, document.version, document.source) == ("applied\n", None, "editor")
    assert workspace.unsaved() == {"a.py": "applied\n"}
    (workspace.root / "a.py").write_text("saved by the editor\n")
    assert workspace.read("a.py").text == "saved by the editor\n"
    assert workspace.unsaved() == {}


def test_an_applied_deletion_hides_the_file(workspace: Workspace) -> None:
    workspace.note_applied("a.py", None)
    assert workspace.find("a.py") is None
    assert workspace.unsaved() == {"a.py": None}


def test_opening_a_file_ends_what_was_noted_of_it(workspace: Workspace) -> None:
    workspace.note_applied("a.py", "applied")
    workspace.opened("a.py", "buffer", 1)
    assert workspace.read("a.py").text == "buffer"
    workspace.closed("a.py")
    assert workspace.read("a.py").source == "disk"


def test_a_text_applied_to_an_open_file_counts_until_its_buffer_tells(
    workspace: Workspace,
) -> None:
    workspace.opened("a.py", "buffer", 1)
    workspace.note_applied("a.py", "applied")
    assert (workspace.read("a.py").text, workspace.read("a.py").version) == ("applied", 1)
    workspace.changed("a.py", "applied and typed", 2)
    assert workspace.read("a.py").text == "applied and typed"


def test_listeners_hear_of_each_change_and_ask_for_its_text(workspace: Workspace) -> None:
    heard: list[tuple[str, Overlay | None]] = []
    unsubscribe = workspace.subscribe(lambda path: heard.append((path, workspace.overlay(path))))
    workspace.opened("a.py", "one", 1)
    workspace.changed("a.py", "two", 2)
    workspace.closed("a.py")
    workspace.closed("a.py")
    workspace.note_applied("b.py", None)
    unsubscribe()
    unsubscribe()
    workspace.opened("a.py", "unheard", 3)
    assert heard == [
        ("a.py", Overlay("a.py", "one")),
        ("a.py", Overlay("a.py", "two")),
        ("a.py", None),
        ("b.py", Overlay("b.py", None)),
    ]


def test_saving_drops_what_differed(workspace: Workspace) -> None:
    workspace.opened("a.py", "typed\n", 1)
    assert workspace.unsaved() == {"a.py": "typed\n"}
    (workspace.root / "a.py").write_bytes(b"\xef\xbb\xbftyped\n")
    workspace.saved("a.py")
    assert workspace.unsaved() == {}
    assert workspace.read("a.py").bom
