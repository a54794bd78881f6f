"""What ``afield endpoint start`` shows while it runs.

On a terminal it is one line that is always true; elsewhere, a line for each change.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

from afield.endpoint.cli.words import clean, some

if TYPE_CHECKING:
    from afield.endpoint.host.standing import Standing

__all__ = ["AboveLine", "LiveLine", "line", "say_changes"]

logger = logging.getLogger("afield.endpoint")

#: What makes a terminal forget the line that the cursor is in.
_CLEAR: Final = "\r\x1b[2K"
_EVERY_S: Final = 1.0


def line(words: str, running: int, tasks: int | None, last_error: str) -> str:
    """How an endpoint is, in one line.

    :param words: connected, or why not
    :param running: user endpoints
    :param tasks: theirs; None: not known
    :param last_error: the last thing that went wrong; empty: nothing did
    """
    parts = [clean(words), some(running, "user endpoint")]
    if tasks is not None:
        parts.append(some(tasks, "task"))
    if last_error:
        parts.append(f"last error: {clean(last_error)}")
    return "; ".join(parts)


class AboveLine(logging.StreamHandler[TextIO]):
    """Writes the log above the live line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        self.stream.write(_CLEAR)
        super().emit(record)


class LiveLine:
    """The line at the bottom of a terminal.

    :param standing: how the endpoint is
    :param stream: the terminal
    """

    def __init__(self, standing: Standing, stream: TextIO = sys.stderr) -> None:
        self._standing, self._stream = standing, stream

    async def run(self) -> None:
        """Show it each second, until it is cancelled."""
        try:
            while True:
                self.show()
                await asyncio.sleep(_EVERY_S)
        finally:
            self._write(_CLEAR)

    def show(self) -> None:
        """Show how it is now."""
        standing = self._standing
        errors = standing.errors.said()
        last = f"{time.strftime('%H:%M:%S', time.localtime(errors[-1].at))} {errors[-1].text}" if errors else ""
        text = f"{time.strftime('%H:%M:%S')}  {line(standing.words, standing.running, _tasks(standing), last)}"
        self._write(_CLEAR + text[: max(shutil.get_terminal_size().columns - 1, 20)])

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            return  # the terminal was closed; the signal for that comes, too


def say_changes(standing: Standing) -> None:
    """Have a line in the log whenever the connection comes or goes, or user endpoints do.

    What goes wrong is in the log by itself.
    """
    before = ""

    def changed() -> None:
        nonlocal before
        now = line(standing.words, standing.running, None, "")
        if now != before:
            before = now
            logger.info("%s", now)

    standing.watch(changed)


def _tasks(standing: Standing) -> int:
    """How many are at its user endpoints, as those said last."""
    from afield.endpoint.host.status import STATUS_FILE, AgentStatus, read_status

    found = (read_status(directory / STATUS_FILE, AgentStatus) for directory in standing.directories())
    return sum(_count(status.state.get("outstanding_tasks")) for status in found if status is not None)


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
