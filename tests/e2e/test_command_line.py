"""The command, as scripts and people in a shell run it: real processes, real files."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from e2e.conftest import copy_of_shop, environment_in, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

REPLACE = r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py"
COMMAND = [sys.executable, "-m", "orchestrator_server.cli"]


def run(
    environment: dict[str, str], workspace: str | Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a workspace; answers how it ended."""
    line = [*COMMAND, *arguments, "--workspace", str(workspace)]
    return subprocess.run(
        line, env=environment, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.fixture
def command(shop: Path, environment: dict[str, str]) -> Command:
    """Runs the command in the workspace and answers how it ended."""

    def in_shop(*arguments: str, workspace: str | Path = shop) -> subprocess.CompletedProcess[str]:
        return run(environment, workspace, *arguments)

    return in_shop


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object that ``--json`` prints."""
    return json.loads(done.stdout)


def test_task_changes_exactly_what_matches(command: Command, tree) -> None:
    before = tree()

    done = command("task", f"{REPLACE} then fix F,I", "--json")

    report = report_of(done)
    assert done.returncode == 0, done.stderr
    assert {"mission", "status", "tasks", "files_changed", "duration_s", "stats"} <= report.keys()
    assert {"id", "title", "status", "files", "receipt"} <= report["tasks"][0].keys()
    assert report["status"] == "done"
    changed = [path for path, data in tree().items() if before.get(path) != data]
    assert changed == report["files_changed"] == ["shop/prices.py", "tests/test_shop.py"]


def test_undo_in_another_process_brings_back_every_byte(command: Command, tree) -> None:
    before = tree()
    assert command("task", "rename load -> read_all then format").returncode == 0
    assert tree() != before

    done = command("undo", "--json")

    assert done.returncode == 0, done.stderr
    assert report_of(done)["unrestored"] == []
    assert tree() == before


def test_undo_keeps_what_a_person_changed_since(command: Command, shop: Path) -> None:
    command("task", REPLACE)
    file = shop / "tests/test_shop.py"
    file.write_text("# by a person\n" + file.read_text("utf-8"), "utf-8")

    assert command("undo").returncode == 0

    text = file.read_text("utf-8")
    assert text.startswith("# by a person\n")
    assert "assertEquals(" in text


def test_what_makes_it_worse_is_undone(command: Command, tree) -> None:
    before = tree()

    done = command("task", rf"{REPLACE} then replace /\bprint\(/ -> log.info(", "--json")

    assert done.returncode == 1
    assert "F821" in report_of(done)["tasks"][1]["reason"]
    assert tree() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("frobnicate", "rename load -> read_all"),
        ("replace /a(/ -> b", "unclosed group"),
        ("format in nothing/**", "no file matches"),
        ("rename nowhere_defined -> x", "nowhere_defined"),
        ("rename load -> class", "class"),
        ("rewrite a -> b lang klingon", "klingon"),
        ("run true", "opencode-orchestrator trust"),
    ],
)
def test_what_cannot_be_understood_exits_with_2(
    command: Command, tree, shop: Path, text: str, told: str
) -> None:
    before = tree()

    done = command("task", text)

    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert tree() == before
    assert not (shop / ".opencode").exists()


def test_missing_workspace_exits_with_2(command: Command, shop: Path) -> None:
    done = command("task", "format", workspace=shop / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not exist" in done.stderr


def test_workspace_that_is_a_file_exits_with_2(command: Command, shop: Path) -> None:
    done = command("task", "format", workspace=shop / "style.css")
    assert done.returncode == 2
    assert "not a folder" in done.stderr


def test_file_that_is_not_utf8_is_left_alone_and_reported(command: Command, shop: Path) -> None:
    odd = b"# caf\xe9\nassertEquals(1, 1)\n"
    (shop / "tests/odd.py").write_bytes(odd)

    done = command("task", REPLACE, "--json")

    assert done.returncode == 0, done.stderr
    assert (shop / "tests/odd.py").read_bytes() == odd
    (note,) = report_of(done)["tasks"][0]["notes"]
    assert "tests/odd.py" in note
    assert "UTF-8" in note


def test_read_only_file_fails_the_mission_and_changes_nothing(
    command: Command, shop: Path, tree
) -> None:
    (shop / "shop/basket.py").chmod(0o444)
    before = tree()

    done = command("task", "replace items with things in shop", "--json")

    assert done.returncode == 1
    assert "shop/basket.py" in report_of(done)["reason"]
    assert tree() == before


def test_plan_with_a_cycle_names_it_with_its_place(command: Command, shop: Path, tree) -> None:
    (shop / "plan.md").write_text(
        "# Mission: circles\n### T1: one | depends: T2\n- [ ] format\n"
        "### T2: two | depends: T1\n- [ ] format\n"
    )
    before = tree()

    done = command("task", "--plan", "plan.md")

    assert done.returncode == 2
    assert "plan.md:2:" in done.stderr
    assert "T1" in done.stderr
    assert tree() == before


def test_plan_file_runs_independent_tasks(command: Command, shop: Path) -> None:
    (shop / "plan.md").write_text(
        "# Mission: tidy\n"
        "### T1: tests | files: tests/**\n- [ ] replace assertEquals with assertEqual\n"
        "### T2: shop | files: shop/**\n- [ ] fix F401\n"
        "### T3: all | depends: T1, T2\n- [ ] check\n"
    )

    done = command("task", "--plan", "plan.md", "--json")

    report = report_of(done)
    assert done.returncode == 0, done.stderr
    assert {task["id"]: task["status"] for task in report["tasks"]} == dict.fromkeys(
        ["T1", "T2", "T3"], "done"
    )
    assert report["tasks"][0]["files"] == ["tests/test_shop.py"]
    assert report["tasks"][1]["files"] == ["shop/prices.py"]


def test_run_takes_over_what_a_command_changed(command: Command, shop: Path, tree) -> None:
    assert command("trust").returncode == 0
    line = "run printf 'x = 1\\n' > made.py && rm style.css && sed -i s/tea/coffee/ shop/prices.py"

    done = command("task", line, "--json")

    assert done.returncode == 0, done.stderr
    assert report_of(done)["files_changed"] == ["made.py", "shop/prices.py", "style.css"]
    assert (shop / "made.py").read_text() == "x = 1\n"
    assert not (shop / "style.css").exists()


def test_command_that_fails_changes_nothing(command: Command, tree) -> None:
    command("trust")
    before = tree()

    done = command("task", "run rm style.css && false", "--json")

    assert done.returncode == 1
    assert report_of(done)["tasks"][0]["receipt"]["checks"][0]["exit_code"] == 1
    assert tree() == before


def test_status_and_stats_tell_of_the_last_mission(command: Command) -> None:
    mission = report_of(command("task", REPLACE, "--json"))["mission"]

    (listed,) = report_of(command("status", "--json"))["missions"]
    stats = report_of(command("stats", "--json"))

    assert (listed["mission"], listed["status"]) == (mission, "done")
    assert stats["mission"] == mission
    assert stats["stats"]["tools"]["calls"] > 0


def test_doctor_finds_everything(command: Command) -> None:
    done = command("doctor", "--json")

    checks = {check["name"]: check for check in report_of(done)["checks"]}
    assert done.returncode == 0, done.stdout
    assert {"tool server", "ruff", "ty", "workspace", "flags"} <= checks.keys()


MIXED = f"{REPLACE} then fix F,I then rename load -> read_all"


@pytest.fixture(scope="module")
def with_all_flags(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, bytes]]:
    """What a mission changes where no flag is off, and what it leaves."""
    folder = tmp_path_factory.mktemp("flags")
    shop = copy_of_shop(folder)
    report = report_of(run(environment_in(folder), shop, "task", MIXED, "--json"))
    return report["files_changed"], tree_of(shop)


@pytest.mark.parametrize(
    "flag", ["RUST_POOL", "ENABLE_WORK_STEALING", "ADAPTIVE_POLLING", "TASK_POOLING"]
)
def test_results_are_the_same_with_a_flag_off(
    command: Command,
    tree,
    environment: dict[str, str],
    flag: str,
    with_all_flags: tuple[list[str], dict[str, bytes]],
) -> None:
    before = tree()
    environment[flag] = "false"

    report = report_of(command("task", MIXED, "--json"))

    assert (report["files_changed"], tree()) == with_all_flags
    assert tree() != before


def family_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def argv_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_stops_the_mission_and_all_it_started(
    command: Command, shop: Path, environment: dict[str, str], tree, number: signal.Signals
) -> None:
    command("trust")
    before = tree()
    line = "run sleep 61.5"
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("task", f"{REPLACE} then {line}", "--json", "--workspace", str(shop)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        while not any("61.5" in argv_of(child) for child in family_of(process.pid)):
            await asyncio.sleep(0.02)
    family = family_of(process.pid)

    process.send_signal(number)
    output, _ = await process.communicate()

    report = json.loads(output)
    assert process.returncode == 130
    assert [task["status"] for task in report["tasks"]] == ["done", "cancelled"]
    assert not psutil.wait_procs(family, timeout=30)[1]
    changed = [path for path, data in tree().items() if before.get(path) != data]
    assert changed == ["tests/test_shop.py"]


REWRITES = {
    "python": ("a.py", "foo(1)\n", "foo($A)", "bar($A)"),
    "javascript": ("a.js", "foo(1);\n", "foo($A)", "bar($A)"),
    "typescript": ("a.ts", "foo(1);\n", "foo($A)", "bar($A)"),
    "tsx": ("a.tsx", "const x = <div>{foo(1)}</div>;\n", "foo($A)", "bar($A)"),
    "rust": ("a.rs", "fn main() { foo(1); }\n", "foo($A)", "bar($A)"),
    "go": ("a.go", "package main\nfunc main() {\n\tfoo(1)\n}\n", "foo($A)", "bar($A)"),
    "java": ("A.java", "class A { void m() { foo(1); } }\n", "foo($A)", "bar($A)"),
    "c": ("a.c", "void m() { foo(1); }\n", "foo($A);", "bar($A);"),
    "cpp": ("a.cpp", "void m() { foo(1); }\n", "foo($A)", "bar($A)"),
    "csharp": ("A.cs", "class A { void M() { foo(1); } }\n", "foo($A)", "bar($A)"),
    "ruby": ("a.rb", "foo(1)\n", "foo($A)", "bar($A)"),
    "php": ("a.php", "<?php foo(1);\n", "foo($A)", "bar($A)"),
    "bash": ("a.sh", "foo 1\n", "foo $A", "bar $A"),
    "json": ("a.json", '{"foo": 1}\n', r'"\"foo\""', r'"\"bar\""'),
    "yaml": ("a.yaml", "foo: 1\n", "foo: $A", "bar: $A"),
    "html": ("a.html", "<p>foo</p>\n", "<p>$A</p>", "<p>bar</p>"),
    "css": ("a.css", ".foo { color: red; }\n", "`.foo { $$$A }`", "`.bar { $$$A }`"),
}


def test_rewrite_is_by_syntax_tree_and_in_its_language_only(command: Command, shop: Path) -> None:
    for name, text, _, _ in REWRITES.values():
        (shop / name).write_text(text)
    steps = [
        f"{number}. rewrite {language}: {pattern} -> {replacement}"
        for number, (language, (_, _, pattern, replacement)) in enumerate(REWRITES.items(), 1)
    ]

    done = command("task", "\n".join(steps), "--json")

    assert done.returncode == 0, done.stderr
    changed = [task["files"] for task in report_of(done)["tasks"]]
    assert changed == [[name] for name, _, _, _ in REWRITES.values()]
    for name, text, _, _ in REWRITES.values():
        assert (shop / name).read_text() == text.replace("foo", "bar")
