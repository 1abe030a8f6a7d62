"""The tools of one workspace, constructed together and closed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator_core.tools.code import CodeTools
    from orchestrator_core.tools.lint import Linter
    from orchestrator_core.tools.rename import Renamer
    from orchestrator_core.tools.shell import Shell


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What agents and the Reviewer work with."""

    code: CodeTools
    lint: Linter
    rename: Renamer
    shell: Shell
