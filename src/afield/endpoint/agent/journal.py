"""How often tasks were begun and which are settled, on disk, so that no later life runs one more often than it may.

One line per fact, appended in order: ``+id`` is about to begin, once more; ``~id`` came back from the engine untouched,
which takes one beginning back; ``-id`` has a result that is safe, after which its beginnings do not matter. A line
without an end was cut off by a crash and never came into effect.

A line is in the operating system's hands before a task begins, so the death of this process loses none. Towards the
death of the machine it is synced soon after, not before: that would put a disk's latency into every call. So in the
moments before a power cut a task may begin of which the next life knows nothing.

Where the disk refuses, nothing may begin. The other facts may go missing: without them a task whose end was not
acknowledged fails with EndpointLost in the next life, or runs again if it may, and a service that has its result drops
what comes of that.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["COMPACT_AFTER", "Journal"]

logger = logging.getLogger("afield.endpoint")

#: Lines after which the file is written anew with what still matters: about 2 MB.
COMPACT_AFTER: Final = 50_000


class Journal:
    """The journal of one user endpoint. Only one process may have it open; its directory's lock sees to that.

    :param path: its file; made if it is not there
    """

    def __init__(self, path: Path) -> None:
        #: its file
        self.path = path
        self._lines = 0
        self.begun, self.settled = self._read()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _read(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """How often each task was begun that has no safe result; and those that have, in the order of that."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}, ()
        whole, cut = content[: content.rfind(b"\n") + 1], content[content.rfind(b"\n") + 1 :]
        if cut:
            os.truncate(self.path, len(whole))
        begun: dict[str, int] = {}
        settled: dict[str, None] = {}
        for line in whole.decode("ascii", "replace").splitlines():
            sign, task_id = line[:1], line[1:]
            self._lines += 1
            if sign == "-":
                begun.pop(task_id, None)
                settled.pop(task_id, None)  # so that the order is that of the last facts
                settled[task_id] = None
            else:
                settled.pop(task_id, None)
                begun[task_id] = max(begun.get(task_id, 0) + (1 if sign == "+" else -1), 0)
        return {task_id: count for task_id, count in begun.items() if count > 0}, tuple(settled)

    @property
    def long(self) -> bool:
        """Whether it should be compacted."""
        return self._lines > COMPACT_AFTER

    def mark_begun(self, task_ids: Iterable[str]) -> None:
        """These are about to be handed to an engine.

        :raises OSError: the disk refused; none of them is in the journal
        """
        self._append("+", task_ids)

    def mark_settled(self, task_ids: Iterable[str]) -> None:
        """The results of these are safe."""
        self._try_to_append("-", task_ids)

    def mark_never_begun(self, task_ids: Iterable[str]) -> None:
        """These came back from the engine untouched."""
        self._try_to_append("~", task_ids)

    def sync(self) -> None:
        """Make what was written survive the machine. Blocks; may run in another thread beside the rest."""
        os.fdatasync(self._fd)

    def compact(self, begun: Mapping[str, int], settled: Iterable[str]) -> None:
        """Write it anew with only these facts. Where the disk refuses it stays as it is, and is tried again later.

        :param begun: how often each was begun
        """
        self._lines = 0
        try:
            self._write_anew(begun, settled)
        except OSError as error:
            logger.warning("the journal %s stays long, for it cannot be written anew: %s", self.path, error)

    def _write_anew(self, begun: Mapping[str, int], settled: Iterable[str]) -> None:
        lines = [f"+{task_id}\n" * count for task_id, count in begun.items()]
        lines += [f"-{task_id}\n" for task_id in settled]
        fresh = self.path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, "".join(lines).encode())
            os.fdatasync(fd)
            fresh.replace(self.path)
            os.dup2(fd, self._fd, inheritable=False)  # the number stays, so that a sync under way harms nobody
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        os.close(self._fd)

    def _append(self, sign: str, task_ids: Iterable[str]) -> None:
        lines = [f"{sign}{task_id}\n" for task_id in task_ids]
        before = os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, "".join(lines).encode())
        except OSError:
            os.ftruncate(self._fd, before)
            raise
        self._lines += len(lines)

    def _try_to_append(self, sign: str, task_ids: Iterable[str]) -> None:
        try:
            self._append(sign, task_ids)
        except OSError as error:
            logger.warning("the journal %s cannot be written: %s", self.path, error)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
