"""Secrets: known by the names of the variables that hold them and by the form of common keys.

A :class:`Redactor` takes them out of what is logged, journalled or sent to a model. What it does
not know it cannot take out: it is the last of several guards, not the first.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

MASK = "[secret]"

_NAME = re.compile(
    r"(?:^|_)(?:KEY|TOKEN|PASS|PASSPHRASE|PWD|AUTH|AUTHTOKEN|COOKIE|SESSION|DSN|PAT"
    r"|CONNECTION_STRING)(?:$|_)|APIKEY|PASSWORD|PASSWD|SECRET|CREDENTIAL|_URI$|DATABASE_URL"
    r"|REDIS_URL|WEBHOOK",
    re.IGNORECASE,
)
_NOT_SECRET = frozenset(
    """PWD OLDPWD SSH_AUTH_SOCK XDG_SESSION_ID XDG_SESSION_TYPE XDG_SESSION_CLASS DESKTOP_SESSION
    XDG_SESSION_DESKTOP GPG_KEY SESSION_MANAGER""".split()  # noqa: SIM905
)
_SHORTEST = 6
"""A shorter value is a word of other texts as well: taking it out would spoil them."""

_FORMS = re.compile(
    r"""
    -----BEGIN\ (?:[A-Z]+\ )*PRIVATE\ KEY(?:\ BLOCK)?-----.*?(?:-----END\ [A-Z ]+-----|\Z)
  | \beyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]{4,}              # a JSON web token
  | \bsk-(?:ant-|proj-|or-)?[\w-]{16,}                   # OpenAI, Anthropic, OpenRouter
  | \b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
  | \bglpat-[\w-]{16,}
  | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
  | \bAIza[\w-]{30,}
  | \bxox[abeoprs]-[\w-]{10,}
  | \bhf_[A-Za-z0-9]{20,} | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[\w-]{30,}
  | \b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}
  | \bSG\.[\w-]{16,}\.[\w-]{16,}
  """,
    re.VERBOSE | re.DOTALL,
)
_LABELLED = re.compile(
    r"""(?P<label>\b(?:bearer|basic)\s+(?=[\w.~+/=-]*\d)(?=\S{12}) | \bauthorization["']?\s*[:=]\s*["']?(?:[a-z]+\s+)?
        | \bx-api-key["']?\s*[:=]\s*["']? | ://[^/\s:@]*:(?=[^/\s@]+@))
        (?P<value>[^\s"'@,;]{6,})""",
    re.VERBOSE | re.IGNORECASE,
)

_MARKS = (
    *("private key", "eyj", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    *("akia", "asia", "aiza", "xox", "hf_", "npm_", "pypi-", "k_live_", "k_test_", "sg."),
    *("bearer", "basic", "authorization", "api-key", "://"),
)
"""One of these is in whatever the two patterns match: to look for them first is a lot quicker."""
_ENCODED_MARKS = tuple(mark.encode() for mark in _MARKS)


def names_secret(variable: str) -> bool:
    """Whether a variable of that name usually holds a secret."""
    return variable not in _NOT_SECRET and _NAME.search(variable) is not None


class Redactor:
    """Takes secrets out of texts. Safe from any thread.

    Args:
        environment: where secrets are looked for by the names of variables.
        secrets: further ones, for example a key from the settings.
    """

    def __init__(self, environment: Mapping[str, str], secrets: Iterable[str] = ()) -> None:
        found = {value for name, value in environment.items() if names_secret(name)}
        values = sorted(
            (value for value in found.union(secrets) if len(value) >= _SHORTEST),
            key=len,
            reverse=True,  # a secret may hold another
        )
        self._values = re.compile("|".join(map(re.escape, values))) if values else None
        # As they stand in JSON, where a quotation mark is written in another way.
        self._encoded = [msgspec.json.encode(value)[1:-1] for value in values]

    def text(self, text: str) -> str:
        """The text with each secret replaced by :data:`MASK`."""
        if self._values is not None:
            text = self._values.sub(MASK, text)
        lowered = text.lower()
        if not any(mark in lowered for mark in _MARKS):
            return text
        text = _FORMS.sub(MASK, text)
        return _LABELLED.sub(_masked, text)

    def record(self, record: T) -> T:
        """A Struct (an event, say) with each secret taken out of the texts in it."""
        encoded = msgspec.json.encode(record)
        lowered = encoded.lower()
        if not (
            any(value in encoded for value in self._encoded)
            or any(mark in lowered for mark in _ENCODED_MARKS)
        ):
            return record
        plain = msgspec.to_builtins(record)
        clean = self._clean(plain)
        return record if clean == plain else msgspec.convert(clean, type(record))

    def _clean(self, value: object) -> object:
        match value:
            case str():
                return self.text(value)
            case dict():
                items = cast("dict[object, object]", value).items()
                return {key: self._clean(item) for key, item in items}
            case list():
                return [self._clean(item) for item in cast("list[object]", value)]
            case tuple():
                return tuple(self._clean(item) for item in cast("tuple[object, ...]", value))
            case _:
                return value


def _masked(match: re.Match[str]) -> str:
    return f"{match['label']}{MASK}"


class RedactingFilter(logging.Filter):
    """Takes secrets out of log records, tracebacks included; put it on a handler."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always logged."""
        record.msg = self._redactor.text(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._redactor.text(record.exc_text)
        return True
