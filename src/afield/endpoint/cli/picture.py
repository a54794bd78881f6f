"""What can be known of an endpoint on this machine: from its files, its lock and its processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from afield.endpoint.breaker import Open
from afield.endpoint.host.holder import Holder
from afield.endpoint.host.lock import holder, is_here
from afield.endpoint.host.runaway import RunawayFile
from afield.endpoint.host.status import STATUS_FILE, AgentStatus, ChildRecord, ManagerStatus, Said, read_status
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["Picture", "Process", "UserEndpoint", "measured", "picture"]


class Process(msgspec.Struct, frozen=True):
    """A process with all that it started, as the operating system sees it now.

    :param processes: how many they are
    :param memory_bytes: resident, of all
    :param cpu_s: seconds of processor time, of all
    """

    pid: int
    processes: int
    memory_bytes: int
    cpu_s: float


class UserEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A user endpoint that its manager says is running."""

    name: str
    user: str
    directory: str
    log: str
    started_at: float
    #: None: there is no such process, or not here
    process: Process | None
    #: what it said last, when, and what went wrong
    state: dict[str, Any]
    said_at: float | None
    errors: list[Said]
    #: why its blocks are not asked for any more; empty: they are
    stopped: str = ""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint. ``state`` is one of: never started, stopped, running, disconnected, running on HOST, broken."""

    name: str
    id: str | None
    state: str
    why: str
    service_url: str | None
    directory: str
    log: str
    pid: int | None
    hostname: str | None
    version: str | None = None
    started_at: float | None = None
    heartbeat_at: float | None = None
    connected_since: float | None = None
    clock_ahead_s: float | None = None
    process: Process | None = None
    user_endpoints: list[UserEndpoint] = []
    errors: list[Said] = []
    #: user endpoints that died too often to be started at once, and why
    stopped: dict[str, str] = {}
    #: files that were changed since what runs has read them
    changed: list[str] = []

    @property
    def works(self) -> bool:
        """Whether tasks reach it, as far as this machine can tell."""
        return self.state == "running"


def picture(directory: EndpointDirectory, *, measure: bool = True) -> Picture:
    """What there is to know.

    :param measure: ask the operating system about its processes, which takes some milliseconds
    """
    running = holder(directory.lock)
    here = running is not None and is_here(running)
    written = read_status(directory.status, ManagerStatus)
    if running is None or written is None or written.pid != running.pid or written.boot_id != running.boot_id:
        current = None  # it is of an earlier life
    else:
        current = written
    endpoint_id, service_url, state, why = _state(directory, running, current, here=here)
    children = current.children if current else []
    return Picture(
        name=directory.name,
        id=endpoint_id,
        state=state,
        why=why,
        service_url=current.service_url if current else service_url,
        directory=str(directory.path),
        log=str(directory.log),
        pid=running.pid if running and here else None,
        hostname=running.hostname if running else None,
        version=current.version if current else None,
        started_at=running.started_at if running else None,
        heartbeat_at=running.heartbeat_at if running else None,
        connected_since=current.since if current and current.connected else None,
        clock_ahead_s=current.clock_ahead_s if current else None,
        process=measured(running.pid) if running and here and measure else None,
        user_endpoints=[_child(child, measure=here and measure) for child in children],
        errors=written.errors if written else [],  # also of the life that ended: it may say why
        stopped={name: _why(reason) for name, reason in RunawayFile(directory.path).load().items()},
        changed=_changed(directory, running.started_at, children) if running is not None else [],
    )


def _changed(directory: EndpointDirectory, started_at: float, children: list[ChildRecord]) -> list[str]:
    """Which files a restart would read anew: the manager reads its own once, a user endpoint those about it."""
    oldest = min((child.started_at for child in children), default=None)
    read_at = {directory.config: started_at}
    if oldest is not None:
        read_at |= dict.fromkeys((directory.template, directory.schema, directory.environment), oldest)
    return [path.name for path, moment in read_at.items() if path.exists() and path.stat().st_mtime > moment]


def _state(
    directory: EndpointDirectory, running: Holder | None, current: ManagerStatus | None, *, here: bool
) -> tuple[str | None, str | None, str, str]:
    """Its id, its service, its state in a word, and why."""
    broken = ""
    identity = None
    try:
        identity = directory.identity()
    except ConfigurationError as error:  # the others are there to be seen nevertheless
        broken = str(error)
    endpoint_id = current.endpoint_id if current else (identity.endpoint_id if identity else None)
    url = identity.service_url if identity else None
    if running is not None and not here:
        return endpoint_id, url, f"running on {running.hostname}", ""
    if running is not None:
        if current is None:
            return endpoint_id, url, "starting", ""
        return endpoint_id, url, "running" if current.connected else "disconnected", current.why
    if broken:
        return None, None, "broken", broken
    return endpoint_id, url, "stopped" if identity else "never started", ""


def _child(child: ChildRecord, *, measure: bool) -> UserEndpoint:
    said = read_status(Path(child.directory) / STATUS_FILE, AgentStatus)
    if said is not None and child.pid is not None and said.pid != child.pid:
        said = None  # it is of an earlier life
    return UserEndpoint(
        name=child.name,
        user=child.user,
        directory=child.directory,
        log=child.log,
        started_at=child.started_at,
        process=measured(child.pid) if measure and child.pid is not None else None,
        state=said.state if said else {},
        said_at=said.written_at if said else None,
        errors=said.errors if said else [],
        stopped="; ".join(_why(reason) for reason in RunawayFile(Path(child.directory)).load().values()),
    )


def _why(reason: Open) -> str:
    return f"{reason.deaths} died in a row soon after their start; the last: {reason.why}"


def measured(pid: int) -> Process | None:
    """A process and all that it started; None: there is none of that number."""
    import psutil

    try:
        top = psutil.Process(pid)
        family = [top, *top.children(recursive=True)]
    except psutil.Error:
        return None
    count, memory, cpu = 0, 0, 0.0
    for one in family:
        with suppress(psutil.Error):  # it ended this moment, or is somebody else's
            memory += one.memory_info().rss
            times = one.cpu_times()
            cpu += times.user + times.system
            count += 1
    return Process(pid, count, memory, round(cpu, 2)) if count else None
