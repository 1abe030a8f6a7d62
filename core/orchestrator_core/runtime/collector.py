"""How the cyclic garbage collector is set in a process that serves.

Records are Structs without reference cycles, so the collector has little to find, and what it
costs is looking. Two things make that cheap: what was loaded is taken out of its sight, and it
looks less often. The second alone would only hide a leak of cycles; here it follows from there
being none (``tests/benchmarks/bench_memory.py`` counts collections and memory together).
"""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 20)
"""Net allocations between collections of the youngest generation, then between the older ones'."""


def settle() -> None:
    """Take what has been loaded out of the collector's sight, and have it look less often.

    To be called once, by the process's owner, when everything is loaded. Takes no time to speak
    of: what is garbage by then stays.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
