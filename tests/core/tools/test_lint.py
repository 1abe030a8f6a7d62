"""The linter answers as the ruff command does, from texts in memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.errors import RequestError, ToolError
from orchestrator_core.runtime.programs import beside_python
from orchestrator_core.tools.lint import Linter
from orchestrator_core.tools.ruff_servers import UnknownRule

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = """
[tool.ruff]
line-length = 90
unsafe-fixes = true
extend-exclude = ["excluded"]
[tool.ruff.lint]
select = ["E", "UP"]
ignore = ["UP007"]
[tool.ruff.lint.per-file-ignores]
"sub/*" = ["F811", "I001"]
"""
MESSY = '''\
"""é𝄞."""
import sys
import os, json
from typing import Optional, List


def f(x: Optional[int]) -> List[int]:
    y = 1
    if x == None: return []
    print(f"𝄞𝄞", undefined, 'ü')
    return [x]  # noqa: E501
import sys
'''
BROKEN = "import os\nx = 𝄞(\ndef (:\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    return tmp_path


@pytest.fixture
def linter(root: Path) -> Iterator[Linter]:
    with Linter(root) as linter:
        yield linter


def ruff(root: Path, path: str, text: str, *arguments: str) -> str:
    """What the command says of a text."""
    verb, *options = arguments
    command = [beside_python("ruff") or "ruff", verb, "--no-cache", "--force-exclude", *options]
    return subprocess.run(
        [*command, "--stdin-filename", path, "-"],
        cwd=root,
        input=text.encode(),
        capture_output=True,
        check=False,
    ).stdout.decode()


def ruff_findings(root: Path, path: str, text: str) -> list[tuple[object, ...]]:
    output = ruff(
        root, path, text, "check", "--extend-select", "F,E9", "--output-format", "json",
        "--no-unsafe-fixes",
    )  # fmt: skip
    return sorted(
        (
            item["location"]["row"],
            item["location"]["column"],
            item["code"],
            item["message"],
            bool(item["fix"]) and item["fix"]["applicability"] == "safe",
        )
        for item in json.loads(output or "[]")
    )


async def findings(linter: Linter, path: str, text: str) -> list[tuple[object, ...]]:
    found = await linter.findings(path, text)
    return sorted((f.line, f.column, f.code, f.message, f.fixable) for f in found)


@pytest.mark.parametrize("path", ["a.py", "sub/b.py", "excluded/c.py", "stub.pyi"])
@pytest.mark.parametrize("text", [MESSY, BROKEN, MESSY.replace("\n", "\r\n"), ""])
async def test_findings_are_the_commands(root: Path, linter: Linter, path: str, text: str) -> None:
    assert await findings(linter, path, text) == ruff_findings(root, path, text)


async def test_an_undefined_name_is_found_whatever_is_configured(linter: Linter) -> None:
    codes = {finding.code for finding in await linter.findings("a.py", "log.info(1)\n")}
    assert codes == {"F821"}


async def test_a_text_that_does_not_parse_is_a_finding(linter: Linter) -> None:
    first, *_ = await linter.findings("a.py", "def (:\n")
    assert (first.code, first.line, first.column) == ("invalid-syntax", 1, 5)


@pytest.mark.parametrize("path", ["a.py", "sub/b.py", "excluded/c.py"])
@pytest.mark.parametrize("rules", [(), ("F", "I"), ("E711",), ("UP",), ("f401", "I ")])
@pytest.mark.parametrize("text", [MESSY, MESSY.replace("\n", "\r\n"), "import b\nimport a\n"])
async def test_fixes_are_the_commands(
    root: Path, linter: Linter, path: str, rules: tuple[str, ...], text: str
) -> None:
    selection = ["--select", ",".join(rule.strip().upper() for rule in rules)] if rules else []
    expected = ruff(root, path, text, "check", "--fix", "--no-unsafe-fixes", "-q", *selection)
    assert await linter.fix(path, text, rules) == expected


async def test_fixing_changes_something_and_only_by_the_rules_given(linter: Linter) -> None:
    fixed = await linter.fix("a.py", "import b\nimport a\nx = a, b == None\n", ("I",))
    assert fixed == "import a\nimport b\n\nx = a, b == None\n"


@pytest.mark.parametrize("text", [MESSY, MESSY.replace("\n", "\r\n"), "x  =  1"])
@pytest.mark.parametrize("path", ["a.py", "excluded/c.py", "stub.pyi"])
async def test_formatting_is_the_commands(root: Path, linter: Linter, path: str, text: str) -> None:
    assert await linter.format(path, text) == ruff(root, path, text, "format")


async def test_a_text_that_does_not_parse_is_left_as_it_is(linter: Linter) -> None:
    assert await linter.format("a.py", BROKEN) == BROKEN
    assert await linter.fix("a.py", BROKEN, ("F",)) == BROKEN


async def test_a_rule_that_does_not_exist_is_named(linter: Linter) -> None:
    with pytest.raises(UnknownRule, match="NOPE") as caught:
        await linter.fix("a.py", MESSY, ("F", "nope"))
    assert isinstance(caught.value, RequestError)
    assert await linter.fix("a.py", "import os\n", ("F",)) == ""


async def test_a_broken_configuration_is_said_and_its_mending_noticed(root: Path) -> None:
    configuration = root / "pyproject.toml"
    configuration.write_text('[tool.ruff.lint]\nselect = ["NOPE"]\n')
    with Linter(root) as linter:
        with pytest.raises(ToolError, match=r"configuration.*NOPE"):
            await linter.findings("a.py", "x = 1\n")
        configuration.write_text('[tool.ruff.lint]\nselect = ["E"]\n')
        os.utime(configuration, ns=(1, 1))
        assert await linter.findings("a.py", "x = 1\n") == []


async def test_a_change_of_the_configuration_is_noticed(root: Path, linter: Linter) -> None:
    assert [f.code for f in await linter.findings("a.py", "import b\nimport a\na, b\n")] == []
    (root / "pyproject.toml").write_text('[tool.ruff.lint]\nselect = ["I"]\n')
    os.utime(root / "pyproject.toml", ns=(1, 1))
    found = await linter.findings("a.py", "import b\nimport a\na, b\n")
    assert [f.code for f in found] == ["I001"]
    (root / "sub").mkdir()
    assert [f.code for f in await linter.findings("sub/a.py", "x == None\n")] == ["F821"]
    (root / "sub" / "ruff.toml").write_text('lint.select = ["E711"]\n')
    found = await linter.findings("sub/a.py", "x == None\n")
    assert sorted(f.code for f in found) == ["E711", "F821"]


async def test_two_texts_of_one_path_at_once_do_not_mix(linter: Linter) -> None:
    texts = ["x = 1\n" * n + f"undefined_{n}\n" for n in range(40)]
    found = await asyncio.gather(*(linter.findings("a.py", text) for text in texts))
    assert [(f[0].line, f[0].message) for f in found] == [
        (n + 1, f"Undefined name `undefined_{n}`") for n in range(40)
    ]


async def test_a_server_that_is_killed_is_replaced(linter: Linter) -> None:
    assert await linter.findings("a.py", "x = 1\n") == []
    (server,) = linter._servers._servers.values()
    assert server._child is not None
    os.kill(server._child.pid, signal.SIGKILL)
    assert [f.code for f in await linter.findings("a.py", "y\n")] == ["F821"]


async def test_only_a_few_servers_are_kept(linter: Linter) -> None:
    for rules in [("E711",), ("E712",), ("F401",), ("UP",), ("I",), ("E711",)]:
        await linter.fix("a.py", MESSY, rules)
    assert len(linter._servers._servers) == 4


async def test_nothing_is_written_to_disk(root: Path, linter: Linter) -> None:
    await linter.findings("new/folder/a.py", MESSY)
    await linter.fix("new/folder/a.py", MESSY, ("F",))
    assert [path.name for path in root.iterdir()] == ["pyproject.toml"]


def test_only_python_files_are_covered(linter: Linter) -> None:
    assert [linter.covers(p) for p in ("a.py", "b.pyi", "c.ipynb", "d.txt", "py")] == [
        True, True, False, False, False,
    ]  # fmt: skip


async def test_real_files_give_the_commands_answers(tmp_path: Path) -> None:
    library = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(library.glob("[a-m]*.py"))[::4]
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    with Linter(tmp_path) as linter:
        found = await asyncio.gather(*(linter.findings(n, t) for n, t in texts.items()))
        fixed = await asyncio.gather(
            *(linter.fix(n, t, ("F", "I", "UP")) for n, t in texts.items())
        )
        laid_out = await asyncio.gather(*(linter.format(n, t) for n, t in texts.items()))
    check = ["check", "--no-cache", "--extend-select", "F,E9", "--output-format", "json"]
    output = run(tmp_path, *check)
    counts = {name: len(f) for name, f in zip(texts, found, strict=True) if f}
    expected: dict[str, int] = {}
    for item in json.loads(output):
        name = Path(item["filename"]).name
        expected[name] = expected.get(name, 0) + 1
    assert counts == expected
    assert sum(counts.values()) > 50
    run(tmp_path, "check", "--no-cache", "--fix", "-q", "--select", "F,I,UP")
    assert {n: (tmp_path / n).read_text() for n in texts} == dict(zip(texts, fixed, strict=True))
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    run(tmp_path, "format", "--no-cache", "-q")
    assert {n: (tmp_path / n).read_text() for n in texts} == dict(zip(texts, laid_out, strict=True))


def run(root: Path, *arguments: str) -> str:
    command = [beside_python("ruff") or "ruff", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, check=False, text=True).stdout
