from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.tool_server.client import ToolServer

LONG_LINE_BYTES = 2_500


def write_tree(root: Path, *, long_line_bytes: int = LONG_LINE_BYTES) -> None:
    """A small tree with every kind of file that search tools treat in a way of its own."""
    files: dict[str, bytes] = {
        "main.py": b"import os\nclass Error(Exception):\n    pass\n\ndef main():\n    print('x')\n",
        "src/app.py": "def load(path):\n    return open(path)  # é ü 𝄞\nload('a')\n".encode(),
        "src/app.test.js": b"const load = require('load');\nload(1); load(2);\n",
        "src/deep/er/mod.rs": b'fn main() { println!("load"); }\n',
        "src/build/out.py": b"load = 'ignored by src/.gitignore'\n",
        "src/keep.log": b"load kept by a ! rule\n",
        "src/drop.log": b"load ignored\n",
        "src/.gitignore": b"build/\n*.log\n!keep.log\n",
        ".gitignore": b"/secret.txt\nnode_modules/\n*.tmp\n",
        ".ignore": b"generated/\n!wanted.tmp\n",
        ".rgignore": b"private.md\n",
        "secret.txt": b"load secret\n",
        "notes/secret.txt": b"load not the root's\n",
        "wanted.tmp": b"load wanted\n",
        "other.tmp": b"load other\n",
        "private.md": b"load private\n",
        "generated/a.py": b"load generated\n",
        "node_modules/p/index.js": b"load();\n",
        ".hidden/inside.py": b"load hidden\n",
        ".hidden.py": b"load hidden file\n",
        "crlf.txt": b"one load\r\ntwo\r\nload three\r\n\r\n",
        "no_newline.txt": b"first\nload last",
        "only_newlines.txt": b"\n\n\n",
        "empty.txt": b"",
        "latin1.txt": "café load naïve\nplain load\n".encode("latin-1"),
        "utf16le.txt": b"\xff\xfe" + "wide load é\nsecond load\n".encode("utf-16-le"),
        "utf16be.txt": b"\xfe\xff" + "wide load é\nsecond load\n".encode("utf-16-be"),
        "bom.txt": b"\xef\xbb\xbfload after the mark\nload\n",
        "binary.bin": b"load before\x00load after\n" * 3,
        "long.txt": b"load " + b"x" * long_line_bytes + b" load\nshort load\n",
        "tabs.txt": b"\tload\t load  \n   trailing   \nLOAD Load loaD\nreload loader\n",
        "unicode.txt": "Straße ſload Kelvin \u212a masſ\nΣίσυφος σίσυφος\nload\u2028ed\n".encode(),
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "link.py").symlink_to("main.py")
    (root / "linked_folder").symlink_to("src")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    (root / "empty_folder").mkdir()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree").resolve()
    write_tree(root)
    return root


@pytest.fixture(scope="module")
def server(tree: Path) -> Iterator[ToolServer]:
    with ToolServer(tree) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root without a file."""
    return tmp_path.resolve()


@pytest.fixture
def running(root: Path) -> Iterator[ToolServer]:
    """A server of that root."""
    with ToolServer(root) as server:
        yield server
