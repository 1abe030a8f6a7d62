"""The verbs of the built-in planner: what a step of work can be, as records.

A verb is a frozen Struct; :func:`describe` writes it in the canonical form that
:func:`orchestrator_core.agents.grammar.parse_statement` reads back to an equal verb.

Globs are kept as the person wrote them, relative to the workspace, with forward slashes. No
globs means the whole workspace. A glob without a wildcard names a file or a folder and all
below it: :func:`patterns` spells that out for a matcher.

Nothing here touches a file or holds state: all of it is safe to call from any thread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.agents.words import BARE_GLOB, COMMAND_WORDS, GLOB_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable


class Rename(Struct, frozen=True, tag="rename"):
    """Rename a symbol wherever it is meant (``Foo.bar`` names a member of ``Foo``)."""

    old: str
    new: str
    globs: tuple[str, ...] = ()


class Replace(Struct, frozen=True, tag="replace"):
    r"""Replace text.

    Attributes:
        pattern: a regular expression, or plain text where ``literal``.
        replacement: ``$1``, ``${1}`` and ``${name}`` stand for groups, ``$$`` for a dollar
            sign; where ``literal`` it is plain text without any of that.
        word: match only where no word character touches either end.
        multiline: ``^`` and ``$`` match at every line, and a match may span lines.
    """

    pattern: str
    replacement: str
    literal: bool = False
    word: bool = False
    ignore_case: bool = False
    multiline: bool = False
    globs: tuple[str, ...] = ()


class Rewrite(Struct, frozen=True, tag="rewrite"):
    """Rewrite code by syntax tree; ``$A`` stands for one node, ``$$$A`` for any number.

    Attributes:
        language: a name of ``LANGUAGES``; None means each file's own, by its name.
    """

    pattern: str
    replacement: str
    language: str | None = None
    globs: tuple[str, ...] = ()


class Fix(Struct, frozen=True, tag="fix"):
    """Apply the linter's fixes, of the given rules or prefixes of rules, or of all that are on."""

    rules: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()


class Format(Struct, frozen=True, tag="format"):
    """Lay the code out with the formatter."""

    globs: tuple[str, ...] = ()


class Run(Struct, frozen=True, tag="run"):
    """Run a command line in a trusted workspace; ``globs`` limit which changes of it are kept."""

    command: str
    globs: tuple[str, ...] = ()


class Check(Struct, frozen=True, tag="check"):
    """Run the Reviewer's checks and change nothing."""

    globs: tuple[str, ...] = ()


Verb = Rename | Replace | Rewrite | Fix | Format | Run | Check

VERB_HELP: dict[str, str] = {
    "rename": "rename load -> read_all in src",
    "replace": r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py"
    '   (or "text" -> "text")',
    "rewrite": "rewrite python: print($A) -> log.info($A)",
    "fix": "fix E,F,I in src   (or just: fix)",
    "format": "format in src",
    "run": "run pytest -q   (trusted workspaces)",
    "check": "check",
}
"""One line of usage, with an example, for each verb."""

LANGUAGES: dict[str, tuple[str, ...]] = {
    "python": ("py", "python3"),
    "javascript": ("js", "jsx", "node"),
    "typescript": ("ts",),
    "tsx": (),
    "rust": ("rs",),
    "go": ("golang",),
    "java": (),
    "c": (),
    "cpp": ("c++", "cxx", "cc"),
    "csharp": ("c#", "cs"),
    "ruby": ("rb",),
    "php": (),
    "bash": ("sh", "shell"),
    "json": (),
    "yaml": ("yml",),
    "html": ("htm",),
    "css": (),
}
"""The languages that ``rewrite`` knows, each with its other names."""

_NAME = re.compile(r"[^\W\d]\w*(?:(?:\.|::)[^\W\d]\w*)*")
_UNPRINTABLE = r"\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff"

_ESCAPES = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\", '"': r"\""}


def is_name(text: str) -> bool:
    """Whether the text is an identifier, or several joined by ``.`` or ``::``."""
    return _NAME.fullmatch(text) is not None


def quote(text: str) -> str:
    r"""The text in double quotes, on one line, with ``\n``, ``\t``, ``\"``, ``\\`` and ``\uXXXX``."""
    return '"' + "".join(_escape(char) for char in text) + '"'


def patterns(globs: Iterable[str]) -> tuple[str, ...]:
    """Globs for a matcher: a plain name also matches everything below it.

    ``src`` gives ``src`` and ``src/**``; ``src/`` gives ``src/**``; ``**/*.py`` stays.
    """
    result: list[str] = []
    for glob in globs:
        stem = glob.removeprefix("./").rstrip("/")
        if stem in {"", "."}:
            return ()
        if re.search(r"[*?\[{]", stem):
            result.append(stem if stem == glob.removeprefix("./") else f"{stem}/**")
        elif glob.endswith("/"):
            result.append(f"{stem}/**")
        else:
            result += [stem, f"{stem}/**"]
    return tuple(dict.fromkeys(result))


def describe(verb: Verb) -> str:
    """The verb as one line of canonical text, which parses back to an equal verb."""
    match verb:
        case Rename():
            text = f"rename {verb.old} -> {verb.new}"
        case Replace():
            text = _describe_replace(verb)
        case Rewrite():
            prefix = f"{verb.language}: " if verb.language else ""
            text = f"rewrite {prefix}{_code(verb.pattern)} -> {_code(verb.replacement)}"
        case Fix():
            text = " ".join(filter(None, ("fix", ",".join(verb.rules))))
        case Format():
            text = "format"
        case Run():
            text = f"run {_command(verb.command)}"
        case Check():
            text = "check"
    if verb.globs:
        text += " in " + ", ".join(_glob(glob) for glob in verb.globs)
    return text


def _describe_replace(verb: Replace) -> str:
    flags = "".join(
        flag
        for flag, on in (("i", verb.ignore_case), ("w", verb.word), ("m", verb.multiline))
        if on
    )
    if verb.literal:
        source = quote(verb.pattern) + (f"/{flags}" if flags else "")
        return f"replace {source} -> {quote(verb.replacement)}"
    if _fits_slashes(verb.pattern):
        source = "/" + verb.pattern.replace("/", r"\/") + "/" + flags
    else:
        source = "regex " + quote(verb.pattern) + (f"/{flags}" if flags else "")
    replacement = verb.replacement
    if not _PLAIN_TEXT.fullmatch(replacement) or _RESERVED.search(replacement):
        replacement = quote(replacement)
    return f"replace {source} -> {replacement}"


# What may stand unquoted without any doubt; everything else is quoted.
_PLAIN_TEXT = re.compile(
    rf"[^\s\\\"'`→{_UNPRINTABLE}](?:[^{_UNPRINTABLE}\\\"'`→]*[^\s\\\"'`→,;{_UNPRINTABLE}])?"
)
_RESERVED = re.compile(
    r"->|=>|\s{2}|(?<!\w)(?:then|in|inside|within|under|across|throughout|everywhere|and|please"
    r"|lang|language)(?!\w)",
    re.IGNORECASE,
)


def _fits_slashes(pattern: str) -> bool:
    """Whether a regular expression can be written between slashes and read back the same."""
    trailing = len(pattern) - len(pattern.rstrip("\\"))
    return (
        bool(pattern)
        and r"\/" not in pattern
        and trailing % 2 == 0
        and not re.search(f"[{_UNPRINTABLE}]", pattern)
    )


def _code(text: str) -> str:
    """A code pattern, in back-quotes or quotes where it could be misread."""
    if _PLAIN_TEXT.fullmatch(text) and not _RESERVED.search(text) and ":" not in text:
        return text
    if text and not re.search(f"[`{_UNPRINTABLE}]", text):
        return f"`{text}`"
    # A quoted text without an escape could mean a string of the program: leave no such text.
    return quote(text).replace("`", r"\`")


def _command(command: str) -> str:
    words = command.split()
    plain = _PLAIN_TEXT.fullmatch(command) and not _RESERVED.search(command)
    return command if plain and words[0].lower() not in COMMAND_WORDS else quote(command)


def _glob(glob: str) -> str:
    bare = BARE_GLOB.fullmatch(glob) and glob.lower() not in GLOB_WORDS
    return glob if bare else quote(glob)


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if code < 0x20 or 0x7F <= code <= 0xA0 or code in {0x2028, 0x2029} or 0xD800 <= code < 0xE000:
        return f"\\u{code:04x}"
    return char
