"""Which files a shell line names: none may lie outside the workspace, or rule the agents."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from orchestrator_core.agents.permission_rules import Verdict
from orchestrator_core.safety import Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator_core.agents.command_line import CommandLine, SimpleCommand
    from orchestrator_core.agents.shell_words import Word
    from orchestrator_core.workspace.root import Root

_DEVICES = frozenset(
    "/dev/null /dev/zero /dev/random /dev/urandom /dev/stdin /dev/stdout /dev/stderr".split()  # noqa: SIM905
)
_WITHIN = re.compile(r"(?:^-{1,2}[A-Za-z][\w-]*|[=:,@])(?=(/|~|\.\.(?:/|$)))")


def judge_paths(
    root: Root, line: CommandLine, cwd: str, is_protected: Callable[[str], bool]
) -> Iterator[Verdict]:
    """What is to be said of the files that a line names. Reads symbolic links, nothing else.

    Args:
        root: the workspace.
        line: the parsed line.
        cwd: where it runs, relative to the workspace.
        is_protected: whether no agent may touch a file, by its path in the workspace.
    """
    inside = _Inside(root, is_protected)
    start = os.path.join(inside.real_root, cwd)  # noqa: PTH118 - may lead anywhere: judged below
    yield from inside.judge(start, start)
    folders = [start]
    for number, command in enumerate(line.commands):
        if command.words[0] == "cd":
            target = command.words[1] if len(command.words) == 2 else None
            if target is None or target.startswith("-") or number:
                yield Verdict(Effect.ASK, "which folder it goes to is not clear")
            else:
                folders.append(os.path.join(start, target))  # noqa: PTH118 - judged as a word
        for folder in folders:
            for text in _named(command):
                yield from inside.judge(folder, text)
    for redirect in line.redirects:
        for folder in folders:
            yield from inside.judge(folder, redirect.target.text, surely=True)


def _named(command: SimpleCommand) -> Iterator[str]:
    """The parts of a command's words that may name files."""
    for position, word in enumerate(command.arguments):
        if position == 0 and word.text.startswith("/"):
            continue  # a program of the system: rules speak of it by its whole path
        yield from _candidates(word)


def _candidates(word: Word) -> Iterator[str]:
    text = word.text
    if not text:
        return
    if not text.startswith("-"):
        yield text
    for match in _WITHIN.finditer(text):
        candidate = text[match.end() :]
        yield os.path.expanduser(candidate)  # noqa: PTH111 - as programs do
    if "=" in text:
        yield text.split("=", 1)[1]
    if text.startswith("@"):
        yield text[1:]


class _Inside:
    """Where the workspace ends, on disk."""

    def __init__(self, root: Root, is_protected: Callable[[str], bool]) -> None:
        self.real_root = os.path.realpath(root.root)
        self._is_protected = is_protected

    def judge(self, folder: str, text: str, *, surely: bool = False) -> Iterator[Verdict]:
        """What is to be said of a word in ``folder`` that is a path (``surely``), or may be one.

        ``..`` goes up from where a link leads, as in the shell: the path is not simplified first.
        """
        if not text or "\0" in text:
            return
        if text in _DEVICES:
            return
        path = os.path.join(folder, text)  # noqa: PTH118 - pathlib would not keep `link/..`
        real = os.path.realpath(path)
        if real != self.real_root and not real.startswith(self.real_root.rstrip("/") + "/"):
            if surely or not text.startswith("/") or _exists(text):
                yield Verdict(Effect.DENY, f"{text} is outside the workspace")
            else:
                yield Verdict(Effect.ASK, f"{text} may be a file outside the workspace")
            return
        for spelling in (real, os.path.normpath(path)):
            name = os.path.relpath(spelling, self.real_root)
            if self._is_protected(name):
                yield Verdict(Effect.DENY, f"{name} rules the agents: no command touches it")


def _exists(text: str) -> bool:
    """Whether an absolute path begins like one of this machine."""
    first = text.lstrip("/").split("/")[0]
    return not first or os.path.exists(f"/{first}")  # noqa: PTH110 - a string already
