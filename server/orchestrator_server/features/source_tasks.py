"""What a place of a source file asks for, as the text of a task: for a verb, or for a model.

A verb is limited to the file where that is what a person means who stands in it. For a model the
text names file, lines and what is said there; it is one line, so that nothing in a message or a
comment can pass for more than what it is. Functions only; no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from orchestrator_core.agents.grammar import check_step, parse_task, shorten
from orchestrator_core.agents.verbs import Fix, Rename, Run, describe
from orchestrator_core.errors import TaskTextError

if TYPE_CHECKING:
    from orchestrator_core.agents.verbs import Verb
    from orchestrator_server.text_document import LineIndex

_TODO = re.compile(
    r"(?:(?P<lead>#{1,9}|/{2,9}!?|/\*{1,9}!?|\*{1,9}|-{2,9}|;{1,9}|%{1,9}|<!--|\{-|\(\*)[ \t]*"
    r"|^[ \t]*(?=\w+(?:\([^()]*\))?:))"
    r"(?:TODO|FIXME)\b(?:\([^()]*\))?[ \t]*[:\-\u2013]?[ \t]*(?P<text>.*)"
)
_CLOSING = re.compile(r"[ \t]*(?:\*+/|-->|-\}|\*\))[ \t]*$")
_LINE_LEADS = {"/*": "*", "<!": "", "{-": "", "(*": ""}
_COMMENT_LINES = 12
_LONGEST_LINE = 2_000
_LONGEST = 600
_GLOB_SIGN = re.compile(r"[\[*?{]")


class Spot(Struct, frozen=True):
    """Lines of a file of the workspace, from 1, the last included."""

    path: str
    first: int
    last: int

    def __str__(self) -> str:
        """For people and models."""
        where = (
            f"line {self.first}"
            if self.first == self.last
            else f"lines {self.first} to {self.last}"
        )
        return f"{self.path}, {where}"


def fix_rule(path: str, rule: str) -> str:
    """The verb that makes the safe fixes of one of ruff's rules in a file."""
    return describe(Fix((rule,), (glob_of(path),)))


def fix_finding(spot: Spot, finding: str, origin: str) -> str:
    """For a model: mend what a tool reports."""
    return f"In {spot}: fix what {origin or 'the editor'} reports: {one_line(finding)}"


def do_comment(spot: Spot, comment: str) -> str:
    """What a comment asks for: a verb if it is one, else for a model."""
    told = verb_at(spot, comment)
    return told or (
        f"In {spot}: do what this comment asks for, and then remove the comment: {one_line(comment)}"
    )


def do_here(spot: Spot, text: str) -> str:
    """What a person typed about some lines: a verb if it is one, else for a model."""
    return verb_at(spot, text) or f"In {spot}: {text.strip()}"


def verb_at(spot: Spot, text: str) -> str | None:
    """The verbs that a text is, limited to the file where they name none; None if it is none."""
    try:
        statements = parse_task(text)
    except TaskTextError:
        return None
    return " then ".join(describe(_limited(statement.verb, spot.path)) for statement in statements)


def needs_model(text: str) -> bool:
    """Whether the verb language does not understand a text."""
    return check_step(text) is not None


def one_line(text: str, longest: int = _LONGEST) -> str:
    """A text of others without line ends and controls, and no longer than a task can bear."""
    return shorten(" ".join("".join(c if c.isprintable() else " " for c in text).split()), longest)


def todo_at(lines: LineIndex, line: int) -> str | None:
    """What a TODO or FIXME comment on a line (from 0) asks for; None if there is none."""
    if line >= lines.line_count:
        return None
    text = lines.line_text(line)[:_LONGEST_LINE]
    found = _TODO.search(text)
    if found is None:
        return None
    lead, said = found["lead"] or "", [_CLOSING.sub("", found["text"])]
    if lead and not text[: found.start()].strip() and said[0] == found["text"]:
        said += _continued(lines, line + 1, _LINE_LEADS.get(lead[:2], lead))
    return " ".join(filter(None, (each.strip() for each in said))) or None


def _continued(lines: LineIndex, line: int, lead: str) -> list[str]:
    """The lines of the same comment that follow."""
    said: list[str] = []
    for number in range(line, min(lines.line_count, line + _COMMENT_LINES)):
        text = lines.line_text(number)[:_LONGEST_LINE].strip()
        rest = text.removeprefix(lead)
        if not lead or rest == text or not rest.strip() or _TODO.search(text):
            break
        closed = _CLOSING.sub("", text)
        said.append(closed.removeprefix(lead))
        if closed != text:
            break
    return said


def _limited(verb: Verb, path: str) -> Verb:
    """A verb within a file; a name is meant wherever it is used, a command is about no file."""
    if verb.globs or isinstance(verb, Rename | Run):
        return verb
    return structs.replace(verb, globs=(glob_of(path),))


def glob_of(path: str) -> str:
    """The glob that matches a path and no other."""
    return _GLOB_SIGN.sub(lambda sign: f"[{sign[0]}]", path)
