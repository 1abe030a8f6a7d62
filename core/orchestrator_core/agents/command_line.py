"""Shell lines, parsed rather than matched as text: which commands they run, which files they open.

The grammar is tree-sitter's for bash. A line runs in ``sh``, so what only bash knows, what the
parser cannot make sense of, and what is only known when the line runs is listed as unclear:
whoever judges the line must then ask a person.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import tree_sitter_bash
from msgspec import Struct
from tree_sitter import Language, Parser

from orchestrator_core.agents.command_wrappers import MAX_DEPTH, unwrap
from orchestrator_core.agents.shell_words import Word, text_of, word_of, words_of

if TYPE_CHECKING:
    from tree_sitter import Node


class SimpleCommand(Struct, frozen=True):
    """One command of a line.

    Attributes:
        arguments: its words, the program first.
        transparent: it does nothing but run other commands of this line, or nothing that could
            harm: rules may forbid it, but it needs none that allows it.
    """

    arguments: tuple[Word, ...]
    transparent: bool = False

    @property
    def words(self) -> tuple[str | None, ...]:
        """The words; None for one that is only known when the line runs."""
        return tuple(word.text if word.known else None for word in self.arguments)


class Redirect(Struct, frozen=True):
    """A file that the shell itself opens."""

    target: Word
    writes: bool


class CommandLine(Struct, frozen=True):
    """What a line does, as far as it can be known before it runs.

    Attributes:
        commands: every command in it: of pipelines, lists, subshells, substitutions, functions,
            and those that other commands are told to run.
        unclear: why a person should look at it, each in a few words; empty if all is known.
    """

    commands: tuple[SimpleCommand, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    unclear: tuple[str, ...] = ()


MAX_CHARACTERS = 20_000


def read_command(line: str) -> CommandLine:
    """Parse a shell line. Never raises: what it cannot read is unclear. Safe from any thread."""
    reading = _Reading()
    reading.read(line, 0)
    return CommandLine(
        tuple(reading.commands),
        tuple(reading.redirects),
        tuple(dict.fromkeys(reading.unclear)),
    )


_STRUCTURE = frozenset(
    """program list pipeline subshell compound_statement redirected_statement negated_command
    if_statement elif_clause else_clause for_statement while_statement do_group case_statement
    case_item test_command unary_expression binary_expression parenthesized_expression
    command_name command_substitution string concatenation simple_expansion expansion
    arithmetic_expansion variable_assignment variable_name string_content word raw_string number
    comment heredoc_redirect heredoc_start heredoc_body heredoc_content heredoc_end
    herestring_redirect file_redirect file_descriptor special_variable_name test_operator regex
    extglob_pattern""".split()  # noqa: SIM905 (words read better in a row)
)
_UNCLEAR_KINDS = {
    "function_definition": "it defines a function",
    "process_substitution": "it substitutes a process, which sh does not know",
    "ansi_c_string": "it has a string that sh and bash read differently",
    "translated_string": "it has a string that sh and bash read differently",
    "brace_expression": "it has a brace expansion",
    "ERROR": "a part of it cannot be parsed",
}
_RESERVED = frozenset(
    """! { } if then elif else fi do done case esac for while until in coproc function
    select""".split()  # noqa: SIM905
)
"""No command has such a name: where the grammar says so, it was mistaken."""
_BEFORE_COMMENT = (b"", b" ", b"\t", b"\n", b";", b"&", b"|", b"(", b")")
_METACHARACTER = re.compile(r"^(?:[^\\]|\\.)*?[\s`;&|<>()'\"]", re.DOTALL)
"""What ends a word, unless a backslash stands before it."""
_JOINED = re.compile(r"\S\\\n\S")
"""A word that goes on in the next line: the grammar takes it for two."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u0085\u2028\u2029]")


class _Reading:
    """One line being read, with the lines that its commands are told to run."""

    def __init__(self) -> None:
        self.commands: list[SimpleCommand] = []
        self.redirects: list[Redirect] = []
        self.unclear: list[str] = []

    def read(self, line: str, depth: int) -> None:
        if len(line) > MAX_CHARACTERS or depth > MAX_DEPTH:
            self.unclear.append("it is too long or too deeply nested to be read")
        elif _CONTROL.search(line):
            self.unclear.append("it has control characters")
        elif _JOINED.search(line):
            self.unclear.append("a word of it goes on in the next line")
        else:
            self._walk(line.encode("utf-8", "replace"), depth)

    def _walk(self, source: bytes, depth: int) -> None:
        root = Parser(_language()).parse(source).root_node
        if root.has_error:
            self.unclear.append("a part of it cannot be parsed")
        waiting = [root]
        while waiting:  # a loop: a line may nest deeper than Python's stack
            node = waiting.pop()
            waiting.extend(reversed(node.children))
            if node.type == "comment" and source[: node.start_byte][-1:] not in _BEFORE_COMMENT:
                self.unclear.append("a part of it cannot be parsed")
            self._visit(node, depth)

    def _visit(self, node: Node, depth: int) -> None:
        if node.is_missing:
            self.unclear.append("a part of it cannot be parsed")
        match node.type:
            case "command" | "declaration_command" | "unset_command":
                self._add(tuple(words_of(node.children)), depth)
            case "file_redirect":
                self._redirect(node)
            case "variable_assignment":
                name = text_of(node.child_by_field_name("name"))
                if not _harmless_variable(name):
                    self.unclear.append(f"it sets {name}, which may change what commands do")
            case "concatenation" if _has_gap(node):
                self.unclear.append("a part of it cannot be parsed")
            case "word" if _METACHARACTER.search(text_of(node)):
                self.unclear.append("a part of it cannot be parsed")
            case "``" | "&>" | "&>>" | "|&" | "((" | ";&" | ";;&" | "<<<":
                self.unclear.append(f"sh and bash read `{node.type}` differently")
            case kind:
                if reason := _UNCLEAR_KINDS.get(kind):
                    self.unclear.append(reason)
                elif node.is_named and kind not in _STRUCTURE:
                    self.unclear.append(f"it has a {kind.replace('_', ' ')}")

    def _add(self, arguments: tuple[Word, ...], depth: int) -> None:
        if not arguments:
            return
        inner = unwrap([word.text if word.known else None for word in arguments])
        self.commands.append(SimpleCommand(arguments, inner.transparent))
        self.unclear.extend(inner.unclear)
        if arguments[0].text in _RESERVED:
            self.unclear.append("a part of it cannot be parsed")
        for name in inner.assigned:
            if not _harmless_variable(name):
                self.unclear.append(f"it sets {name}, which may change what commands do")
        for words in inner.commands:
            if depth >= MAX_DEPTH:
                self.unclear.append("it is too deeply nested to be read")
                return
            self._add(tuple(_as_word(word) for word in words), depth + 1)
        for line in inner.lines:
            self.read(line, depth + 1)

    def _redirect(self, node: Node) -> None:
        target = node.child_by_field_name("destination")
        operators = {child.type for child in node.children if not child.is_named}
        if target is None:
            if not operators & {">&-", "<&-"}:
                self.unclear.append("it has a redirection that cannot be parsed")
            return
        word = word_of(target)
        if operators & {">&", "<&"} and word.known and (word.text.isdigit() or word.text == "-"):
            return
        if not word.known:
            self.unclear.append("which file it opens is only known when it runs")
        self.redirects.append(Redirect(word, writes=operators != {"<"}))


def _has_gap(node: Node) -> bool:
    """Whether the grammar took words with a space between them for one (as in "env ``x")."""
    return any(one.end_byte != other.start_byte for one, other in pairwise(node.children))


def _as_word(text: str | None) -> Word:
    return Word("", known=False) if text is None else Word(text)


@cache
def _language() -> Language:
    return Language(tree_sitter_bash.language())


_HARMLESS = frozenset(
    """CI DEBUG NO_COLOR FORCE_COLOR CLICOLOR LANG LANGUAGE TZ COLUMNS LINES PYTHONUNBUFFERED
    PYTHONDONTWRITEBYTECODE PYTHONHASHSEED RUST_BACKTRACE RUST_LOG NODE_ENV VERBOSE""".split()  # noqa: SIM905
)
_SHELL_VARIABLE = re.compile(r"(?!.*proxy)[a-z_][a-z0-9_]*|LC_[A-Z]+")


def _harmless_variable(name: str) -> bool:
    """Whether a variable cannot make a program do something else; lower case is the shell's own."""
    return name in _HARMLESS or _SHELL_VARIABLE.fullmatch(name) is not None
