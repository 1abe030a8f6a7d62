"""Edits that the tools answer, made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any


def apply(text: str, edits: list[dict[str, Any]]) -> str:
    """Apply edits in code points, as editors and the engine do."""
    for edit in reversed(edits):
        text = text[: edit["start"]] + edit["newText"] + text[edit["end"] :]
    return text


def rewritten(path: Path, change: dict[str, Any]) -> str:
    """The file's new text, after checking that the edits agree with each other and the file."""
    data = path.read_bytes()
    assert change["sha256"] == hashlib.sha256(data).hexdigest()
    text = data.decode().removeprefix("\ufeff")
    for edit in change["edits"]:
        by_bytes = text.encode()[edit["startByte"] : edit["endByte"]].decode()
        assert by_bytes == text[edit["start"] : edit["end"]]
    return apply(text, change["edits"])
