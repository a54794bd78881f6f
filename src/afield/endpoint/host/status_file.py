"""Status files that are written soon after something changed, and not more often than that."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from afield.endpoint.host.remembered import LastErrors
from afield.endpoint.host.status import AgentStatus, write_status

__all__ = ["AgentFile", "StatusFile"]

logger = logging.getLogger("afield.endpoint")

#: A change is on the disk after this many seconds; what changes in between goes with it.
_SOON_S: Final = 0.2
#: A user endpoint has much more to say; its file may be this many seconds behind.
_AGENT_SOON_S: Final = 1.0


class StatusFile:
    """A status file that is written soon after something changed.

    :param path: where
    :param status: gives what to write
    :param soon_s: how soon, in seconds
    """

    def __init__(self, path: Path, status: Callable[[], msgspec.Struct], soon_s: float = _SOON_S) -> None:
        self._path, self._status, self._soon_s = path, status, soon_s
        self._due: asyncio.TimerHandle | None = None
        self._refused = False

    def changed(self) -> None:
        """Something changed. It may be called as often as you like, in the event loop."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._soon_s, self.write)

    def write(self) -> None:
        """Write it now. A disk that does not take it stops nothing: it is told once."""
        self.close()
        try:
            write_status(self._path, self._status())
        except OSError as error:
            if not self._refused:
                self._refused = True
                logger.warning("%s cannot be written, so commands show old figures: %s", self._path, error.strerror)
        else:
            self._refused = False

    def close(self) -> None:
        """What is due is not written any more."""
        if self._due is not None:
            self._due.cancel()
            self._due = None


class AgentFile(StatusFile):
    """The status file of a user endpoint.

    :param directory: its
    :param state: gives what its heartbeats say
    :param errors: what went wrong lately
    """

    def __init__(self, path: Path, state: Callable[[], dict[str, Any]], errors: LastErrors) -> None:
        def status() -> AgentStatus:
            return AgentStatus(pid=os.getpid(), written_at=time.time(), state=state(), errors=errors.said())

        super().__init__(path, status, _AGENT_SOON_S)
