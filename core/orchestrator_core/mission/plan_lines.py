"""The lines of a plan file: headings and steps with their exact ranges, nothing of their meaning.

Fenced code and HTML comments that begin a line are skipped, as is all that is neither a heading
nor a list item with a marker: such lines are the person's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.mission.plan_document import MARKERS, Marker, Option, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = (
    "agent", "depends", "file", "files", "parallel-group", "group", "size", "status",
)  # fmt: skip
"""The options of headings and steps; ``size`` and ``status`` are read and have no effect."""

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_HEADING_MARKER = re.compile(r"\[([^\[\]]{0,3})\][ \t]+(?=[A-Za-z])")
_STEP = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\[([^\[\]]{0,3})\](?:[ \t]+|$)")
_ID = re.compile(r"(?=[A-Za-z_-]*\d)[A-Za-z][\w-]*(?:\.[\w-]+)*(?=[ \t]*(?:[:|]|$))", re.ASCII)
_STEP_ID = re.compile(r"[A-Z]{1,3}\d+(?:\.\d+)*(?=[ \t]*(?::(?!\S*\()|\||$))", re.ASCII)
_OPTION = re.compile(r"[ \t]*([A-Za-z][A-Za-z-]*)[ \t]*:[ \t]*(.*?)[ \t]*", re.DOTALL)
_ESCAPED_BAR = re.compile(r"(\\+)\|")
_FIRST = frozenset("#-*+ \t`~<123456789")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class Line(Struct, frozen=True, gc=False):
    """A heading or a step.

    Attributes:
        number: its line, from 1.
        level: the number of ``#``; 0 for a step.
        marker_span: what stands between the brackets; None where there are none.
        content_at: where the content begins, behind ``#``: there a marker would be inserted.
        options: the known ones at the end of the line.
        strays: what looks like options and is none: unknown keys, and known ones too far left.
        has_colon: whether a colon stood behind the id, so that a title was meant.
    """

    number: int
    level: int
    span: Span
    content_at: int
    marker: Marker | None
    marker_span: Span | None
    id: str
    id_span: Span
    title: str
    title_span: Span
    options: tuple[Option, ...]
    strays: tuple[Option, ...]
    has_colon: bool


class OpenBlock(Struct, frozen=True):
    """A fence or comment that is not closed: all below is skipped."""

    span: Span


def read_lines(text: str) -> Iterator[Line | OpenBlock]:
    """The headings and steps of a text, in order."""
    closer, opened = "", Span(0, 0)
    start, number = (1 if text.startswith("\ufeff") else 0), 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        stop = end - 1 if end > start and text[end - 1] == "\r" else end
        number += 1
        if closer:
            closer = "" if _closes(text[start:stop], closer) else closer
        elif text[start : start + 1] in _FIRST:
            if closer := _opening(text[start:stop]):
                opened = Span(start, stop)
            elif line := _read_line(text, start, stop, number):
                yield line
        start = end + 1
    if closer:
        yield OpenBlock(opened)


def _opening(line: str) -> str:
    """What closes the block that the line opens; empty if it opens none."""
    if fence := _FENCE.match(line):
        return fence[1]
    return "-->" if line.startswith("<!--") and "-->" not in line[4:] else ""


def _closes(line: str, closer: str) -> bool:
    if closer == "-->":
        return closer in line
    line = line.strip()
    return len(line) >= len(closer) and set(line) == {closer[0]}


def _read_line(text: str, start: int, stop: int, number: int) -> Line | None:
    step = _STEP.match(text, start, stop)
    heading = None if step else _HEADING.match(text, start, stop)
    if step:
        marker_span: Span | None = Span(*step.span(1))
        if not _meant_as_marker(step[1]):
            return None
        level, content_at, position = 0, step.end(), step.end()
    elif heading:
        level, content_at = len(heading[1]), heading.end()
        found = _HEADING_MARKER.match(text, content_at, stop) if level > 1 else None
        marker_span = Span(*found.span(1)) if found else None
        position = found.end() if found else content_at
    else:
        return None
    named = (_ID if level > 1 else _STEP_ID).match(text, position, stop) if level != 1 else None
    marker = None
    if marker_span:
        inside = text[marker_span.start : marker_span.end]
        state = MARKERS.get(inside)
        marker = Marker(marker_span.start, state) if state else None
        if level and not named:
            marker_span = marker = None
            position = content_at
    id_span = Span(*named.span()) if named else Span(position, position)
    position = id_span.end
    has_colon = False
    if named:
        position = _skip_blank(text, position, stop)
        has_colon = text[position : position + 1] == ":"
        position += has_colon
    bars = _bars(text, position, stop) if level != 1 else []
    options, strays, title_stop = _options(text, bars, stop, known_only=not level)
    title_span = _trimmed(text, position, title_stop)
    return Line(
        number,
        level,
        Span(start, stop),
        content_at,
        marker,
        marker_span,
        text[id_span.start : id_span.end],
        id_span,
        _unescaped(text, title_span) if level > 1 else text[title_span.start : title_span.end],
        title_span,
        options,
        strays,
        has_colon,
    )


def _bars(text: str, start: int, stop: int) -> list[int]:
    """Where bars stand that no backslash takes the meaning from."""
    bars: list[int] = []
    bar = text.find("|", start, stop)
    while bar >= 0:
        escape = bar
        while escape > start and text[escape - 1] == "\\":
            escape -= 1
        if (bar - escape) % 2 == 0:
            bars.append(bar)
        bar = text.find("|", bar + 1, stop)
    return bars


def _options(
    text: str, bars: list[int], stop: int, *, known_only: bool
) -> tuple[tuple[Option, ...], tuple[Option, ...], int]:
    """Options from the right, what only looks like one, and where the title ends.

    In a step a bar is often a part of the text, as in ``/a|b/``, so there the first segment from
    the right that is no known option ends them. In a heading, unknown keys are told.
    """
    options: list[Option] = []
    strays: list[Option] = []
    title_stop = stop
    in_title = False
    for bar in reversed(bars):
        option = _option(text, bar + 1, title_stop if not in_title else stop)
        stop = bar
        if option is None:
            in_title = in_title or known_only or bool(text[bar + 1 : title_stop].strip())
        elif option.key in OPTIONS and not in_title:
            options.append(option)
        elif option.key in OPTIONS or not known_only:
            strays.append(option)
        else:
            in_title = True
        if in_title and known_only:
            break
        if not in_title:
            title_stop = bar
    return tuple(reversed(options)), tuple(reversed(strays)), title_stop


def _option(text: str, start: int, stop: int) -> Option | None:
    found = _OPTION.fullmatch(text, start, stop)
    if found is None:
        return None
    value_span = Span(*found.span(2))
    return Option(found[1].lower(), _unescaped(text, value_span), Span(*found.span(1)), value_span)


def _unescaped(text: str, span: Span) -> str:
    r"""The part with ``\|`` read as a bar."""
    part = text[span.start : span.end]
    if "|" not in part:
        return part
    return _ESCAPED_BAR.sub(lambda found: "\\" * (len(found[1]) // 2) + "|", part)


def _meant_as_marker(inside: str) -> bool:
    """Whether brackets in a list are a marker, right or wrong, and no word: ``[ x]``, ``[?]``."""
    return len(inside) <= 1 or all(char in MARKERS for char in inside)


def _trimmed(text: str, start: int, stop: int) -> Span:
    start = _skip_blank(text, start, stop)
    while stop > start and text[stop - 1] in " \t":
        stop -= 1
    return Span(start, stop)


def _skip_blank(text: str, start: int, stop: int) -> int:
    while start < stop and text[start] in " \t":
        start += 1
    return start
