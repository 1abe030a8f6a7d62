"""The typed tools against the real tool server."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.errors import ToolRejected
from orchestrator_core.tools.code import FileText, SyntaxErrors, TextEdit, apply_edits

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.runtime.tool_pool import RustToolPool
    from orchestrator_core.tools.code import CodeTools


@pytest.fixture(autouse=True)
def files(root: Path) -> None:
    (root / "src").mkdir()
    (root / "src" / "a.py").write_text("def f(x):\n    print('é', x)\n    return x\n")
    (root / "src" / "b.py").write_text("class C:\n    def m(self):\n        print(1)\n")
    (root / "notes.txt").write_text("print this\n")
    (root / ".hidden.py").write_text("print(0)\n")
    (root / ".gitignore").write_text("build\n*.gen.py\n")
    (root / "x.gen.py").write_text("print(2)\n")


async def test_globs_select_files_and_never_bring_back_ignored_ones(code: CodeTools) -> None:
    assert await code.glob() == ["notes.txt", "src/a.py", "src/b.py"]
    assert await code.glob(["**/*.py"]) == ["src/a.py", "src/b.py"]
    assert await code.glob(["src", "!**/b.py"]) == ["src/a.py"]
    assert await code.glob(["*.gen.py"]) == []
    assert await code.glob(["**/*.py"], documents={"new.py": "", "src/a.py": None}) == [
        "new.py",
        "src/b.py",
    ]


async def test_hidden_files_and_other_roots_on_request(code: CodeTools, tmp_path: Path) -> None:
    assert ".hidden.py" in await code.glob(hidden=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "z.py").write_text("")
    assert await code.glob(root=other) == ["z.py"]


async def test_grep_finds_matches_with_places(code: CodeTools) -> None:
    result = await code.grep(r"print\(", globs=["**/*.py"], context=1)
    first, second = result.matches
    assert (first.path, first.line, first.column, first.text) == (
        "src/a.py", 2, 5, "    print('é', x)",
    )  # fmt: skip
    assert (first.before, first.after) == (("def f(x):",), ("    return x",))
    assert (second.path, result.files, result.total, result.truncated) == ("src/b.py", 2, 2, False)
    assert (await code.grep("print", limit=1)).truncated
    assert (await code.multi_grep(["def f", "class C"])).total == 2


async def test_replacing_gives_edits_in_characters_and_the_files_hash(
    code: CodeTools, root: Path
) -> None:
    result = await code.replace(r"(\w), x\b", "$1, y", globs=["**/*.py"])
    assert result.files == ()
    result = await code.replace(", x", ", y", literal=True, globs=["**/*.py"])
    (edits,) = result.files
    data = (root / "src" / "a.py").read_bytes()
    assert edits.sha256 == hashlib.sha256(data).hexdigest()
    assert apply_edits(data.decode(), edits.edits) == "def f(x):\n    print('é', y)\n    return x\n"


async def test_documents_replace_what_is_on_disk(code: CodeTools) -> None:
    result = await code.replace("a", "b", paths=["src/a.py"], documents={"src/a.py": "𝄞a"})
    assert result.files[0].edits == (TextEdit(1, 2, "b"),)
    assert result.files[0].sha256 == hashlib.sha256("𝄞a".encode()).hexdigest()


async def test_code_is_searched_and_rewritten_by_syntax_tree(code: CodeTools) -> None:
    found = await code.search("print($$$A)", language="python")
    assert [(m.path, m.line) for m in found.matches] == [("src/a.py", 2), ("src/b.py", 3)]
    assert found.matches[1].variables == {"A": ["1"]}
    result = await code.rewrite("print($$$A)", "log.info($$$A)", globs=["src/b.py"])
    text = "class C:\n    def m(self):\n        print(1)\n"
    assert apply_edits(text, result.files[0].edits).endswith("log.info(1)\n")


async def test_syntax_errors_are_counted_for_files_and_documents(code: CodeTools) -> None:
    documents = {"x.py": "def (\n", "gone.py": None, "x.unknown": "("}
    found = await code.syntax_errors(["src/a.py"], documents=documents)
    assert found["src/a.py"] == SyntaxErrors(0)
    assert found["x.py"].count == 1
    assert found["x.py"].first is not None
    assert sorted(found) == ["src/a.py", "x.py"]
    assert await code.syntax_errors([]) == {}


async def test_a_diff_applies_with_git(code: CodeTools, tmp_path: Path) -> None:
    old = {"m.txt": "1\n2\n3\n", "gone.txt": "x", "b.txt": "ä\r\n"}
    new = {"m.txt": "1\nzwei\n3\n", "made.txt": "new\n", "b.txt": "ö\r\nend"}
    names = ["m.txt", "gone.txt", "made.txt", "b.txt"]
    diff = await code.unified_diff([FileText(n, old.get(n), new.get(n)) for n in names])
    for name, text in old.items():
        (tmp_path / name).write_bytes(text.encode())
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff.encode(), check=True)
    found = {p.name: p.read_bytes().decode() for p in tmp_path.glob("*.txt")}
    assert found == new


async def test_the_outline_names_definitions_and_what_contains_them(code: CodeTools) -> None:
    outline = await code.outline(["**/*.py"])
    assert [(s.kind, s.container, s.name) for s in outline["src/b.py"]] == [
        ("class", "", "C"),
        ("method", "C", "m"),
    ]


async def test_a_wrong_pattern_is_rejected_with_its_place(code: CodeTools) -> None:
    with pytest.raises(ToolRejected, match="unclosed group") as caught:
        await code.grep("a(")
    assert isinstance(caught.value.data, dict)
    assert caught.value.data["offset"] == 1


async def test_overlays_are_searched_instead_of_the_disk(
    code: CodeTools, pool: RustToolPool
) -> None:
    pool.set_overlay("src/a.py", "unsaved\n")
    assert [m.path for m in (await code.grep("unsaved")).matches] == ["src/a.py"]
    pool.clear_overlay("src/a.py")
    assert (await code.grep("unsaved")).total == 0


async def test_without_the_pool_the_results_are_the_same(root: Path, code: CodeTools) -> None:
    from orchestrator_core.runtime.programs import tool_server
    from orchestrator_core.runtime.tool_pool import RustToolPool
    from orchestrator_core.tools.code import CodeTools

    with RustToolPool(tool_server(), root, persistent=False) as single:
        alone = CodeTools(single)
        assert await alone.grep("print") == await code.grep("print")
        assert await alone.replace("x", "y") == await code.replace("x", "y")
