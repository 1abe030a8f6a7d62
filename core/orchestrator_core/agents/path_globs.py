"""Globs over the paths of a workspace, as rules use them."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache


def matches_path(glob: str, path: str) -> bool:
    """Whether a file matches a glob, in any spelling of upper and lower case.

    ``*`` and ``?`` stop at a slash, ``**`` does not; a glob without a slash matches names in any
    folder; a folder's glob covers what lies below it.
    """
    return _path_pattern(glob).fullmatch(posixpath.normpath(path).casefold()) is not None


@lru_cache(maxsize=1024)
def _path_pattern(glob: str) -> re.Pattern[str]:
    anchored = glob.rstrip("/").removeprefix("./")
    if "/" not in anchored:
        anchored = f"**/{anchored}"
    anchored = anchored.removeprefix("/")
    pieces = _PIECE.findall(anchored.casefold())
    out = "".join(_GLOB_PIECES.get(piece) or _literal_or_set(piece) for piece in pieces)
    return re.compile(f"{out}(?:/.*)?", re.DOTALL)


_PIECE = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)
_GLOB_PIECES = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _literal_or_set(piece: str) -> str:
    if len(piece) == 1:
        return re.escape(piece)
    inner = piece[1:-1].replace("\\", r"\\").replace("[", r"\[")
    return f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
