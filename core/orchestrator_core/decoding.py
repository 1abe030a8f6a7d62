"""Decoders of JSON into records, made once each.

msgspec learns what a Struct is made of when the Struct is first used. Two threads that do so at
the same moment crash the interpreter (seen with msgspec 0.22): here, one does it at a
time, and what was learned is kept.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

LEARNING = threading.RLock()
"""Held while msgspec may learn a type: also by whoever uses ``msgspec.convert`` in threads."""

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(data: bytes | bytearray | memoryview | msgspec.Raw, type_: type[T]) -> T:
    """Decode JSON. Safe from any thread.

    Raises:
        msgspec.DecodeError: it is no JSON.
        msgspec.ValidationError: it is something else than the type.
    """
    decoder = _decoders.get(type_)
    if decoder is None:
        with LEARNING:
            decoder = _decoders.setdefault(type_, msgspec.json.Decoder(type_))
    return cast("T", decoder.decode(data))
