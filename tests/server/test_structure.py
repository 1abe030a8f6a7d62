"""What comes from a client is taken as it is typed, or refused with the place of the mistake."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from lsprotocol import types
from msgspec import Struct

from orchestrator_server.arguments import bind_arguments, parameters_of
from orchestrator_server.server import HardenedServer
from orchestrator_server.structure import InvalidParams, make_converter, serialize, structure

CONVERTER = make_converter()


class Options(Struct, rename="camel", forbid_unknown_fields=True):
    dry_run: bool = False
    files: list[str] = []


@attrs.define
class Place:
    line: int
    name: str = ""


def test_params_are_structured() -> None:
    params = structure(
        CONVERTER,
        {"textDocument": {"uri": "file:///a"}, "position": {"line": 1, "character": 2}},
        types.HoverParams,
    )
    assert params.position == types.Position(1, 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"textDocument": {"uri": 5}, "position": {"line": 0, "character": 0}}, "expected str"),
        (
            {"textDocument": {"uri": "a"}, "position": {"line": "0", "character": 0}},
            "position.line",
        ),
        (
            {"textDocument": {"uri": "a"}, "position": {"line": True, "character": 0}},
            "expected int",
        ),
        ({"textDocument": {"uri": "a"}, "position": {"line": -1, "character": 0}}, "position"),
        ({"textDocument": {"uri": "a"}}, "position"),
        ({"textDocument": None, "position": None}, "params.text_document"),
        ([], "params"),
        (None, "params"),
    ],
)
def test_the_place_of_a_mistake_is_told(params, message) -> None:
    with pytest.raises(InvalidParams, match=message):
        structure(CONVERTER, params, types.HoverParams)


def test_untyped_values_are_left_alone() -> None:
    value = {"type_name": "x", "jsonrpc": "2.0", "class": [1, {"a b": None}]}
    params = structure(
        CONVERTER, {"command": "c", "arguments": [value]}, types.ExecuteCommandParams
    )
    assert list(params.arguments) == [value]


def test_structs_go_both_ways() -> None:
    options = structure(CONVERTER, {"dryRun": True}, Options)
    assert options == Options(dry_run=True)
    assert serialize(CONVERTER, options) == {"dryRun": True, "files": []}
    with pytest.raises(InvalidParams):
        structure(CONVERTER, {"dryRun": 1}, Options)


def test_what_has_no_json_form_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        serialize(CONVERTER, object())


def bind(handler, arguments: list[Any] | None) -> tuple[object, ...]:
    return bind_arguments(parameters_of(handler), arguments, CONVERTER)


def test_arguments_are_structured_by_annotation_and_defaults_apply() -> None:
    def handler(
        text: str, place: Place, options: Options | None = None, *rest: int, key: int = 0
    ) -> None: ...

    assert bind(handler, ["a", {"line": 1}]) == ("a", Place(1))
    assert bind(handler, ["a", {"line": 1}, {"dryRun": True}]) == ("a", Place(1), Options(True))
    assert bind(handler, ["a", {"line": 1}, None, 7, 8]) == ("a", Place(1), None, 7, 8)


def test_the_server_is_no_argument() -> None:
    def by_name(ls, text: str = "") -> None: ...
    def by_type(server: HardenedServer, text: str = "") -> None: ...

    for handler in (by_name, by_type):
        assert bind(handler, None) == ()
        assert bind(handler, ["a"]) == ("a",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "argument 1, 'text', is missing"),
        (None, "argument 1, 'text', is missing"),
        (["a", 1, 2], "takes 2 arguments at most, got 3"),
        (["a", "b"], "argument 'count': .*expected int"),
    ],
)
def test_wrong_arguments_are_told(arguments, message) -> None:
    def handler(text: str, count: int = 0) -> None: ...

    with pytest.raises(InvalidParams, match=message):
        bind(handler, arguments)
