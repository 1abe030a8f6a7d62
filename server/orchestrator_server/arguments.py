"""The arguments of ``workspace/executeCommand``, bound to a handler's parameters."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any

from pygls.constants import PARAM_LS
from pygls.lsp.server import LanguageServer

from orchestrator_server.structure import InvalidParams, structure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cattrs import Converter


Parameters = tuple[tuple[inspect.Parameter, Any], ...]
"""The positional parameters that a client fills, each with the type to structure to."""


def parameters_of(handler: Callable[..., object]) -> Parameters:
    """Inspect a handler; costs some 100 µs, which stock pygls spends at every call.

    Raises:
        NameError: an annotation names what is not there at run time.
    """
    # Where a handler asks for the server, pygls registers a wrapper that holds it as `func`.
    function = getattr(handler, "func", handler)
    hints = typing.get_type_hints(function)
    parameters = [
        (parameter, hints.get(parameter.name, Any))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    ]
    if parameters and _is_server(*parameters[0]):
        del parameters[0]
    return tuple(parameters)


def bind_arguments(
    parameters: Parameters, arguments: Sequence[object] | None, converter: Converter
) -> tuple[object, ...]:
    """Structure a command's arguments for the parameters of its handler.

    A missing argument takes the parameter's default; stock pygls refuses that wherever
    ``arguments`` is a list.

    Raises:
        InvalidParams: an argument is missing, left over, or of the wrong type.
    """
    given = list(arguments or ())
    bound: list[object] = []
    for parameter, type_ in parameters:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            bound.extend(given[len(bound) :])
            return tuple(bound)
        if len(bound) < len(given):
            bound.append(_structure_one(converter, given[len(bound)], parameter, type_))
        elif parameter.default is inspect.Parameter.empty:
            raise InvalidParams(f"argument {len(bound) + 1}, {parameter.name!r}, is missing")
        else:
            break
    if len(bound) < len(given):
        raise InvalidParams(f"takes {len(bound)} arguments at most, got {len(given)}")
    return tuple(bound)


def _structure_one(
    converter: Converter, value: object, parameter: inspect.Parameter, type_: Any
) -> object:
    if type_ is Any:
        return value
    try:
        return structure(converter, value, type_)
    except InvalidParams as error:
        raise InvalidParams(f"argument {parameter.name!r}: {error}") from error


def _is_server(parameter: inspect.Parameter, type_: Any) -> bool:
    return parameter.name == PARAM_LS or (
        isinstance(type_, type) and issubclass(type_, LanguageServer)
    )
