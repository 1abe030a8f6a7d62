from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[True, False], ids=["stealing", "static"])
def pool(request: pytest.FixtureRequest) -> Iterator[WorkStealingPool]:
    with WorkStealingPool(2, stealing=request.param) as made:
        yield made
