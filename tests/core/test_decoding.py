from __future__ import annotations

import subprocess
import sys

LEARNT_BY_MANY = """
import sys, threading
import msgspec
from orchestrator_core.settings_sources import load
from orchestrator_core.decoding import decode

sys.setswitchinterval(1e-6)
count = 6

def together(act):
    ready = threading.Barrier(count)
    def run():
        ready.wait()
        act()
    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

together(lambda: load(None, editor={"limits": {"tasks": 1}}, environment={}))
source = '''
class Inner{n}(msgspec.Struct):
    a: "int | None" = None
    b: "list[str] | dict[str, int]" = []
class Outer{n}(msgspec.Struct):
    one: "Inner{n} | None" = None
    many: "tuple[Inner{n}, ...]" = ()
'''
for n in range(60):
    exec(source.format(n=n))
    outer = globals()[f"Outer{n}"]
    together(lambda: decode(b'{"one": {"a": 1}, "many": [{}]}', outer))
print("whole")
"""


def test_many_threads_may_meet_a_type_for_the_first_time() -> None:
    """By itself, msgspec crashes the interpreter there."""
    done = subprocess.run(
        [sys.executable, "-c", LEARNT_BY_MANY], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr[-2000:]
