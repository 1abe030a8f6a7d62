from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest

from core.runtime.tool_bench import Bench, eventually, open_files, pool_threads
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=[True, False], ids=["stealing", "static"])
def pool(request: pytest.FixtureRequest) -> Iterator[WorkStealingPool]:
    with WorkStealingPool(2, stealing=request.param) as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    monkeypatch.setenv("FAKE_LOG", str(bench.log))
    before = pool_threads(), open_files()
    with bench.pools:
        yield bench
    for pid in bench.starts():
        eventually(lambda pid=pid: not psutil.pid_exists(pid))
    eventually(lambda: (pool_threads(), open_files()) == before)
