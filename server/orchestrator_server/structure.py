"""From JSON values to LSP structures and back: the converter, strict and quick.

Params are structured by a converter that is generated without error details, which halves its
cost; only when that fails is the work repeated with details, for the message of the answer.
"""

from __future__ import annotations

import enum
from functools import cache
from typing import Any

import cattrs
import msgspec
from cattrs import transform_error
from lsprotocol import converters

from orchestrator_core.errors import RequestError


class InvalidParams(RequestError):
    """A value does not have the shape that its method or command asks for."""


def make_converter(*, detailed: bool = False) -> cattrs.Converter:
    """A converter for LSP types, msgspec Structs, and everything untyped as it is.

    Untyped values stay plain dicts and lists. Stock pygls makes a namedtuple class per dict
    (defects 6 and 7), which is slow and breaks on some keys.

    Args:
        detailed: whether errors tell where in the value they are.
    """
    converter = converters.get_converter(cattrs.Converter(detailed_validation=detailed))
    for primitive in (str, int, float, bool):
        converter.register_structure_hook(primitive, _structure_primitive)
    converter.register_structure_hook_func(_is_struct, _convert_struct)
    converter.register_unstructure_hook_func(_is_struct, msgspec.to_builtins)
    return converter


def structure(converter: cattrs.Converter, value: object, type_: Any) -> Any:
    """Structure a value that a client sent.

    Raises:
        InvalidParams: it is not of that type; the message says where.
    """
    try:
        return converter.structure(value, type_)
    except msgspec.ValidationError as error:
        raise InvalidParams(str(error)) from error
    except Exception as error:
        raise InvalidParams(_explain(value, type_, error)) from error


def serialize(converter: cattrs.Converter, value: object) -> object:
    """What the JSON encoder calls for a value that is not JSON's own.

    Raises:
        TypeError: the value has no JSON form.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "__attrs_attrs__"):
        return converter.unstructure(value)
    return msgspec.to_builtins(value)


@cache
def _detailed_converter() -> cattrs.Converter:
    return make_converter(detailed=True)


def _explain(value: object, type_: Any, error: Exception) -> str:
    try:
        _detailed_converter().structure(value, type_)
    except Exception as detailed:  # noqa: BLE001 (whatever it is, it is the explanation)
        return "; ".join(transform_error(detailed, path="params")[:3])
    return str(error)


def _structure_primitive(value: Any, type_: Any) -> Any:
    """Take a primitive as it is; cattrs by itself would turn any object into a string.

    cattrs also sends the enums here that derive from a primitive. A value that is no known
    enumerator is kept: a later version of the LSP may define it, and it must not cost an
    editor its ``initialize``.
    """
    if type(value) is type_ or (type_ is float and type(value) is int):
        return value
    if issubclass(type_, enum.Enum):
        known = next(iter(type_))
        if type(value) is type(known.value):
            try:
                return type_(value)
            except ValueError:
                return value
    raise TypeError(f"expected {type_.__name__}, got {type(value).__name__}")


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def _convert_struct(value: object, type_: Any) -> Any:
    return msgspec.convert(value, type_)
