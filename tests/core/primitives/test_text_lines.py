"""Lines and places against a model so naive that it is right by inspection."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.primitives.text_lines import TextLines

UNITS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
WIDTH = {"utf-8": 1, "utf-16": 2, "utf-32": 4}

texts = st.text(st.sampled_from("ab\r\n\u2028\x0c\x85é中𐐷\U0001f600\ud800\udc00"), max_size=30)
encodings = st.sampled_from(sorted(UNITS))
small = st.integers(0, 12)


class Model:
    """A list of lines, each with its end, and counting by encoding one character at a time."""

    def __init__(self, text: str, encoding: str) -> None:
        self.text = text
        self.encoding = encoding

    @property
    def lines(self) -> list[str]:
        return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", self.text) + (
            [""] if not self.text or self.text[-1] in "\r\n" else []
        )

    def units(self, char: str) -> int:
        return len(char.encode(UNITS[self.encoding], "surrogatepass")) // WIDTH[self.encoding]

    def offset(self, line: int, character: int) -> int:
        lines = self.lines
        if line >= len(lines):
            return len(self.text)
        offset = sum(map(len, lines[:line]))
        units = 0
        for char in lines[line].rstrip("\r\n"):
            units += self.units(char)
            if units > character:
                break
            offset += 1
        return offset

    def place(self, offset: int) -> tuple[int, int]:
        line = 0
        lines = self.lines
        while line + 1 < len(lines) and offset >= len(lines[line]):
            offset -= len(lines[line])
            line += 1
        return (line, sum(self.units(char) for char in lines[line][:offset]))


@given(texts, encodings, small, small)
def test_the_offset_of_a_place(text: str, encoding: str, line: int, units: int) -> None:
    model = Model(text, encoding)
    assert TextLines(text, encoding).offset_of(line, units) == model.offset(line, units)


@given(texts, encodings, st.data())
def test_the_place_of_an_offset_and_back(text: str, encoding: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    lines = TextLines(text, encoding)
    place = lines.place_of(offset)
    assert place == Model(text, encoding).place(offset)
    inside_line_end = text[offset - 1 : offset + 1] == "\r\n" if offset else False
    assert lines.offset_of(*place) == (offset - 1 if inside_line_end else offset)


@given(texts, st.data())
def test_lines_after_an_edit_are_the_lines_of_the_new_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    new = data.draw(texts)
    lines = TextLines(text)
    lines.replace(start, end, new)
    assert lines.text == text[:start] + new + text[end:]
    assert lines._starts == TextLines(lines.text)._starts
