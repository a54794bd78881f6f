"""Who sees how often tasks run, and may let them wait: by files, so whatever process they run in."""

from __future__ import annotations

import os
import select
from collections import Counter
from pathlib import Path

__all__ = ["Witness"]

#: Nothing here takes longer than this, in seconds; it only bounds a hang.
_PATIENCE_S = 60


class Witness:
    """What tasks leave behind: one line for each run; and a gate at which they wait.

    A task that is given :attr:`place` adds its number to ``runs``, writes its process to the FIFO ``marks``, and opens
    the FIFO ``gate`` to read, which takes until somebody opens its other end.
    """

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place = str(place)
        self._file, self._gate = place / "runs", -1
        os.mkfifo(place / "gate")
        os.mkfifo(place / "marks")
        self._marks = os.open(place / "marks", os.O_RDWR)
        self._seen = ""

    def saw(self, count: int) -> list[int]:
        """Wait until tasks were begun this often; the processes in which they were."""
        while self._seen.count("\n") < count:
            ready, _, _ = select.select([self._marks], [], [], _PATIENCE_S)
            assert ready, f"{self._seen.count(chr(10))} of {count} tasks were begun"
            self._seen += os.read(self._marks, 4096).decode()
        return [int(line) for line in self._seen.splitlines()]

    def open_gate(self) -> None:
        """Let all go on, those too that come later."""
        if self._gate < 0:
            self._gate = os.open(Path(self.place) / "gate", os.O_RDWR)

    def runs(self) -> Counter[int]:
        """How often each task was begun."""
        text = self._file.read_text() if self._file.exists() else ""
        return Counter(int(line) for line in text.splitlines())

    def close(self) -> None:
        """Have nobody wait for it."""
        self.open_gate()
        os.close(self._gate)
        os.close(self._marks)
