"""What one person has used of a lent machine today, on disk: it outlives processes, and several may share it.

Each day has a file of its own, to which every process appends records of 16 bytes: how many tasks began, and how many
thousandths of a second times cores they ran. A reader adds up what has come since it last looked. One append is one
write, so processes of one machine do not tear each other's records; half a record at the end is waited for.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import date
from pathlib import Path
from struct import Struct
from typing import Final

from afield.endpoint.engines.lending import Use

__all__ = ["Usage"]

_RECORD: Final = Struct(">qq")


class Usage:
    """The files of one person.

    :param directory: of the files; it is made when it is needed
    :param person: what their names begin with
    """

    def __init__(self, directory: Path, person: str) -> None:
        self._directory, self._person = directory, person
        self._day: date | None = None
        self._fd = -1
        self._read = 0
        self._tasks = self._core_ms = 0

    def of(self, day: date) -> Use:
        """What was used on a day.

        :raises OSError: the disk does not say
        """
        self._turn_to(day)
        while block := os.pread(self._fd, 4096 * _RECORD.size, self._read):
            whole = len(block) - len(block) % _RECORD.size
            for tasks, core_ms in _RECORD.iter_unpack(block[:whole]):
                self._tasks += tasks
                self._core_ms += core_ms
            self._read += whole
            if not whole:
                break
        return Use(self._tasks, self._core_ms / 1000)

    def note(self, day: date, *, tasks: int = 0, core_s: float = 0.0) -> None:
        """Something more was used.

        :raises OSError: the disk does not take it
        """
        self._turn_to(day)
        os.write(self._fd, _RECORD.pack(tasks, round(core_s * 1000)))

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._day = -1, None

    def _turn_to(self, day: date) -> None:
        if day == self._day:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"{self._person}.{day.isoformat()}"
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.close()
        self._day, self._fd, self._read, self._tasks, self._core_ms = day, fd, 0, 0, 0
        for other in self._directory.glob(f"{self._person}.*"):
            if other.name < path.name:
                with suppress(OSError):
                    other.unlink()
