"""Replacements keep what they do not replace, and tell what cannot be edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.tool_server.client import ToolServer
from core.tool_server.edited import apply, rewritten


def test_replace_keeps_marks_line_ends_and_characters(root: Path, running: ToolServer) -> None:
    cases = {
        "plain.py": "assertEquals(1)\nx = 'ünï𝄞' # assertEquals(2)\n",
        "crlf.py": "a = 1  \r\nb = 2\t\r\n\r\nassertEquals  \r\n",
        "bom.py": "\ufeffassertEquals('é')  \n",
        "none.py": "nothing here\n",
    }
    for name, text in cases.items():
        (root / name).write_bytes(text.encode())
    result = running.call(
        "replace", pattern=r"\bassertEquals\b|[ \t]+$", replacement="", newText=True
    )
    changes = {change["path"]: change for change in result["files"]}
    assert set(changes) == {"plain.py", "crlf.py", "bom.py"}
    assert rewritten(root / "crlf.py", changes["crlf.py"]) == "a = 1\r\nb = 2\r\n\r\n\r\n"
    assert rewritten(root / "bom.py", changes["bom.py"]) == "('é')\n"
    assert changes["bom.py"]["bom"]
    assert rewritten(root / "plain.py", changes["plain.py"]) == "(1)\nx = 'ünï𝄞' # (2)\n"
    assert result["selected"] == 4
    for change in changes.values():
        text = cases[change["path"]].removeprefix("\ufeff")
        assert change["newText"] == apply(text, change["edits"])
    for name, text in cases.items():
        assert (root / name).read_bytes() == text.encode(), "nothing is written"


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ({"pattern": r"(\w+)-(\w+)", "replacement": "$2-$1"}, "ab-cd\n", "cd-ab\n"),
        ({"pattern": r"(?P<n>\d+)", "replacement": "${n}0"}, "x1 y22\n", "x10 y220\n"),
        ({"pattern": "cost", "replacement": "$$5"}, "cost\n", "$5\n"),
        ({"pattern": "a.b", "replacement": "$1", "literal": True}, "a.b axb\n", "$1 axb\n"),
        ({"pattern": "load", "replacement": "x", "word": True}, "load reload\n", "x reload\n"),
        ({"pattern": "ß", "replacement": "ss", "ignoreCase": True}, "Straße\n", "Strasse\n"),
        ({"pattern": r"\s+", "replacement": " "}, "a  \t b\n\nc\n", "a b\n\nc\n"),
        ({"pattern": r"\s+", "replacement": " ", "multiline": True}, "a  \n\n b\n", "a b "),
        ({"pattern": "^", "replacement": "# "}, "a\r\nb\r\n", "# a\r\n# b\r\n"),
        ({"pattern": "$", "replacement": ";"}, "a\nb", "a;\nb;"),
        ({"pattern": "x*", "replacement": "-"}, "a\r\nö\r\n", "-a-\r\n-ö-\r\n"),
        ({"pattern": "a\nb", "replacement": "c", "literal": True}, "a\nb\n", "c\n"),
    ],
)
def test_replacements(
    root: Path, running: ToolServer, options: dict[str, Any], before: str, after: str
) -> None:
    (root / "f.txt").write_bytes(before.encode())
    [change] = running.call("replace", **options)["files"]
    assert rewritten(root / "f.txt", change) == after


def test_what_cannot_be_edited_is_told_if_it_matches(root: Path, running: ToolServer) -> None:
    (root / "latin1.py").write_bytes(b"# caf\xe9\nprint(1)\n")
    (root / "wide.py").write_bytes(b"\xff\xfe" + "print(2)\n".encode("utf-16-le"))
    (root / "other.py").write_bytes(b"# caf\xe9\n")
    for tool, arguments in [
        ("replace", {"pattern": r"print\(", "replacement": "log("}),
        ("ast_rewrite", {"pattern": "print($A)", "rewrite": "log($A)", "language": "python"}),
    ]:
        result = running.call(tool, **arguments)
        assert result["files"] == []
        assert [s["path"] for s in result["skipped"]] == ["latin1.py", "wide.py"]
        assert all("UTF-8" in s["reason"] for s in result["skipped"])
