"""A process that cleans up: ``cleanup_child.py ROOT NOW_S [RESTORE_ID]``.

Prints ``begun`` and waits for a line before it starts, and prints its report at the end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from generated_folder import Desk
from orchestrator_core.cleanup.age_clock import AgeClock


def main() -> None:
    """Clean up once."""
    root, now_s = Path(sys.argv[1]), float(sys.argv[2])
    desk = Desk(root, clock=AgeClock(lambda: now_s, "boot"))
    print("begun", flush=True)
    sys.stdin.readline()
    report = desk.cleaner.run(wait_s=30)
    print(msgspec.json.encode(report).decode(), flush=True)


if __name__ == "__main__":
    main()
