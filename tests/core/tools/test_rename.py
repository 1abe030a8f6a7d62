"""Renames by meaning, on a package that has every kind of reference."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pygls
import pytest

from orchestrator_core.errors import RequestError
from orchestrator_core.tools.code import apply_edits
from orchestrator_core.tools.python_names import SymbolError
from orchestrator_core.tools.rename import Renamer
from orchestrator_core.workspace.documents import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator_core.tools.code import CodeTools
    from orchestrator_core.tools.rename import RenameResult

FILES = {
    "pyproject.toml": "[project]\nname = 'shop'\nversion = '1'\n",
    "README.md": "Call `load` or reload.\n",
    "src/shop/__init__.py": (
        '"""Use load()."""\n'
        "from .core import load, Base, LIMIT\n"
        "from .core import load as reader\n"
        '__all__ = ["load", "Base", "LIMIT"]\n'
        "__all__ += ['load']\n"
    ),
    "src/shop/core.py": (
        "from __future__ import annotations\n"
        "LIMIT = 10\n"
        "def deco(f):\n"
        "    return f\n"
        'def load(path: str, strict: bool = False) -> "Base":\n'
        '    """load it, é𝄞"""\n'
        "    return Base(path)\n"
        "class Base:\n"
        "    limit = LIMIT\n"
        "    def __init__(self, name: str) -> None:\n"
        "        self.name = name\n"
        "    def run(self) -> str:\n"
        "        # run it\n"
        "        return f\"é𝄞{self.name} {load('x').name} {LIMIT}\"\n"
        "class Child(Base):\n"
        "    def run(self) -> str:\n"
        "        return super().run()\n"
        "class Between(Child): ...\n"
        "class Leaf(Between):\n"
        "    def run(self) -> str:\n"
        "        return 'leaf'\n"
        "class Other:\n"
        "    def run(self) -> int:\n"
        "        return 1\n"
    ),
    "src/shop/use.py": (
        "from __future__ import annotations\n"
        "import shop, shop.core\n"
        "import shop.core as c\n"
        "from shop import load, Base\n"
        "from shop.core import (\n    load as ld,\n    deco, LIMIT as L,\n)\n"
        "from .core import Child, Other\n"
        "@deco\n"
        'def use(b: "Base", x: "shop.core.Base | None" = None) -> "list[Base]":\n'
        '    a = load("a", strict=True)\n'
        "    a.run(); Child('c').run(); Other().run()\n"
        '    z = ld(path="p"); y = shop.load("q"); w = shop.core.load("r"); v = c.load("s")\n'
        "    print(f\"{load('t').name!r} {L} {shop.LIMIT}\", 'load')\n"
        '    b.name = "n"\n'
        "    return [a, z]\n"
        "def local():\n"
        "    load = 1\n"
        "    return load\n"
        "def either(x: Base | Child, untyped):\n"
        "    untyped.run()\n"
        "    return x.run()\n"
    ),
    "src/shop/stubbed.py": "def helper(x):\n    return x\n",
    "src/shop/stubbed.pyi": "from .core import Base\ndef helper(x: Base) -> Base: ...\n",
    "tests/test_shop.py": (
        "from shop import *\nfrom shop.stubbed import helper\n"
        "def test_it():\n    return helper(load('x')).run()\n"
    ),
}


@pytest.fixture
def shop(root: Path) -> Path:
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
    return root


@pytest.fixture
def renamer(shop: Path, code: CodeTools) -> Renamer:
    return Renamer(Workspace(shop), code)


async def rename(
    renamer: Renamer, symbol: str, new: str, documents: Mapping[str, str | None] | None = None
) -> tuple[RenameResult, dict[str, str]]:
    """The result, and the new texts of the files that change."""
    candidate = await renamer.find(symbol, documents=documents)
    result = await renamer.rename(candidate, new, documents=documents)
    given = documents or {}
    texts: dict[str, str] = {}
    for file in result.files:
        text = given.get(file.path) or (renamer._workspace.root / file.path).read_text()
        assert file.sha256 == hashlib.sha256(text.encode()).hexdigest()
        texts[file.path] = apply_edits(text, file.edits)
    return result, texts


def changed(path: str, *pairs: tuple[str, str]) -> str:
    """A file with some of its pieces replaced, each of which must be there."""
    text = FILES[path]
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


async def test_a_function_is_renamed_wherever_it_is_meant(renamer: Renamer) -> None:
    result, texts = await rename(renamer, "load", "read_all")
    assert texts == {
        "src/shop/__init__.py": changed(
            "src/shop/__init__.py",
            ("import load", "import read_all"),
            ('"load"', '"read_all"'),
            ("'load'", "'read_all'"),
        ),
        "src/shop/core.py": changed(
            "src/shop/core.py", ("def load", "def read_all"), ("{load(", "{read_all(")
        ),
        "src/shop/use.py": changed(
            "src/shop/use.py",
            ("import load", "import read_all"),
            ("    load as ld", "    read_all as ld"),
            ("a = load(", "a = read_all("),
            ("shop.load(", "shop.read_all("),
            ("shop.core.load(", "shop.core.read_all("),
            ("c.load(", "c.read_all("),
            ("{load(", "{read_all("),
        ),
        "tests/test_shop.py": changed("tests/test_shop.py", ("(load(", "(read_all(")),
    }
    assert result.mentions == 4  # README, two docstrings, a string
    assert result.unresolved == ()


async def test_a_method_is_renamed_with_its_family_and_no_other(renamer: Renamer) -> None:
    for symbol in ("Base.run", "Leaf.run", "shop.core.Child.run"):
        result, texts = await rename(renamer, symbol, "execute")
        core = FILES["src/shop/core.py"].replace("def run", "def execute")
        core = core.replace("super().run", "super().execute")
        before, other = core.split("class Other:")
        assert texts["src/shop/core.py"] == before + "class Other:" + other.replace(
            "execute", "run"
        )
        assert texts["src/shop/use.py"] == changed(
            "src/shop/use.py",
            ("a.run()", "a.execute()"),
            ("Child('c').run()", "Child('c').execute()"),
            ("x.run()", "x.execute()"),
        )
        assert texts["tests/test_shop.py"] == changed(
            "tests/test_shop.py", (".run()", ".execute()")
        )
        assert result.unresolved == ("src/shop/use.py:22",)  # untyped.run()
        assert result.mentions == 1


@pytest.mark.parametrize(
    ("symbol", "new", "places"),
    [
        ("Base", "Root", 14),
        ("LIMIT", "MOST", 7),
        ("deco", "wrap", 3),
        ("Base.limit", "bound", 1),
        ("Base.name", "title", 5),
        ("load.path", "file", 3),
        ("helper", "assist", 4),
    ],
)
async def test_other_kinds_of_symbols(renamer: Renamer, symbol: str, new: str, places: int) -> None:
    result, texts = await rename(renamer, symbol, new)
    assert sum(len(file.edits) for file in result.files) == places, texts
    old = symbol.rpartition(".")[2]
    for path, text in texts.items():
        assert text.count(new) - FILES[path].count(new) == FILES[path].count(old) - text.count(old)


async def test_the_renamed_package_still_runs(renamer: Renamer, shop: Path) -> None:
    script = (
        "from shop import *\nimport shop.use\n"
        "b = READ('x'); assert b.run().startswith('é𝄞x x 10'), b.run()\n"
        "assert [a.name for a in shop.use.use(b)] == ['a', 'p']\n"
    )
    for symbol, new in [("load", "read_all"), ("Base", "Root"), ("LIMIT", "MOST")]:
        _, texts = await rename(renamer, symbol, new)
        for path, text in texts.items():
            (shop / path).write_text(text)
    source = script.replace("READ", "read_all")
    subprocess.run([sys.executable, "-c", source], cwd=shop / "src", check=True)


async def test_unsaved_texts_are_what_counts(renamer: Renamer, shop: Path) -> None:
    text = "# 𝄞\nfrom shop.core import load\nload('new')\n"
    documents = {"src/shop/use.py": text, "tests/test_shop.py": None}
    _, texts = await rename(renamer, "load", "read_all", documents)
    assert texts["src/shop/use.py"] == text.replace("load", "read_all")
    assert "tests/test_shop.py" not in texts
    renamer._workspace.opened("src/shop/use.py", "from shop import load\nload('editor')\n", 1)
    candidate = await renamer.find("load")
    result = await renamer.rename(candidate, "read_all")
    (edits,) = [file.edits for file in result.files if file.path == "src/shop/use.py"]
    assert len(edits) == 2


async def test_an_ambiguous_name_lists_the_definitions(renamer: Renamer) -> None:
    with pytest.raises(SymbolError, match=r"4 places") as caught:
        await renamer.find("run")
    assert isinstance(caught.value, RequestError)
    for line in ("shop.core.Base.run (method, src/shop/core.py:12)", "shop.core.Other.run"):
        assert line in str(caught.value)
    assert (await renamer.find("Other.run")).name == "shop.core.Other.run"


async def test_globs_limit_where_the_definition_is_looked_for(renamer: Renamer, shop: Path) -> None:
    (shop / "tools.py").write_text("def load(): ...\n")
    with pytest.raises(SymbolError, match="2 places"):
        await renamer.find("load")
    assert (await renamer.find("load", ["src"])).path == "src/shop/core.py"
    assert (await renamer.find("tools.load")).path == "tools.py"
    with pytest.raises(SymbolError, match=r"in tests.*load"):
        await renamer.find("load", ["tests"])


@pytest.mark.parametrize(
    ("symbol", "close"),
    [("laod", "load"), ("Chld.run", "Child.run"), ("Base.rum", "Base.run"), ("a b", "not a name")],
)
async def test_what_is_not_found_is_said_with_what_comes_close(
    renamer: Renamer, symbol: str, close: str
) -> None:
    with pytest.raises(SymbolError) as caught:
        await renamer.find(symbol)
    assert close in str(caught.value)


@pytest.mark.parametrize(
    ("symbol", "new", "why"),
    [
        ("load", "read all", "not a valid Python name"),
        ("load", "class", "keyword"),
        ("load", "load", "that name already"),
        ("Base.__init__", "start", "meaning in Python"),
        ("load", "deco", r"defined already at src/shop/core\.py:3"),
        ("load", "Other", r"src/shop/core\.py:22, src/shop/use\.py \(imported\)"),
        ("load", "use", r"src/shop/use\.py:11"),
        ("Base.run", "limit", r"src/shop/core\.py:9"),
        ("Leaf.run", "name", r"src/shop/core\.py:11"),
        ("load", "b", r"something else|defined already"),
    ],
)
async def test_a_new_name_that_cannot_be_is_refused(
    renamer: Renamer, symbol: str, new: str, why: str, shop: Path
) -> None:
    if new == "b":  # a parameter that would capture the reference
        use = shop / "src" / "shop" / "use.py"
        use.write_text("from shop import load\ndef use(b):\n    return load(b)\n")
    with pytest.raises(SymbolError, match=why):
        await rename(renamer, symbol, new)


async def test_a_builtin_that_is_in_use_is_not_shadowed(renamer: Renamer) -> None:
    with pytest.raises(SymbolError, match=r"something else at src/shop/use\.py:15"):
        await rename(renamer, "load", "print")


async def test_what_overrides_a_library_keeps_its_name(renamer: Renamer, shop: Path) -> None:
    text = "import threading\nclass T(threading.Thread):\n    def run(self): ...\n"
    (shop / "threads.py").write_text(text)
    with pytest.raises(SymbolError, match=r"overrides Thread\.run outside"):
        await rename(renamer, "T.run", "work")


async def test_definitions_that_one_reference_may_mean_share_the_name(
    renamer: Renamer, shop: Path
) -> None:
    text = (
        "class A:\n    def go(self): ...\n"
        "class B:\n    def go(self): ...\n"
        "def both(x: A | B):\n    x.go()\n"
    )
    (shop / "pair.py").write_text(text)
    _, texts = await rename(renamer, "A.go", "walk")
    assert texts == {"pair.py": text.replace("go", "walk")}
    (shop / "pair.py").write_text(text.replace("A | B", "A | list").replace("go", "append"))
    with pytest.raises(SymbolError, match=r"pair\.py:6 it may also be"):
        await rename(renamer, "A.append", "walk")


async def test_files_that_are_no_text_are_left_alone(renamer: Renamer, shop: Path) -> None:
    (shop / "latin.py").write_bytes("# é\nfrom shop import load\n".encode("latin-1"))
    _, texts = await rename(renamer, "load", "read_all")
    assert "latin.py" not in texts
    assert len(texts) == 4


async def test_a_workspace_inside_a_package_is_understood(tmp_path: Path) -> None:
    from orchestrator_core.runtime.programs import tool_server
    from orchestrator_core.runtime.tool_pool import RustToolPool
    from orchestrator_core.tools.code import CodeTools

    copy = tmp_path / "pygls"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(pygls.__file__).parent, copy, ignore=ignore)
    with RustToolPool(tool_server(), copy) as pool:
        renamer = Renamer(Workspace(copy), CodeTools(pool))
        result, texts = await rename(renamer, "pygls.uris.to_fs_path", "path_of")
        assert len(result.files) >= 3
        assert sum(len(file.edits) for file in result.files) == 5
        for path, text in texts.items():
            (copy / path).write_text(text)
    left = [p for p in copy.rglob("*.py") if "to_fs_path(" in p.read_text()]
    assert left == []
    check = "import pygls, pygls.lsp.server, pygls.uris; print(pygls.uris.path_of('file:///a'))"
    command = [sys.executable, "-c", check]
    output = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert output.stdout == "/a\n"


async def test_cancelling_ends_the_engine(renamer: Renamer) -> None:
    candidate = await renamer.find("load")
    task = asyncio.create_task(renamer.rename(candidate, "read_all"))
    while not renamer._running:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for thread in [t for t in threading.enumerate() if t.name == "rename"]:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()
    assert not renamer._running


async def test_nothing_is_written(renamer: Renamer, shop: Path) -> None:
    await rename(renamer, "load", "read_all")
    assert {p: (shop / p).read_text() for p in FILES} == FILES
