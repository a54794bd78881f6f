"""The services that run on this machine for this person, as files.

Who starts a service (``afield up``, ``afield serve``) writes ``<user dir>/services/<host>_<port>.json`` and removes it
on a clean stop. The file holds the token that opens the service; its mode, 0600, is what keeps others out. A file whose
process has gone is left over from a crash, and is not listed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from afield.sdk.login import private_files
from afield.wire.malformed import MALFORMED

__all__ = ["KnownService", "forget", "live", "normal_url", "publish", "same_service", "user_dir"]

_USER_DIR_VARIABLE: Final = "AFIELD_USER_DIR"
#: Published, and of the same meaning.
_PUBLISHED_USER_DIR_VARIABLE: Final = "GLOBUS_COMPUTE_USER_DIR"


class KnownService(msgspec.Struct, frozen=True, kw_only=True):
    """A running service."""

    #: as clients on this machine reach it
    service_url: str
    #: lets its holder in as the person who started it
    token: str
    #: the endpoint that was started with it, if one was
    endpoint_id: str | None = None
    data_dir: str = ""
    pid: int
    #: unix time in seconds
    started_at: float
    #: the machine; home directories may be shared among several
    hostname: str = ""


def user_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this person's files are: ``$AFIELD_USER_DIR``, else ``$GLOBUS_COMPUTE_USER_DIR``, else ``~/.afield``."""
    given = environ.get(_USER_DIR_VARIABLE) or environ.get(_PUBLISHED_USER_DIR_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".afield"


def publish(service: KnownService, directory: Path | None = None) -> Path:
    """Let programs on this machine find a service; the file appears whole or not at all.

    :param directory: the user directory; None: :func:`user_dir`
    :return: the file
    :raises ConfigurationError: it cannot be written
    """
    path = _path(service.service_url, directory)
    if not service.hostname:
        service = msgspec.structs.replace(service, hostname=platform.node())
    private_files.write(path, msgspec.json.encode(service), "what programs here need to find the service")
    return path


def forget(service_url: str, directory: Path | None = None, *, pid: int | None = None) -> None:
    """The service has stopped. There being no file is fine.

    :param pid: remove the file only if it is this process's; another one may have come up meanwhile
    """
    path = _path(service_url, directory)
    if pid is not None:
        found = _read(path)
        if found is None or found.pid != pid:
            return
    path.unlink(missing_ok=True)


def live(directory: Path | None = None) -> list[KnownService]:
    """The services that run here now, the one started last first."""
    folder = (directory or user_dir()) / "services"
    found = [service for path in folder.glob("*.json") if (service := _read(path)) is not None and _runs(service)]
    return sorted(found, key=lambda service: service.started_at, reverse=True)


def same_service(one: str, other: str) -> bool:
    """Whether two URLs mean the same service: ``localhost`` is ``127.0.0.1``."""
    return normal_url(one) == normal_url(other)


def normal_url(url: str) -> str:
    """The URL with ``localhost`` spelled as its address, its port written out, and nothing after it."""
    parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
    host = parts.hostname or ""
    host = "127.0.0.1" if host in {"localhost", "::1", "0.0.0.0"} else host  # noqa: S104 - recognised, not bound
    return f"{parts.scheme}://{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _path(service_url: str, directory: Path | None) -> Path:
    host, port = normal_url(service_url).rsplit("//", 1)[1].rsplit(":", 1)
    return (directory or user_dir()) / "services" / f"{host}_{port}.json"


def _read(path: Path) -> KnownService | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=KnownService)
    except (OSError, *MALFORMED):
        return None  # gone this moment, or not ours


def _runs(service: KnownService) -> bool:
    if service.hostname and service.hostname != platform.node():
        return False  # another machine that shares this home: its loopback is not ours
    try:
        os.kill(service.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
