"""Whatever write, sync, rename or open of a mission fails: it ends well, or says so, losing nothing.

Every call of Python and of SQLite below the workspace and the state folder is made to fail, in a
process of its own whose libc calls can be intercepted.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.faults.os_faults import CALLS, environment

SWEEP = Path(__file__).with_name("sweep.py")

STRIDES = {"open": 19, "write": 45, "fsync": 17, "rename": 2, "link": 1, "mkdir": 2, "unlink": 3}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")


@pytest.fixture(scope="session")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {
        **environment(tmp_path_factory.mktemp("faults")),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def sweep(armed: Mapping[str, str], times: str, error: str, strides: Mapping[str, int]) -> None:
    """Sweep in a child; see there."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    calls = [f"{call}={stride}" for call, stride in strides.items()]
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        command = [sys.executable, "-W", "error", str(SWEEP), folder, times, error, *calls]
        result = subprocess.run(command, check=False, env=armed, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert min(map(int, result.stdout.split())) >= 5


@pytest.mark.parametrize("times", ["once", "ever"])
def test_a_failing_call_loses_nothing(armed: Mapping[str, str], times: str) -> None:
    sweep(armed, times, "any", STRIDES)


@pytest.mark.soak
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EMFILE", "EACCES"])
@pytest.mark.parametrize("times", ["once", "ever"])
def test_every_failing_call_loses_nothing(armed: Mapping[str, str], times: str, error: str) -> None:
    sweep(armed, times, error, dict.fromkeys(CALLS, 1))
