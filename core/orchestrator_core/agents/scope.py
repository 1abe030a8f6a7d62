"""``in …`` at the end of a statement: which files it is about.

Understood after ``in`` (also ``inside``, ``within``, ``under``, ``across``): globs, files and
folders, with spaces, commas or ``and`` between them; quoted ones; ``the tests folder``; ``all
python files``, ``*.py files in src``; ``the whole project``. Anything else is no scope, and the
caller decides whether it is part of the statement's text or a mistake.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator_core.agents.quoting import BLANK, quoted_end, unquote
from orchestrator_core.agents.verbs import LANGUAGES
from orchestrator_core.agents.words import (
    ARTICLES,
    BARE_GLOB,
    FILE_WORDS,
    FOLDER_WORDS,
    JOINTS,
    PROSE_WORDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator_core.agents.quoting import Piece

PREPOSITION = re.compile(
    r"(?<!\S)(?:in|inside|within|under|across|throughout)(?:\s+of)?\s+", re.IGNORECASE
)
_EVERYWHERE = re.compile(r"\s+(?:everywhere|project-?wide)\s*[.!]?$", re.IGNORECASE)
_WHOLE = re.compile(
    r"(?:(?:the|this|my|our|your)\s+)?(?:(?:whole|entire|complete)\s+)?"
    r"(?:project|workspace|repo|repository|code\s?base|source\s+tree|tree)"
    r"|everything|everywhere|all(?:\s+(?:the\s+)?)?(?:code|files)|(?:the\s+)?(?:source\s+)?code"
    r"|every\s+file|all\s+of\s+(?:it|them)",
    re.IGNORECASE,
)
_EXTENSIONS: dict[str, tuple[str, ...]] = {
    "python": ("py", "pyi"),
    "javascript": ("js", "jsx", "mjs", "cjs"),
    "typescript": ("ts", "tsx", "mts", "cts"),
    "tsx": ("tsx",),
    "rust": ("rs",),
    "go": ("go",),
    "java": ("java",),
    "c": ("c", "h"),
    "cpp": ("cpp", "cc", "cxx", "hpp", "hh", "hxx", "h"),
    "csharp": ("cs",),
    "ruby": ("rb",),
    "php": ("php",),
    "bash": ("sh", "bash"),
    "json": ("json",),
    "yaml": ("yaml", "yml"),
    "html": ("html", "htm"),
    "css": ("css",),
}
_KINDS: dict[str, tuple[str, ...]] = {
    **_EXTENSIONS,
    "markdown": ("md", "markdown"),
    "text": ("txt",),
    "toml": ("toml",),
    "header": ("h", "hpp", "hh"),
}


def language_named(name: str) -> str | None:
    """The canonical name of a language by any of its names; None if there is no such language."""
    name = name.lower()
    if name in LANGUAGES:
        return name
    return next((language for language, others in LANGUAGES.items() if name in others), None)


def split_scope(piece: Piece) -> tuple[Piece, tuple[str, ...]] | None:
    """The statement without its scope, and the scope's globs; None if it ends with no scope.

    The first ``in`` from which on everything is a scope counts.
    """
    if found := _EVERYWHERE.search(piece.mask):
        return piece.cut(0, found.start()).strip(), ()
    for found in PREPOSITION.finditer(piece.mask):
        globs = parse_scope(piece.cut(found.end()))
        if globs is not None:
            return piece.cut(0, found.start()).strip(), globs
    return None


def parse_scope(piece: Piece) -> tuple[str, ...] | None:
    """The globs that a text names, ``()`` for the whole workspace; None if it is no scope."""
    piece = piece.strip()
    ending = re.search(r"(?<=[\w*/])[.!]$|\s+please[.!]?$", piece.mask)
    if ending:
        piece = piece.cut(0, ending.start())
    if not piece.text:
        return None
    if _WHOLE.fullmatch(piece.text):
        return ()
    inner = PREPOSITION.search(piece.mask)
    if inner:
        return _kinds_within(piece.cut(0, inner.start()), piece.cut(inner.end()))
    return _items(piece)


def _kinds_within(kinds: Piece, place: Piece) -> tuple[str, ...] | None:
    """``python files in src``: kinds of files below places."""
    globs, places = _items(kinds), parse_scope(place)
    if globs is None or places is None or not all(glob.startswith("**/*.") for glob in globs):
        return None
    if any(re.search(r"[*?\[{]", name) for name in places):
        return None
    return tuple(f"{name.rstrip('/')}/{glob}" for name in places for glob in globs) or globs


def _items(piece: Piece) -> tuple[str, ...] | None:
    """Globs with words around them."""
    globs: list[str] = []
    words = list(_words(piece))
    joined = True  # whether a joint, or nothing yet, stands before the word
    folder_before = False
    for index, (word, quoted) in enumerate(words):
        lower = word.lower()
        after = words[index + 1][0].lower() if index + 1 < len(words) else ""
        if not quoted and lower in JOINTS:
            joined = True
        elif not quoted and lower in FOLDER_WORDS | FILE_WORDS:
            if joined:
                folder_before = lower in FOLDER_WORDS
            elif lower in FOLDER_WORDS:
                globs[-1] = _below(globs[-1])
        elif not quoted and lower in ARTICLES and (after or not globs):
            continue
        elif not quoted and after in FILE_WORDS and (kinds := _kind(lower)):
            globs += kinds
            joined = False
        elif quoted or (BARE_GLOB.fullmatch(word) and lower not in PROSE_WORDS):
            globs.append(_below(word) if folder_before else word)
            joined = folder_before = False
        else:
            return None
    return tuple(dict.fromkeys(globs)) or None


def _kind(word: str) -> tuple[str, ...]:
    """The globs of ``python``, ``.py``, ``py`` or ``*.py`` before ``files``."""
    name = word.removeprefix("*").removeprefix(".")
    extensions = _KINDS.get(language_named(name) or name, ())
    if word[0] in ".*" or (name in extensions and name not in _KINDS):
        return (f"**/*.{name}",) if re.fullmatch(r"\w+", name) else ()
    return tuple(f"**/*.{extension}" for extension in extensions)


def _below(glob: str) -> str:
    return glob if re.search(r"[*?\[{]", glob) else glob.rstrip("/") + "/**"


def _words(piece: Piece) -> Iterator[tuple[str, bool]]:
    """The words and commas of a scope, each with whether it was quoted."""
    text, position = piece.text, 0
    token = re.compile(r"\s*(,|(?:\{[^{}\s]*\}|\[[^\]\s]*\]|[^\s,])+)")
    while position < len(text):
        start = len(text) - len(text[position:].lstrip())
        if start < len(text) and piece.mask[start] == BLANK:
            end = quoted_end(text, start) or start + 1
            yield unquote(text[start:end]), True
            position = end
        elif found := token.match(text, position):
            yield found[1], False
            position = found.end()
        else:
            return
