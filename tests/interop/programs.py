"""A program that was started, and what it says."""

from __future__ import annotations

import os
import pty
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.interop.port import PATIENCE_S

__all__ = ["Program"]


class Program:
    """A process that leads a session of its own, with a thread that reads what it says.

    :param command: of it
    :param environment: all of it
    :param log: a file to which everything that it says is appended
    :param terminal: whether it believes that somebody watches; some say nothing else
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, *, terminal: bool = False
    ) -> None:
        self.log = log
        self._begin = log.stat().st_size if log.exists() else 0
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reads, writes = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=writes, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        os.close(writes)
        self._reader = threading.Thread(target=self._read, args=(reads,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def said(self) -> str:
        """Everything that it has said so far."""
        return self.log.read_text(errors="replace")[self._begin :]

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line in which ``pattern`` is found.

        :raises AssertionError: it ended before, or says nothing of the kind
        """
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"it has not said {pattern!r}, but:\n{self.said[-3000:]}") from None
            if line is None:
                raise AssertionError(f"it ended, and never said {pattern!r}, but:\n{self.said[-3000:]}")
            if found := re.search(pattern, line):
                return found

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it a signal and wait for its end; its exit status, also of one that had ended."""
        if self.runs:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends by itself; its exit status."""
        status = self.process.wait(PATIENCE_S)
        self._reader.join(1)  # what it left behind may hold the other end
        return status

    def kill(self) -> None:
        """End it and everything in its session, whatever it is doing."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def _read(self, source: int) -> None:
        # The other end of a terminal that is gone is an OSError.
        with self.log.open("a") as log, suppress(OSError), open(source, errors="replace") as lines:
            for line in lines:
                log.write(line)
                log.flush()
                self._lines.put(line)
        self._lines.put(None)
