"""The last resort of an end that hangs takes the children with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator_core.runtime.process import NICENESS, Child, kill_children


def test_children_that_work_elsewhere_are_left(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    with Child(["sleep", "60"], cwd=mine) as one, Child(["sleep", "60"], cwd=other) as two:
        kill_children(mine)
        assert one.wait(10) == -9
        assert two.poll() is None
        kill_children(other)
        assert two.wait(10) == -9


@pytest.mark.parametrize("own_session", [True, False])
def test_a_child_gives_way_to_the_process_that_answers(own_session: bool) -> None:
    with Child(["sleep", "60"], own_session=own_session) as child:
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(19, mine + NICENESS)
        assert os.getpgid(child.pid) == child.pid
        # Linux weighs sessions first: only within one do the processes' priorities count.
        assert (os.getsid(child.pid) == os.getsid(0)) is not own_session
