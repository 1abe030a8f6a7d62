"""Keeps the plan file and the mission in step while a person edits the file.

The service owns every write of this program to the file. Each write merges
(:mod:`.todo_merge`) what the file holds at that moment with the journal's states, so a person's
lines, new tasks and reworded steps stay, whatever was saved in between; and a text that was saved
over ours without our ticks gets them again with the next write.
"""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Self

from orchestrator_core.errors import EditRefused
from orchestrator_core.mission.plan_language import StateKey, parse, render_states
from orchestrator_core.mission.todo_file import TodoFile
from orchestrator_core.mission.todo_merge import MergeResult, merge
from orchestrator_core.mission.todo_union import union

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator_core.mission.plan_document import PlanDocument
    from orchestrator_core.mission.plan_language import States
    from orchestrator_core.records import TaskState

_ATTEMPTS = 20  # then the states are shown the next time
_INSISTING = 500  # when a text of the person would be lost otherwise
_SETTLE_S = 0.01
_SETTLE_READS = 20


class TodoSyncService:
    """Publishes states into one plan file. Thread-safe; never awaits.

    Writes are done in groups: callers that come while one writes are served together by the next
    of them. What is published is kept, so that it reaches the file with a later write if this one
    fails. Close it, or use it as a context manager, to let go of the file.

    Args:
        path: the plan file; its folder is made when it is first written.
        base: the text as it was last rendered, when that is known from an earlier run; without
            it, the text that is found at first counts as that.
        lock_timeout_s: how long to wait for another process that writes.
        sleep: waits while a person's program is writing, and for the lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        base: str | None = None,
        lock_timeout_s: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._lock_timeout_s = lock_timeout_s
        self._sleep = sleep
        self._file = TodoFile(path, sleep)
        self._arriving = threading.Lock()  # guards the next two
        self._waiting: list[States | Callable[[], States]] = []
        self._arrived = 0
        self._writing = threading.Lock()  # guards all below
        self._served = 0
        self._states: dict[StateKey, TaskState] = {}
        self._base = base
        self._written: bytes | None = None
        self._is_plain = False  # whether what was written has nothing that is not the journal's
        self._document: PlanDocument | None = None  # of some text that was plain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. May be called again; waits for a write that is going on."""
        with self._writing:
            self._file.close()

    def begin(self, text: str, archive: Path | None = None) -> Path | None:
        """Give the file a new content, for a new mission; states published so far are forgotten.

        Args:
            text: the rendered plan.
            archive: the folder that gets what the file held, if that was something else.

        Returns:
            Where the former content is now, or None.

        Raises:
            EditRefused: the file could not be written; it is as it was.
        """
        data = _encoded(text)
        kept: Path | None = None
        with self._writing:
            try:
                with self._file.locked(self._lock_timeout_s):
                    former = self._file.read()
                    while former != data:
                        if archive is not None and former and former.strip():
                            kept = archived(former, archive)
                        outcome = self._file.replace(former, data)
                        if outcome.stray and archive is not None:
                            kept = archived(outcome.stray, archive)
                        former = data if outcome.placed else outcome.found
            except OSError as error:
                raise self._refused(error) from error
            self._states.clear()
            self._base, self._written = text, data
            self._is_plain, self._document = True, None
        return kept

    def publish(self, states: States | Callable[[], States] | None = None) -> MergeResult:
        """Bring states into the file, and take note of what the person changed in it.

        Blocks for the time of a write; call it from a worker thread.

        Args:
            states: what changed, or all; states of former calls stay. Where several threads
                publish the same task, give a function: it is called when the write is due, so
                that an older state cannot come after a newer one. None only merges.

        Returns:
            The merge; ``shown`` is False if a program kept writing the file in short intervals, and
            then the next call shows the states. Callers that are served by another's write get its text alone, so that
            what the person changed is told once.

        Raises:
            EditRefused: the file could not be read or written; it is as it was.
        """
        with self._arriving:
            if states is not None:
                self._waiting.append(states)
            self._arrived += 1
            ticket = self._arrived
        with self._writing:
            if self._served >= ticket:
                return MergeResult(_decoded(self._written or b""), base=self._base or "")
            with self._arriving:
                waiting, self._waiting = self._waiting, []
                serving = self._arrived
            for each in waiting:
                self._states.update((each() if callable(each) else each).items())
            try:
                with self._file.locked(self._lock_timeout_s):
                    result = self._write()
            except OSError as error:
                raise self._refused(error) from error
            self._served = serving
            return result

    def merged(self, text: str, states: States) -> MergeResult:
        """Merge into a text that is not in the file: the unsaved buffer of an editor.

        The text is not written; say with :meth:`placed` that the editor has it.
        """
        with self._writing:
            self._states.update(states.items())
            return merge(text if self._base is None else self._base, text, self._states)

    def placed(self, result: MergeResult) -> None:
        """Take note that a merge is in the editor's buffer: the next one is based on it."""
        with self._writing:
            self._base = result.base
            self._is_plain, self._document = False, None

    def changed(self) -> bool:
        """Whether the file holds something else than was last written: a merge is due then."""
        with self._writing:
            try:
                return self._file.read() != self._written or self._file.was_written_late
            except OSError as error:
                raise self._refused(error) from error

    def _write(self) -> MergeResult:
        """Merge and replace until nobody has written in between."""
        expected = self._settled(self._file.read())
        kept = _Kept()
        if self._file.was_written_late:
            kept.add(self._written, self._settled_late(b""))
        for attempt in range(_INSISTING):
            if attempt >= _ATTEMPTS and kept.text is None:
                break
            theirs = kept.added_to(expected)
            if theirs is None:
                theirs = self._written if self._base is None else _encoded(self._base)
            if theirs is None:
                return MergeResult("")  # no file, and nothing to write one from
            result = self._merged(theirs)
            data = _encoded(result.text)
            if data != expected:
                outcome = self._file.replace(expected, data)
                if outcome.stray is not None:
                    stray = self._settled_late(outcome.stray) if outcome.placed else outcome.stray
                    kept.add(expected if outcome.placed else data, stray)
                if not outcome.placed or outcome.stray is not None:
                    expected = data if outcome.placed else self._settled(outcome.found)
                    continue
            self._written, self._base = data, result.base
            self._is_plain = result.base == result.text
            return result
        if kept.text is not None:
            raise EditRefused(
                f"{self._path.name} could not be updated: another program kept writing it"
            )
        return MergeResult(_decoded(expected or b""), base=self._base or "", shown=False)

    def _merged(self, theirs: bytes) -> MergeResult:
        text = _decoded(theirs)
        if text == self._base or (theirs == self._written and self._is_plain):
            # Nobody has touched the file: no need to look for what they did.
            self._document = self._document or parse(text)
            text = render_states(self._document, self._states)
            return MergeResult(text, base=text)
        self._document = None
        return merge(text if self._base is None else self._base, text, self._states)

    def _settled(self, data: bytes | None) -> bytes | None:
        """What the file holds when a program that writes it in place has got to its end.

        Such a program empties the file first, so a text that is shorter than ours is read again
        until it stays the same. (A half-read one that is longer does no harm: the rest of it is
        found when the file is exchanged.)
        """
        for _ in range(_SETTLE_READS):
            if len(data or b"") >= len(self._written or b""):
                return data
            self._sleep(_SETTLE_S)
            again = self._file.read()
            if again and again == data:
                return data
            data = again
        return data

    def _settled_late(self, data: bytes) -> bytes:
        """The same for the file that was replaced while a program had it open."""
        for _ in range(_SETTLE_READS):
            again = self._file.late_writing()
            if again is not None:
                data = again
            elif len(data) >= len(self._written or b""):
                return data
            self._sleep(_SETTLE_S)
        return data

    def _refused(self, error: OSError) -> EditRefused:
        return EditRefused(
            f"{self._path.name} could not be updated ({error.strerror or error}): it is as it was,"
            " and the states are shown with the next update"
        )


class _Kept:
    """A text of the person that may be in no file, until it is written."""

    def __init__(self) -> None:
        self.text: bytes | None = None
        self._base = b""

    def add(self, base: bytes | None, text: bytes) -> None:
        """Keep ``text``, which was made from ``base``. An empty one has nothing to keep."""
        if text:
            self.text = text if self.text is None else _union(self._base, self.text, text)
            self._base = base or b""

    def added_to(self, text: bytes | None) -> bytes | None:
        """What the file holds with what is kept."""
        if self.text is None or text is None:
            return self.text or text
        return _union(self._base, self.text, text)


def archived(data: bytes, archive: Path) -> Path:
    """Keep what a plan file held in a folder, once; answers where."""
    archive.mkdir(parents=True, exist_ok=True)
    place = archive / f"todo-{hashlib.sha256(data).hexdigest()[:12]}.md"
    if not place.exists():
        with TodoFile(place) as file:
            file.replace(None, data)
    return place


def _union(base: bytes, first: bytes, second: bytes) -> bytes:
    return _encoded(union(_decoded(base), _decoded(first), _decoded(second)))


def _decoded(data: bytes) -> str:
    """The text; bytes that are no UTF-8 come back as they were."""
    return data.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
