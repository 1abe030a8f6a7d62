"""Contents are kept by hash, shared between processes, and dropped when nobody needs them."""

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator_core.errors import ContentsUnavailable
from orchestrator_core.workspace.content_store import PIN_DAYS, ContentStore
from orchestrator_core.workspace.text_file import sha256


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def random_bytes(size: int) -> bytes:
    return os.urandom(size)  # does not compress, so that sizes are known


def test_contents_come_back_by_hash_also_after_a_restart(tmp_path: Path) -> None:
    data = [b"", b"text\r\n" * 1000, bytes(range(256))]
    with ContentStore(tmp_path / "deep" / "store") as store:
        assert store.put_all([*data, data[0]]) == [sha256(d) for d in (*data, data[0])]
        assert store.size_bytes() < 1000
    with ContentStore(tmp_path / "deep" / "store") as store:
        assert [store.get(sha256(d)) for d in data] == data
        assert store.get(sha256(b"never put")) is None


def test_closing_twice_is_harmless_and_use_afterwards_an_error(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    store.close()
    store.close()
    with pytest.raises(ContentsUnavailable, match="closed"):
        store.put(b"x")


def test_the_longest_unused_are_dropped_first(tmp_path: Path) -> None:
    with ContentStore(tmp_path, limit_bytes=10_000, clock=Clock()) as store:
        first, second, third = (store.put(random_bytes(3000)) for _ in range(3))
        assert store.get(first) is not None  # used: now the second is the oldest
        fourth = store.put(random_bytes(3000))
        assert store.get(second) is None
        assert store.get(first) is not None
        assert store.get(fourth) is not None
        assert store.size_bytes() <= 10_000
        assert third != fourth


def test_what_a_mission_pinned_stays_until_it_is_unpinned(tmp_path: Path) -> None:
    with ContentStore(tmp_path, limit_bytes=10_000, clock=Clock()) as store:
        shared = random_bytes(6000)
        digest = store.put(shared, pin="m1")
        store.put(shared, pin="m2")
        store.unpin("m1")
        for _ in range(5):
            store.put(random_bytes(6000))
        assert store.get(digest) == shared
        store.unpin("m2")
        for _ in range(3):
            store.put(random_bytes(6000))
        assert store.get(digest) is None


def test_pins_alone_may_exceed_the_limit(tmp_path: Path) -> None:
    with ContentStore(tmp_path, limit_bytes=1000, clock=Clock()) as store:
        digests = [store.put(random_bytes(600), pin="m") for _ in range(5)]
        assert all(store.get(digest) is not None for digest in digests)


def test_a_pin_that_nobody_took_off_ends_one_day(tmp_path: Path) -> None:
    clock = Clock()
    with ContentStore(tmp_path, limit_bytes=10_000, clock=clock) as store:
        digest = store.put(random_bytes(6000), pin="crashed long ago")
        clock.now += (PIN_DAYS + 1) * 86_400
        store.put(random_bytes(6000))
        assert store.get(digest) is None


def test_dropped_contents_give_their_space_back(tmp_path: Path) -> None:
    with ContentStore(tmp_path, limit_bytes=100_000, clock=Clock()) as store:
        for _ in range(100):
            store.put(random_bytes(20_000))
    assert (tmp_path / "contents.db").stat().st_size < 300_000


def test_a_content_that_was_damaged_is_none(tmp_path: Path) -> None:
    with ContentStore(tmp_path) as store:
        good, bad, worse = (store.put(data) for data in (b"good", b"bad", b"worse"))
    database = sqlite3.connect(tmp_path / "contents.db")
    with database:
        database.execute("UPDATE contents SET data = x'00' WHERE hash = ?", (bad,))
        database.execute(
            "UPDATE contents SET data = (SELECT data FROM contents WHERE hash = ?) WHERE hash = ?",
            (good, worse),
        )
    database.close()
    with ContentStore(tmp_path) as store:
        assert [store.get(d) for d in (good, bad, worse)] == [b"good", None, None]
        store.put(b"bad")
        assert store.get(bad) == b"bad"


def test_a_damaged_store_is_put_aside_and_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "contents.db").write_bytes(b"no database at all" * 100)
    with ContentStore(tmp_path, clock=lambda: 7.0) as store:
        assert store.get(store.put(b"x")) == b"x"
    assert (tmp_path / "contents.db.damaged-7").read_bytes().startswith(b"no database")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ContentsUnavailable, match="Not a directory"):
        ContentStore(tmp_path / "file" / "store")


def test_a_put_that_fails_keeps_nothing_of_it(tmp_path: Path) -> None:
    with ContentStore(tmp_path) as store:
        store._database.execute("PRAGMA max_page_count = 20")
        with pytest.raises(ContentsUnavailable, match="full"):
            store.put_all([random_bytes(1000) for _ in range(200)])
        assert store.size_bytes() == 0
        digest = store.put(b"small")
        assert store.get(digest) == b"small"


def test_many_threads_share_a_store(tmp_path: Path) -> None:
    with ContentStore(tmp_path) as store, ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(store.put, [f"{n % 50}".encode() for n in range(400)]))
        assert len(set(digests)) == 50
        assert all(pool.map(store.get, digests))


def test_many_processes_open_and_fill_one_store_at_the_same_moment(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from orchestrator_core.workspace.content_store import ContentStore\n"
        "sys.stdin.readline()\n"
        "with ContentStore(Path(sys.argv[1])) as store:\n"
        "    for n in range(20):\n"
        "        store.put(f'{n}'.encode(), pin=sys.argv[2])\n"
        "        store.put(f'{sys.argv[2]} {n}'.encode())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "store"), f"p{n}"],
            env=environment,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(6)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=50)
        assert child.returncode == 0, errors
    with ContentStore(tmp_path / "store") as store:
        for n in range(20):
            assert store.get(sha256(f"{n}".encode())) is not None
            assert all(store.get(sha256(f"p{p} {n}".encode())) is not None for p in range(6))


def test_a_store_can_be_made_by_many_at_one_moment(tmp_path: Path) -> None:
    makers = 6
    with ThreadPoolExecutor(makers) as pool:
        for number in range(20):
            together = threading.Barrier(makers)

            def make(folder: Path, together: threading.Barrier = together) -> str:
                together.wait(10)
                with ContentStore(folder) as store:
                    return store.put(b"text")

            digests = list(pool.map(make, [tmp_path / str(number)] * makers))
            assert set(digests) == {sha256(b"text")}
