"""A change as a unified diff, for people. Functions only: safe from any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.workspace import diff

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator_core.workspace.edits import Change

_CONTEXT = 3
_NO_END = "\\ No newline at end of file"


def unified(before: str | None, after: str | None, path: str, new_path: str = "") -> str:
    """What turns one text into another; empty where they are equal and nothing is renamed.

    Args:
        before: None where the file is made.
        after: None where it is deleted.
        path: where it was.
        new_path: where it is, if that is another place.
    """
    renamed = bool(new_path) and new_path != path
    if before == after and not renamed:
        return ""
    old, new = _split(before or ""), _split(after or "")
    parts = [f"rename from {path}\nrename to {new_path}\n"] if renamed else []
    if before != after:
        parts.append(f"--- {'/dev/null' if before is None else 'a/' + path}\n")
        parts.append(f"+++ {'/dev/null' if after is None else 'b/' + (new_path or path)}\n")
    for group in _neighbours(diff.hunks(old, new)):
        parts += _part(group, old, new)
    return "".join(parts)


def diff_of(changes: Iterable[Change], *, inverted: bool = False) -> str:
    """Changes to several files as one diff; ``inverted`` shows what undoes them."""
    parts: list[str] = []
    for change in changes:
        before = change.before.text if change.before else None
        texts = (change.after_text, before) if inverted else (before, change.after_text)
        paths = (change.path, change.new_path or change.path)
        parts.append(unified(*texts, *(paths[::-1] if inverted else paths)))
    return "".join(parts)


def _neighbours(hunks: Iterable[diff.Hunk]) -> Iterator[list[diff.Hunk]]:
    """Groups of hunks whose context meets."""
    group: list[diff.Hunk] = []
    for hunk in hunks:
        if group and hunk.a_start - group[-1].a_end > 2 * _CONTEXT:
            yield group
            group = []
        group.append(hunk)
    if group:
        yield group


def _part(group: list[diff.Hunk], old: list[str], new: list[str]) -> Iterator[str]:
    start = max(0, group[0].a_start - _CONTEXT)
    end = min(len(old), group[-1].a_end + _CONTEXT)
    new_start = group[0].b_start - (group[0].a_start - start)
    new_end = group[-1].b_end + (end - group[-1].a_end)
    yield f"@@ -{start + 1},{end - start} +{new_start + 1},{new_end - new_start} @@\n"
    for hunk in group:
        yield from _lines(" ", old[start : hunk.a_start])
        yield from _lines("-", old[hunk.a_start : hunk.a_end])
        yield from _lines("+", new[hunk.b_start : hunk.b_end])
        start = hunk.a_end
    yield from _lines(" ", old[start:end])


def _split(text: str) -> list[str]:
    *lines, rest = text.split("\n")  # other programs know no other ends of lines
    return [f"{line}\n" for line in lines] + [rest] * bool(rest)


def _lines(mark: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield mark + line if line.endswith("\n") else f"{mark}{line}\n{_NO_END}\n"
