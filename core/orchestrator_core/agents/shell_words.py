"""The words of a shell line, as far as they are known before it runs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node


class Word(Struct, frozen=True):
    """One word of a command.

    Attributes:
        text: what it is, quotes removed; of a word that is not known, what comes before the part
            that only the running shell knows.
        known: whether ``text`` is all of it, and it is one word.
    """

    text: str
    known: bool = True


_NOT_WORDS = frozenset({"file_redirect", "heredoc_redirect", "herestring_redirect", "comment"})


def words_of(nodes: list[Node]) -> Iterator[Word]:
    """The words of a command, without its assignments and redirections."""
    before_name = True
    for node in nodes:
        if node.type in _NOT_WORDS or (before_name and node.type == "variable_assignment"):
            continue
        before_name = False
        yield word_of(node.children[0] if node.type == "command_name" else node)


_SPECIAL = re.compile(r"\\(\n|.)|([*?\[\]{}])", re.DOTALL)


def word_of(node: Node) -> Word:
    """A word as the shell takes it: quotes and backslashes removed, ``~`` replaced."""
    text = text_of(node)
    match node.type:
        case "raw_string":
            return Word(text[1:-1])
        case "string":
            return _quoted(node, text)
        case "word" | "number" | "variable_name" | "extglob_pattern" if not node.named_children:
            return _bare(text)
        case "concatenation":
            return _joined([word_of(child) for child in node.children])
        case "simple_expansion" | "expansion" if text in ("$HOME", "${HOME}"):
            return Word(os.path.expanduser("~"), known=False)  # noqa: PTH111 - as the shell does
        case _ if not node.is_named:
            return _bare(text)
        case _:
            return Word("", known=False)


def _bare(text: str) -> Word:
    """A word without quotes: backslashes removed, patterns and a leading ``~`` noticed."""
    known = True

    def plain(match: re.Match[str]) -> str:
        nonlocal known
        if match[2] is None:
            return "" if match[1] == "\n" else match[1]
        known = False
        return match[2]

    out = text if text == "{}" else _SPECIAL.sub(plain, text)
    if text.startswith("~"):
        # An unknown user's name stays as it is: it is no file of the workspace, so it is refused.
        expanded = os.path.expanduser(out)  # noqa: PTH111 - as the shell does
        return Word(expanded if expanded != out else f"/{out}", known)
    return Word(out, known)


def _quoted(node: Node, text: str) -> Word:
    """A word in double quotes: known only without an expansion in it."""
    expansions = [child for child in node.named_children if child.type != "string_content"]
    if not expansions:
        return Word(re.sub(r'\\(\n|[$`"\\])', _unescaped, text[1:-1]))
    before = (node.text or b"")[1 : expansions[0].start_byte - node.start_byte]
    return Word(before.decode("utf-8", "replace") + word_of(expansions[0]).text, known=False)


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def _joined(parts: list[Word]) -> Word:
    """Parts without a space between them; known as far as the first that is not."""
    text = ""
    for part in parts:
        text += part.text
        if not part.known and not _is_pattern(part.text):
            return Word(text, known=False)
    return Word(text, all(part.known for part in parts))


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[]{}")


def text_of(node: Node | None) -> str:
    """What is written there."""
    return "" if node is None or node.text is None else node.text.decode("utf-8", "replace")
