"""How an endpoint stands at this moment, as its manager notes it down; whoever wants to show it is told of changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from afield import __version__
from afield.endpoint.host.machine import boot_id, host_name
from afield.endpoint.host.remembered import LastErrors
from afield.endpoint.host.status import ChildRecord, ManagerStatus

__all__ = ["Standing", "without_login"]


class Standing:
    """What a manager notes. It knows of no file: see :mod:`afield.endpoint.host.presence`.

    :param endpoint_id: the manager's
    :param broker_url: of its queues; the login in it is left out
    :param clock: unix time in seconds
    """

    def __init__(self, endpoint_id: str, broker_url: str, clock: Callable[[], float] = time.time) -> None:
        self._id, self._broker, self._clock = endpoint_id, without_login(broker_url), clock
        self._started_at = self._since = clock()
        self._connected = False
        self._why = "it connects for the first time"
        self._children: dict[str, tuple[ChildRecord, Callable[[], int | None]]] = {}
        #: how far the service's clock is ahead, in seconds
        self.clock_ahead_s: float | None = None
        #: what went wrong lately
        self.errors = LastErrors()
        self.errors.changed = self.changed
        self._watchers: list[Callable[[], None]] = []

    def watch(self, changed: Callable[[], None]) -> None:
        """Have something called after each change, in the event loop."""
        self._watchers.append(changed)

    def changed(self) -> None:
        """Tell whoever watches."""
        for watcher in self._watchers:
            watcher()

    @property
    def running(self) -> int:
        """How many user endpoints run."""
        return len(self._children)

    def directories(self) -> list[Path]:
        """Those of the user endpoints that run."""
        return [Path(one.directory) for one, _ in self._children.values()]

    @property
    def words(self) -> str:
        """Whether it is connected, and why not."""
        return "connected" if self._connected else f"not connected: {self._why}"

    def connected(self) -> None:
        """There is a connection to the queues."""
        self._note(connected=True, why="")

    def lost(self, why: str) -> None:
        """There is none any more, or still none."""
        self._note(connected=False, why=why)

    def _note(self, *, connected: bool, why: str) -> None:
        if connected != self._connected:
            self._since = self._clock()
        self._connected, self._why = connected, why
        self.changed()

    def child_started(self, name: str, directory: Path, log: Path, user: str, pid: Callable[[], int | None]) -> None:
        """A user endpoint was started.

        :param pid: gives the number of its process, once it has one
        """
        record = ChildRecord(
            name=name, pid=None, directory=str(directory), log=str(log), started_at=self._clock(), user=user
        )
        self._children[name] = (record, pid)
        self.changed()

    def child_ended(self, name: str) -> None:
        """A user endpoint is gone."""
        self._children.pop(name, None)
        self.changed()

    def failed(self, text: str) -> None:
        """A user endpoint did not start, or ended at its start."""
        self.errors.note(self._clock(), text)

    def status(self, service_url: str) -> ManagerStatus:
        """All of it, for the file."""
        children = [
            ChildRecord(
                name=one.name, pid=pid(), directory=one.directory, log=one.log, started_at=one.started_at, user=one.user
            )
            for one, pid in self._children.values()
        ]
        return ManagerStatus(
            endpoint_id=self._id,
            service_url=service_url,
            broker=self._broker,
            pid=os.getpid(),
            hostname=host_name(),
            boot_id=boot_id(),
            version=__version__,
            started_at=self._started_at,
            written_at=self._clock(),
            connected=self._connected,
            since=self._since,
            why=self._why,
            clock_ahead_s=self.clock_ahead_s,
            children=children,
            errors=self.errors.said(),
        )


def without_login(url: str) -> str:
    """Scheme, host and port: what people may see."""
    try:
        parts = urlsplit(url)
        port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    except ValueError:
        return ""
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
