from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from orchestrator_core.runtime.usage import cgroup_memory_share, memory_share

if TYPE_CHECKING:
    from pathlib import Path


READINGS = """
import subprocess, sys, threading
import psutil
from orchestrator_core.runtime.usage import UsageReader

reader = UsageReader()
before = reader.read()
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
try:
    after = reader.read()
finally:
    stop.set()
    thread.join()
    child.communicate(b"\\n")
assert after.threads == before.threads + 1, (before, after)
assert after.children == before.children + 1, (before, after)
assert after.fds > before.fds, (before, after)
assert 0.8 < after.rss_bytes / psutil.Process().memory_info().rss < 1.2, after
assert after.cpu_percent >= 0, after
"""


def test_readings_are_those_of_the_process() -> None:
    """Of one of its own: in this one threads of earlier tests end when they like."""
    command = [sys.executable, "-W", "error", "-c", READINGS]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_memory_share_is_a_share() -> None:
    assert 0 < memory_share() <= 1


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_a_limit_of_a_group_above_counts_and_page_cache_does_not(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/outer/inner\n")
    write(tmp_path, "sys/fs/cgroup/outer/inner/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/outer/inner/memory.current", "900\n")
    write(tmp_path, "sys/fs/cgroup/outer/memory.max", "1000\n")
    write(tmp_path, "sys/fs/cgroup/outer/memory.current", "950\n")
    write(tmp_path, "sys/fs/cgroup/outer/memory.stat", "anon 700\ninactive_file 200\n")
    assert cgroup_memory_share(tmp_path) == 0.75


def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/box\n")
    write(tmp_path, "sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1000\n")
    write(tmp_path, "sys/fs/cgroup/memory/box/memory.usage_in_bytes", "600\n")
    write(tmp_path, "sys/fs/cgroup/memory/box/memory.stat", "total_inactive_file 100\n")
    assert cgroup_memory_share(tmp_path) == 0.5


def test_no_control_groups_means_no_limit(tmp_path: Path) -> None:
    assert cgroup_memory_share(tmp_path) == 0
    write(tmp_path, "proc/self/cgroup", "0::/gone\n")
    assert cgroup_memory_share(tmp_path) == 0
