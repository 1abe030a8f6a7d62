"""The demo: a mission on a copy of a real package, through the real server, as an editor would.

Nothing is canned: the workspace is a copy of the installed pygls, the server is the command
``opencode-orchestrator serve`` in a process of its own, and what is shown is what it sends.
``--task`` runs another text.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient
from pygls.uris import from_fs_path

from fake_editor import FakeEditor

DIFF_LINES = 14

TASK = r"""
1. rename PositionCodec -> PositionConverter
2. rewrite python: logger.debug($$$ARGS) -> logger.info($$$ARGS) in pygls/protocol
3. replace /Unable to (\w+)/ -> "Could not $1" in pygls
4. fix I,F401 in pygls
5. format in pygls/workspace
6. check
""".strip()


async def demo(task: str) -> int:
    """Run the demo and answer the exit code."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-demo-") as folder:
        root = Path(folder).resolve()
        before = _copy_package("pygls", root)
        _say(f"workspace: a copy of pygls, {len(before)} Python files")
        _say(f"task:\n{task}\n")
        client = LanguageClient("demo", "1")
        editor = FakeEditor(client, root)
        started = time.perf_counter()
        await client.start_io(sys.executable, "-m", "orchestrator_server.cli", "serve", "--stdio")
        server = psutil.Process(editor.process.pid)
        await client.initialize_async(_initialize(root))
        client.initialized(lsp.InitializedParams())
        _say(f"server: ready after {(time.perf_counter() - started) * 1000:.0f} ms\n")
        for name in ("pygls/workspace/position_codec.py", "pygls/lsp/server.py"):
            if (root / name).exists():
                editor.open(name)
        watching = asyncio.ensure_future(_show_progress(editor))
        try:
            report = await editor.execute("/task", task, {"wait": True})
            _show(report, before, editor)
        except JsonRpcException as error:
            report = {"status": "refused"}
            _say(f"refused: {error.message}")
        finally:
            watching.cancel()
        family = [server, *server.children(recursive=True)]
        _say(f"\nprocesses while it ran: {', '.join(p.name() for p in family)}")
        ended = time.perf_counter()
        await client.shutdown_async(None)
        client.exit(None)
        code = await editor.process.wait()
        _, alive = psutil.wait_procs(family, timeout=5)
        took_ms = (time.perf_counter() - ended) * 1000
        _say(f"shut down in {took_ms:.0f} ms, exit code {code}, processes left: {len(alive)}")
        await client.stop()
        return int(report["status"] != "done" or code != 0 or bool(alive))


def _copy_package(name: str, root: Path) -> dict[str, str]:
    """Copy an installed package's sources; answer its Python files with their texts."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(next(iter(spec.submodule_search_locations)))
    shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return {str(p.relative_to(root)): p.read_text("utf-8") for p in sorted(root.rglob("*.py"))}


def _initialize(root: Path) -> lsp.InitializeParams:
    uri = from_fs_path(str(root))
    assert uri is not None
    edits = lsp.WorkspaceEditClientCapabilities(
        document_changes=True,
        resource_operations=list(lsp.ResourceOperationKind),
    )
    return lsp.InitializeParams(
        capabilities=lsp.ClientCapabilities(
            workspace=lsp.WorkspaceClientCapabilities(apply_edit=True, workspace_edit=edits),
            window=lsp.WindowClientCapabilities(work_done_progress=True),
        ),
        root_uri=uri,
        workspace_folders=[lsp.WorkspaceFolder(uri=uri, name=root.name)],
    )


async def _show_progress(editor: FakeEditor) -> None:
    """Print what arrives while the mission runs, until cancelled."""
    titles: dict[str, str] = {}
    shown_events = shown_progress = 0
    while True:
        for event in editor.events[shown_events:]:
            _show_event(event, titles)
        shown_events = len(editor.events)
        for _, value in editor.progress[shown_progress:]:
            if value["kind"] != "end" and value.get("message"):
                _say(f"    {value['percentage']:3d} %  {value['message']}")
        shown_progress = len(editor.progress)
        await editor.changed()


def _show_event(event: dict[str, Any], titles: dict[str, str]) -> None:
    task = event.get("taskId", "")
    match event["kind"]:
        case "planned":
            titles.update({t["id"]: t["title"] for t in event["plan"]["tasks"]})
            for each in event["plan"]["tasks"]:
                after = ", ".join(each["depends"]) or "-"
                _say(f"plan: {each['id']} {each['title']}   (after {after})")
        case "taskStarted":
            _say(f"  … {task} {titles[task]}")
        case "taskFinished":
            mark = "✓" if event["state"] == "done" else "✗"
            _say(f"  {mark} {task} {event['reason']}".rstrip())
        case "editApplied":
            _say(f"    {len(event['changes'])} files edited through workspace/applyEdit")
        case _:
            pass


def _show(report: dict[str, Any], texts: dict[str, str], editor: FakeEditor) -> None:
    """Print the changed files with their diffs, the checks and the figures."""
    _say(f"\nmission {report['mission']}: {report['status']} in {report['durationS']} s")
    if report["reason"]:
        _say(report["reason"])
    for path in report["filesChanged"]:
        old, new = texts.get(path, "").splitlines(), editor.text(path).splitlines()
        diff = list(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", n=0, lineterm=""))
        added = sum(line.startswith("+") for line in diff) - 1
        removed = sum(line.startswith("-") for line in diff) - 1
        _say(f"\n{path}  +{added} -{removed}")
        for line in diff[2:DIFF_LINES]:
            _say(f"  {line}")
        if len(diff) > DIFF_LINES:
            _say(f"  … {len(diff) - DIFF_LINES} more lines")
    _say("\nchecked:")
    for task in report["tasks"]:
        _say(f"  {task['id']} {task['title']}: {task['status']}, {len(task['files'])} files")
        for check in (task["receipt"] or {}).get("checks", []):
            before = f"{check['before']} → " if check["before"] >= 0 else ""
            _say(
                f"    {check['name']} ({check['command']}): {check['status']}, "
                f"findings {before}{check['after']}, {check['durationS'] * 1000:.0f} ms"
            )
        for note in task["notes"]:
            _say(f"    note: {note}")
    _say("\npools:")
    for group, values in report["stats"].items():
        _say(f"  {group}: {values}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--task", default=TASK, help="the mission's text")
    return asyncio.run(demo(parser.parse_args().task))


if __name__ == "__main__":
    sys.exit(main())
