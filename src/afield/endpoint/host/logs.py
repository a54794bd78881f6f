"""The manager's log: ``endpoint.log``, put aside as ``endpoint.log.1`` when it is long."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

__all__ = ["LogFile", "RecordFormatter"]

#: Bytes; twice as much is on the disk at most.
_MOST: Final = 10 * 1024 * 1024


class RecordFormatter(logging.Formatter):
    """One record is one paragraph: what others said stands in it, and must neither look like another record nor have
    a terminal do something.
    """

    def format(self, record: logging.LogRecord) -> str:
        """As the base class, with all lines but the first indented, and ? for what cannot be printed."""
        lines = super().format(record).split("\n")
        return "\n    ".join("".join(_seen(sign) for sign in line) for line in lines)


def _seen(sign: str) -> str:
    return sign if sign.isprintable() or sign == "\t" else "?"


class LogFile(RotatingFileHandler):
    """Writes to the log. A full disk stops nothing: what cannot be written is dropped.

    :param path: the file
    :param most: how long it may become, in bytes
    """

    def __init__(self, path: Path, most: int = _MOST) -> None:
        super().__init__(path, maxBytes=most, backupCount=1, encoding="utf-8", delay=True)
        self.setFormatter(RecordFormatter("%(asctime)s %(levelname)s %(message)s"))

    def doRollover(self) -> None:  # noqa: N802 - its name in the standard library
        """Put the file aside. Where stdout and stderr are this file, they follow."""
        with suppress(OSError):
            old = Path(self.baseFilename).stat().st_ino
            followers = [fd for fd in (1, 2) if os.fstat(fd).st_ino == old]
            super().doRollover()
            for fd in followers:
                os.dup2(self._opened().fileno(), fd)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - likewise
        """A disk that takes nothing is no reason to end; anything else is a fault and shows itself."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def _opened(self) -> TextIOWrapper:
        if self.stream is None:
            self.stream = self._open()
        return self.stream

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags | os.O_CLOEXEC, 0o600)

        return open(self.baseFilename, "a", encoding="utf-8", opener=private)
