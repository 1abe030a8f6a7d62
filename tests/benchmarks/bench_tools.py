"""Warm tool calls through the pool beside freshly started ripgrep and ast-grep.

The tree is a copy of the standard library and of this environment's site-packages. Peers run in
turn with the pool's calls, on the same tree, with the same results, which is checked. A ratio
is the peer's median time over the call's. What a search cannot narrow down is shown as well
(`grep_broad`, `grep_no_literal`, `ast_common`), without a bar.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.harness import Figures, arguments
from orchestrator_core.runtime.tool_pool import RustToolPool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

BIN = Path(sys.executable).parent
RG = str(BIN / "rg")
AST_GREP = str(BIN / "ast-grep")
TIMEOUT_S = 120.0
ALL = 1_000_000
MIN_FILES, MIN_BYTES = 2_000, 60_000_000

HITS = "def parse_args"
MISS = "xqzj_no_such_name"
MULTI = ["RuntimeWarning", "def __aenter__", "xqzj_no_such_name"]
BROAD = r"class \w+Error\b"
NO_LITERAL = r"\d{4}-\d\d-\d\dT\d"
GLOB = "test_*.py"
AST = "asyncio.create_task($$$A)"
AST_COMMON = "raise KeyError($E)"


def tool_server() -> str:
    """The binary that this environment installed, unless another one is named."""
    return os.environ.get("OPENCODE_TOOL_SERVER") or str(BIN / "opencode-tool-server")


def timed_ms(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def copy_libraries(to: Path) -> None:
    """Copy the standard library and site-packages, without caches of bytecode."""
    paths = sysconfig.get_paths()
    skip = shutil.ignore_patterns("__pycache__", "site-packages")
    shutil.copytree(paths["stdlib"], to / "stdlib", ignore=skip, symlinks=True)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(paths["purelib"], to / "site-packages", ignore=skip, symlinks=True)


def write_many(to: Path, count: int) -> None:
    """Write small files, ten of which hold what is searched for."""
    for number in range(count):
        folder = to / f"p{number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        body = "".join(
            f"def name_{number}_{i}(value):\n    return value + {i}\n" for i in range(30)
        )
        needle = "needle_of_the_bench = 1\n" if number % (count // 10) == 0 else ""
        (folder / f"m{number}.py").write_text(body + needle)


def rg(root: Path, *words: str) -> bytes:
    """A fresh ripgrep with the tool server's ignore rules."""
    return run(root, RG, "--no-config", "--no-require-git", *words)


def run(root: Path, *words: str) -> bytes:
    done = subprocess.run(words, cwd=root, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}")
    return done.stdout


class Calls:
    """Calls through a pool, waited for."""

    def __init__(self, pool: RustToolPool) -> None:
        self._pool = pool

    def __call__(self, name: str, **values: object) -> dict[str, Any]:
        return self._pool.submit(name, values, timeout_s=TIMEOUT_S).result()


@contextlib.contextmanager
def pool(root: Path) -> Generator[Calls]:
    """A pool of tool servers for a root."""
    with RustToolPool(tool_server(), root) as running:
        yield Calls(running)


def settle(call: Calls) -> None:
    """Let the work in the background end that follows the first calls."""
    call("grep", pattern=MISS)
    quiet = 0
    before = cpu_s()
    while quiet < 3:
        time.sleep(0.1)
        now = cpu_s()
        quiet = quiet + 1 if now - before < 0.01 else 0
        before = now


def servers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "opencode-tool" in child.name()]


def cpu_s() -> float:
    return sum(sum(child.cpu_times()[:2]) for child in servers())


def ratio(peer: Callable[[], object], call: Callable[[], object], rounds: int) -> float:
    """The peer's median time over the call's, taken in turn."""
    call()
    peers: list[float] = []
    calls: list[float] = []
    for _ in range(rounds):
        peers.append(timed_ms(peer))
        # A call is short beside a peer: several keep its median from hanging on one.
        calls += [timed_ms(call) for _ in range(5)]
    return statistics.median(peers) / statistics.median(calls)


def same(what: str, ours: int, theirs: int) -> None:
    if ours != theirs:
        raise RuntimeError(f"{what}: the tool server found {ours}, its peer {theirs}")


def rg_count(root: Path, *words: str) -> int:
    return sum(int(line) for line in rg(root, "--count-matches", "-I", *words, "./").split())


def compare(figures: Figures, call: Calls, root: Path, rounds: int) -> None:
    """The ratios to ripgrep and ast-grep of warm calls."""
    bar = ">= 10"
    for name, pattern, limit in [
        ("grep_hits_vs_rg", HITS, bar),
        ("grep_miss_vs_rg", MISS, bar),
        ("grep_broad_vs_rg", BROAD, None),
        ("grep_no_literal_vs_rg", NO_LITERAL, None),
    ]:
        ours = partial(call, "grep", pattern=pattern, limit=ALL)
        theirs = partial(rg, root, "-n", "-e", pattern, "./")
        same(name, ours()["total"], rg_count(root, "-e", pattern))
        figures.add(name, ratio(theirs, ours, rounds), "x", limit)
    several = [word for pattern in MULTI for word in ("-e", pattern)]
    ours = partial(call, "multi_grep", patterns=MULTI, limit=ALL)
    same("grep_multi_vs_rg", ours()["total"], rg_count(root, *several))
    theirs = partial(rg, root, "-n", *several, "./")
    figures.add("grep_multi_vs_rg", ratio(theirs, ours, rounds), "x", bar)
    ours = partial(call, "glob", globs=[GLOB])
    theirs = partial(rg, root, "--files", "-g", GLOB, "./")
    same("glob_vs_rg", len(ours()["paths"]), len(theirs().splitlines()))
    figures.add("glob_vs_rg", ratio(theirs, ours, rounds), "x", bar)
    for name, pattern, limit in [
        ("ast_vs_astgrep", AST, bar),
        ("ast_common_vs_astgrep", AST_COMMON, None),
    ]:
        ours = partial(call, "ast_search", pattern=pattern, language="python", limit=ALL)
        words = [AST_GREP, "run", "-p", pattern, "-l", "python", "--json=stream"]
        theirs = partial(run, root, *words)
        same(name, ours()["total"], len(theirs().splitlines()))
        figures.add(name, ratio(theirs, ours, max(3, rounds // 4)), "x", limit)


def cold(root: Path, rounds: int) -> float:
    """The first call of a new pool on the tree over a fresh ripgrep."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(max(3, rounds // 2)):
        theirs.append(timed_ms(partial(rg, root, "-n", "-e", HITS, "./")))
        with pool(root) as call:
            ours.append(timed_ms(partial(call, "grep", pattern=HITS, limit=ALL)))
    return statistics.median(ours) / statistics.median(theirs)


def after_edit_ms(call: Calls, root: Path, rounds: int) -> float:
    """What a query costs more when a file changed just before it."""
    target = root / "stdlib" / "argparse.py"
    text = target.read_bytes()
    query = partial(call, "grep", pattern=HITS, limit=ALL)
    plain: list[float] = []
    edited: list[float] = []
    for number in range(rounds * 3):
        plain.append(timed_ms(query))
        target.write_bytes(text + b"\n# %d\n" % number)
        edited.append(timed_ms(query))
    target.write_bytes(text)
    return statistics.median(edited) - statistics.median(plain)


def callers8_vs_1(call: Calls, seconds: float) -> float:
    """Calls a second of eight threads over one thread's."""
    return throughput(call, 8, seconds) / throughput(call, 1, seconds)


def throughput(call: Calls, callers: int, seconds: float) -> float:
    done = [0] * callers
    end = time.perf_counter() + seconds

    def work(index: int) -> None:
        while time.perf_counter() < end:
            call("multi_grep", patterns=MULTI, limit=ALL)
            done[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / seconds


def memory_vs_text(root: Path) -> float:
    """The tool processes' memory over the size of the texts that ripgrep would search."""
    names = rg(root, "--files", "--null", "./").split(b"\0")
    text = sum(text_bytes(root / os.fsdecode(name)) for name in names if name)
    return sum(child.memory_full_info().pss for child in servers()) / text


def text_bytes(path: Path) -> int:
    with path.open("rb") as stream:
        head = stream.read(65536)
    return 0 if b"\0" in head else path.stat().st_size


def growth(rounds: int, scratch: Path) -> float:
    """The time of a call at 20,000 files over that at 2,000."""
    times: list[float] = []
    for count in (2_000, 20_000):
        root = scratch / f"many{count}"
        write_many(root, count)
        with pool(root) as call:
            settle(call)
            found = call("grep", pattern="needle_of_the_bench")
            same("growth", found["total"], 10)
            work = partial(call, "grep", pattern="needle_of_the_bench")
            times.append(statistics.median(timed_ms(work) for _ in range(rounds * 3)))
    return times[1] / times[0]


def noop_vs_true(call: Calls, rounds: int) -> float:
    """A call that does nothing over starting a program that does nothing."""
    noop = partial(call, "diff", before="", after="")
    true = partial(subprocess.run, ["/bin/true"], check=True)
    return 1 / ratio(true, noop, rounds * 3)


def sizes(root: Path) -> Sequence[int]:
    files = [path.stat().st_size for path in root.rglob("*") if path.is_file()]
    if len(files) < MIN_FILES or sum(files) < MIN_BYTES:
        raise RuntimeError(f"the tree is too small: {len(files)} files, {sum(files)} bytes")
    return files


def main() -> None:
    options = arguments(__doc__)
    rounds = options.rounds or (3 if options.quick else 15)
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        root = scratch / "tree"
        copy_libraries(root)
        files = sizes(root)
        figures.add("files", len(files))
        figures.add("bytes", sum(files) / 1e6, "MB")
        figures.add("cold_vs_rg", cold(root, rounds), "x", "<= 1.5")
        with pool(root) as call:
            settle(call)
            compare(figures, call, root, rounds)
            figures.add("noop_vs_true", noop_vs_true(call, rounds), "x", "<= 0.2")
            seconds = 1.0 if options.quick else 5.0
            figures.add("callers8_vs_1", callers8_vs_1(call, seconds), "x", ">= 1.7")
            figures.add("after_edit_ms", after_edit_ms(call, root, rounds), "ms", "<= 5")
            figures.add("memory_vs_text", memory_vs_text(root), "x", "<= 1.5")
        figures.add("growth_20k_vs_2k", growth(rounds, scratch), "x", "<= 10")
    figures.report(as_json=options.json)
    for missed in figures.missed():
        sys.stderr.write(f"missed: {missed}\n")


if __name__ == "__main__":
    main()
