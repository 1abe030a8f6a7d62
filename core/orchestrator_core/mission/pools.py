"""What the missions of a workspace use again: task records, buffers and strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from orchestrator_core.mission.task_pool import TaskPool
from orchestrator_core.primitives.buffer_pool import BufferPool
from orchestrator_core.primitives.string_pool import StringPool

if TYPE_CHECKING:
    from collections.abc import Mapping


class Pools(Struct, frozen=True):
    """The pools of one workspace. Thread-safe; they own memory and nothing else."""

    tasks: TaskPool
    buffers: BufferPool
    strings: StringPool

    @classmethod
    def of(cls, *, pooling: bool) -> Self:
        """Make them; without ``pooling`` everything is made when it is needed, and dropped."""
        if pooling:
            return cls(TaskPool(), BufferPool(), StringPool())
        return cls(TaskPool(pooling=False), BufferPool(0), StringPool(0, common=()))

    def stats(self) -> Mapping[str, object]:
        """The groups ``objects``, ``buffers`` and ``strings`` of ``$/orchestrator/poolStats``."""
        return {
            "objects": msgspec.to_builtins(self.tasks.stats()),
            "buffers": msgspec.to_builtins(self.buffers.stats()),
            "strings": msgspec.to_builtins(self.strings.stats()),
        }
