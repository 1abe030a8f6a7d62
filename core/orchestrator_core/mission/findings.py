"""What got worse in a file: findings that its new text has and its old one had not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.tools.lint import Finding


def new_findings(old: Sequence[Finding], new: Sequence[Finding]) -> list[Finding]:
    """The findings of rules that a file breaks more often than before.

    Findings are compared by rule, not by line or wording: edits move lines, and a rename changes
    what messages say.
    """
    extra = Counter(finding.code for finding in new) - Counter(finding.code for finding in old)
    known = {(finding.code, finding.message) for finding in old}
    worse: list[Finding] = []
    for code, count in extra.items():
        candidates = [finding for finding in new if finding.code == code]
        # Show those that were not there before; where wording gives no clue, the last ones.
        candidates.sort(key=lambda finding: (finding.code, finding.message) in known)
        worse += candidates[:count]
    return worse
