"""Commands that run other commands: ``sh -c``, ``env``, ``xargs``, ``find -exec`` and the like."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_DEPTH = 8

Words = tuple[str | None, ...]
"""A command's words; None for one that is only known when the line runs."""


class Inner(Struct, frozen=True):
    """What a command is told to run.

    Attributes:
        lines: as shell lines.
        commands: as words.
        assigned: variables that it sets for them.
        transparent: it does nothing but that, or nothing that could harm.
        unclear: why it cannot be known.
    """

    lines: tuple[str, ...] = ()
    commands: tuple[Words, ...] = ()
    assigned: tuple[str, ...] = ()
    transparent: bool = False
    unclear: tuple[str, ...] = ()


def unwrap(words: Sequence[str | None]) -> Inner:
    """What a command is told to run. Never raises."""
    program = words[0]
    if program is None:
        return Inner(unclear=("the name of a command is only known when it runs",))
    name = posixpath.basename(program)
    arguments = tuple(words[1:])
    reader = _READERS.get(name)
    if reader is not None:
        return reader(name, arguments)
    if name in _HARMLESS:
        return Inner(transparent="/" not in program)
    if name in _OPAQUE:
        return Inner(unclear=(f"what `{name}` runs cannot be read",))
    if _INTERPRETER.fullmatch(name):
        return _interpreter(name, arguments)
    return Inner()


_HARMLESS = frozenset(
    ": true false test [ echo printf pwd exit return wait break continue cd shift sleep".split()  # noqa: SIM905
)
_OPAQUE = frozenset(
    """eval source . trap alias parallel watch script flock entr busybox toybox strace ltrace gdb
    ld.so fakeroot proot chroot nsenter unshare bwrap firejail systemd-run at batch crontab
    setpriv capsh coproc hash enable bind complete fc ssh docker podman kubectl make-a-shell
    vi vim nvim emacs ed ex less more man pushd popd""".split()  # noqa: SIM905
)
_INTERPRETER = re.compile(r"(python|pypy|node|deno|bun|perl|ruby|php|lua|Rscript|osascript)[\d.]*")
_INLINE = re.compile(r"-[A-Za-z]*[ceEpr]|--(eval|print|require|import|command|execute)(=.*)?|-")


def _interpreter(name: str, arguments: Words) -> Inner:
    """A program given as text, or on stdin, is not understood."""
    for word in arguments:
        if word is None or not word.startswith("-"):
            return Inner()
        if word == "-m":
            return Inner()
        if _INLINE.fullmatch(word):
            return Inner(unclear=(f"`{name}` is given a program as text",))
    if not arguments:
        return Inner(unclear=(f"`{name}` reads a program from its input",))
    return Inner()


def _shell(name: str, arguments: Words) -> Inner:
    """``sh -c LINE``; a script file is an ordinary argument."""
    rest = list(arguments)
    text = False
    while rest and (word := rest[0]) is not None and re.fullmatch(r"[-+]\w+", word):
        rest.pop(0)
        text = text or "c" in word
        if word[1:].strip("ceuxlinv"):
            return Inner(unclear=(f"`{name} {word}` is not understood",))
        if "i" in word or "l" in word:
            return Inner(unclear=(f"`{name} {word}` reads start-up files",))
    if rest and rest[0] == "--":
        rest.pop(0)
    if rest and rest[0] is not None and rest[0].startswith(("-", "+")):
        return Inner(unclear=(f"`{name} {rest[0]}` is not understood",))
    if not rest:
        return Inner(unclear=(f"`{name}` reads commands from its input",))
    if not text:
        return Inner()
    line = rest[0]
    if line is None:
        return Inner(unclear=(f"what `{name} -c` runs is only known when it runs",))
    return Inner(lines=(line,), transparent=True)


class _Options(Struct, frozen=True):
    """How a wrapper's own words are told from the command's.

    Attributes:
        flags: options without a value.
        valued: options whose value is the next word, unless it is glued to them.
        operands: words of its own that follow the options.
    """

    flags: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    operands: int = 0


def _options(flags: str = "", valued: str = "", operands: int = 0) -> _Options:
    return _Options(frozenset(flags.split()), frozenset(valued.split()), operands)


_PREFIXES = {
    "builtin": _options(),
    "exec": _options("-c -l", "-a"),
    "nohup": _options(),
    "time": _options("-p -v", "-f -o"),
    "nice": _options("", "-n --adjustment"),
    "ionice": _options("-t", "-c -n"),
    "setsid": _options("-c -f -w --wait --fork --ctty"),
    "stdbuf": _options("", "-i -o -e"),
    "timeout": _options("--foreground --preserve-status -v", "-k -s --signal --kill-after", 1),
    "env": _options("-i - --ignore-environment -0 -v", "-u --unset"),
    "xargs": _options(
        "-0 -r -t -x --null --no-run-if-empty --verbose --exit",
        "-a -d -E -I -L -n -P -s --arg-file --delimiter --max-args --max-procs --max-lines",
    ),
}


def _split(name: str, arguments: Words, options: _Options) -> tuple[Words, str]:
    """The command after a wrapper's own words, or why they are not understood."""
    rest = list(arguments)
    while rest:
        word = rest[0]
        if word is None:
            return (), f"an argument of `{name}` is only known when it runs"
        if word == "--":
            rest.pop(0)
            break
        if not word.startswith("-") or (word == "-" and "-" not in options.flags):
            break
        rest.pop(0)
        if word in options.flags:
            continue
        if word in options.valued:
            if not rest or rest.pop(0) is None:
                return (), f"`{name} {word}` is not understood"
            continue
        glued = word.split("=")[0] if word.startswith("--") else word[:2]
        if glued in options.valued or (name == "nice" and word[1:].isdigit()):
            continue
        return (), f"`{name} {word}` is not understood"
    own, command = rest[: options.operands], rest[options.operands :]
    if None in own:
        return (), f"an argument of `{name}` is only known when it runs"
    return tuple(command), ""


def _prefix(name: str, arguments: Words) -> Inner:
    command, problem = _split(name, arguments, _PREFIXES[name])
    if problem:
        return Inner(unclear=(problem,))
    return Inner(commands=(command,) if command else (), transparent=True)


def _command(name: str, arguments: Words) -> Inner:
    """``command -v NAME`` only looks a program up."""
    if arguments and arguments[0] in ("-v", "-V"):
        return Inner(transparent=True)
    if arguments and arguments[0] == "-p":
        arguments = arguments[1:]
    if arguments and (arguments[0] is None or arguments[0].startswith("-")):
        return Inner(unclear=(f"`{name} {arguments[0]}` is not understood",))
    return Inner(commands=(arguments,) if arguments else (), transparent=True)


def _env(name: str, arguments: Words) -> Inner:
    command, problem = _split(name, arguments, _PREFIXES["env"])
    if problem:
        return Inner(unclear=(problem,))
    assigned: list[str] = []
    while command and (command[0] is None or "=" in command[0]):
        if command[0] is None:
            return Inner(unclear=("what `env` runs is only known when it runs",))
        assigned.append(command[0].split("=")[0])
        command = command[1:]
    return Inner(commands=(command,) if command else (), assigned=tuple(assigned), transparent=True)


def _xargs(name: str, arguments: Words) -> Inner:
    """What it reads becomes words of the command: they are only known when it runs."""
    command, problem = _split(name, arguments, _PREFIXES["xargs"])
    if problem:
        return Inner(unclear=(problem,))
    return Inner(commands=((*(command or ("echo",)), None),), transparent=True)


_FIND_WRITES = frozenset({"-delete", "-fprint", "-fprint0", "-fprintf", "-fls", "-files0-from"})


def _find(_: str, arguments: Words) -> Inner:
    """``find … -exec COMMAND ;``: found names take the place of ``{}``."""
    commands: list[Words] = []
    rest = list(arguments)
    unclear: list[str] = []
    while rest:
        word = rest.pop(0)
        if word in _FIND_WRITES:
            unclear.append(f"`find {word}` changes files")
        elif word is not None and re.fullmatch(r"-(exec|ok)(dir)?", word):
            ends = [i for i, inner in enumerate(rest) if inner in (";", "+")]
            if not ends:
                unclear.append(f"`find {word}` has no end")
                break
            command, rest = rest[: ends[0]], rest[ends[0] + 1 :]
            commands.append(tuple(None if w is None or "{}" in w else w for w in command))
    return Inner(commands=tuple(c for c in commands if c), unclear=tuple(unclear))


_GIT_RISKS = re.compile(
    r"-c|--config-env.*|--exec-path.*|-C|--git-dir.*|--work-tree.*|--upload-pack.*|--receive-pack.*"
    r"|--ext-diff|--textconv|-O.+|--open-files-in-pager.*|--output.*|config|filter-branch|bisect"
    r"|submodule|hook|worktree"
)


def _git(name: str, arguments: Words) -> Inner:
    """Git runs what its configuration says, and some options name programs."""
    for word in arguments:
        if word is not None and _GIT_RISKS.fullmatch(word):
            return Inner(unclear=(f"`{name} {word}` may run other programs or change its rules",))
    return Inner()


def _settings(name: str, arguments: Words) -> Inner:
    """``set -eu`` and the like change how the shell stops, not what it runs."""
    harmless = all(w is not None and re.fullmatch(r"[-+][eux]+o?|pipefail", w) for w in arguments)
    if harmless:
        return Inner(transparent=True)
    return Inner(unclear=(f"`{name}` with these options is not understood",))


def _declaration(name: str, arguments: Words) -> Inner:
    """``export A=b``: the variable is judged like any other assignment."""
    names: list[str] = []
    for word in arguments:
        if word is None:
            # An assignment with a value: its name is judged where the parser meets it.
            continue
        if not re.fullmatch(r"-[a-z]*|\w+(=.*)?", word, re.DOTALL):
            return Inner(unclear=(f"`{name} {word}` is not understood",))
        if not word.startswith("-"):
            names.append(word.split("=")[0])
    return Inner(assigned=tuple(names), transparent=True)


_READERS: dict[str, Callable[[str, Words], Inner]] = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"), _shell),
    **dict.fromkeys(_PREFIXES, _prefix),
    **dict.fromkeys(("export", "declare", "typeset", "local", "readonly", "unset"), _declaration),
    "command": _command,
    "env": _env,
    "xargs": _xargs,
    "find": _find,
    "git": _git,
    "set": _settings,
    "shopt": _settings,
}
