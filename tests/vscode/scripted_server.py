"""A small language server that tells a mission step by step, to look at the extension alone.

``/task "replace /REGEX/ -> TEXT"`` becomes one task a Python file; each takes ``PACE_S``
seconds. What is shown is the extension's business; what is changed is changed by the editor.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

PACE_S = float(os.environ.get("SCRIPTED_PACE_S", "0.4"))
server = LanguageServer("scripted", "1")
missions: dict[str, dict[str, str]] = {}  # texts before, by path
running: dict[str, asyncio.Task[None]] = {}


def root() -> Path:
    return Path(unquote(urlparse(server.workspace.root_uri or "").path))


def tell(mission: str, kind: str, **fields: object) -> None:
    counts[mission] = counts.get(mission, 0) + 1
    event = {
        "missionId": mission,
        "sequence": counts[mission],
        "kind": kind,
        "at": time.time(),
        **fields,
    }
    server.protocol.notify("$/orchestrator/missionEvent", event)


counts: dict[str, int] = {}


def figures(busy: int, executed: int) -> dict[str, object]:
    return {
        "workers": {
            "total": 4,
            "busy": busy,
            "queued": max(0, 8 - executed),
            "executed": executed,
            "stolen": executed // 3,
            "stealRate": 0.31,
            "utilization": busy / 4,
        },
        "objects": {"hitRate": 0.75},
        "buffers": {"hitRate": 0.98},
        "strings": {"hitRate": 0.5},
        "tools": {
            "processes": 2,
            "busy": min(busy, 2),
            "calls": executed,
            "p50Ms": 1.3,
            "p99Ms": 14.7,
            "restarts": 0,
        },
        "concurrency": {
            role: {"active": busy if role == "worker" else 0, "limit": 10, "circuit": "closed"}
            for role in ("planner", "worker", "reviewer")
        },
        "process": {
            "rssBytes": 61_865_984,
            "cpuPercent": 87.0,
            "threads": 9,
            "children": 2,
            "fds": 31,
        },
    }


async def replace_all(path: str, text: str) -> None:
    document = server.workspace.get_text_document((root() / path).as_uri())
    end = lsp.Position(line=len(document.lines) + 1, character=0)
    whole = lsp.TextEdit(
        range=lsp.Range(start=lsp.Position(line=0, character=0), end=end), new_text=text
    )
    identifier = lsp.OptionalVersionedTextDocumentIdentifier(
        uri=document.uri, version=document.version
    )
    edit = lsp.WorkspaceEdit(
        document_changes=[lsp.TextDocumentEdit(text_document=identifier, edits=[whole])]
    )
    await server.workspace_apply_edit_async(
        lsp.ApplyWorkspaceEditParams(edit=edit, label="scripted")
    )


async def perform(mission: str, text: str, pattern: str, replacement: str) -> None:
    files = sorted(
        p.relative_to(root()).as_posix() for p in root().rglob("*.py") if ".venv" not in p.parts
    )
    tasks = [
        {"id": f"T1.{i}", "title": f"Replace in {f}", "steps": [{"text": text}]}
        for i, f in enumerate(files, 1)
    ]
    token = f"orchestrator: {text[:40]} ({mission})"
    await server.work_done_progress.create_async(token)
    server.work_done_progress.begin(
        token, lsp.WorkDoneProgressBegin(title=text[:60], cancellable=True, percentage=0)
    )
    status = "done"
    try:
        tell(mission, "planned", plan={"title": text, "tasks": tasks})
        for index, (file, task) in enumerate(zip(files, tasks, strict=True)):
            tell(mission, "taskStarted", taskId=task["id"], attempt=1)
            server.protocol.notify("$/orchestrator/poolStats", figures(3, index))
            message = f"{index}/{len(tasks)} tasks, 4 workers, 75 % busy"
            report = lsp.WorkDoneProgressReport(
                message=message, percentage=100 * index // len(tasks), cancellable=True
            )
            server.work_done_progress.report(token, report)
            await asyncio.sleep(PACE_S)
            before = server.workspace.get_text_document((root() / file).as_uri()).source
            after = re.sub(pattern, replacement, before)
            if after != before:
                missions[mission][file] = before
                await replace_all(file, after)
                tell(
                    mission,
                    "editApplied",
                    taskId=task["id"],
                    changes=[{"path": file, "kind": "modify"}],
                )
            checks = [
                {"name": "parse", "status": "passed", "before": 0, "after": 0, "durationS": 0.01},
                {
                    "name": "ruff",
                    "status": "passed",
                    "command": f"ruff check {file}",
                    "before": 2,
                    "after": 1,
                    "durationS": 0.05,
                },
                {
                    "name": "pytest",
                    "status": "unverified",
                    "details": ["the workspace is not trusted"],
                },
            ]
            tell(
                mission,
                "review",
                taskId=task["id"],
                receipt={"taskId": task["id"], "passed": True, "checks": checks},
            )
            tell(mission, "taskFinished", taskId=task["id"], state="done")
    except asyncio.CancelledError:
        status = "cancelled"
    server.work_done_progress.end(token, lsp.WorkDoneProgressEnd(message=status))
    server.protocol.notify("$/orchestrator/poolStats", figures(0, len(files)))
    tell(mission, "done", status=status, durationS=PACE_S * len(files))


@server.command("/task")
async def task(text: str) -> dict[str, str]:
    match = re.fullmatch(r"replace /(.+)/ -> (.*)", text)
    if match is None:
        raise ValueError(f"no verb matches “{text}”; known here: replace")
    mission = f"m{time.time_ns()}"
    missions[mission] = {}
    tell(mission, "accepted", text=text)
    running[mission] = asyncio.ensure_future(perform(mission, text, *match.groups()))
    return {"missionId": mission, "status": "accepted"}


@server.command("/stop")
async def stop(*_: object) -> dict[str, list[str]]:
    stopped = [name for name, job in running.items() if job.cancel()]
    return {"stopped": stopped}


@server.command("/undo")
async def undo(mission: str | None = None) -> dict[str, object]:
    name = mission or max(missions)
    for path, text in missions[name].items():
        await replace_all(path, text)
    tell(name, "undone", unrestored=[])
    return {"mission": name}


@server.command("/status")
async def status() -> list[object]:
    return []


@server.command("/stats")
async def stats() -> dict[str, object]:
    return figures(0, 0)


@server.feature(lsp.WINDOW_WORK_DONE_PROGRESS_CANCEL)
def cancel(_: lsp.WorkDoneProgressCancelParams) -> None:
    for job in running.values():
        job.cancel()


server.start_io()
