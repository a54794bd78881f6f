"""What a service makes for itself when it starts: its secret, once, and the identity of the person who runs it.

The secret never leaves its file, which only that person can read. It keys the queues' logins, and the owner's id
follows from it, so a data directory always belongs to the same identity.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import uuid
from pathlib import Path
from typing import Final

from afield.errors import DataDirectoryError
from afield.service.domain.people import IdentityRecord

__all__ = ["local_owner", "service_secret"]

_FILE: Final = "secret"
_BYTES: Final = 32


def service_secret(data_dir: Path) -> bytes:
    """The service's own key, made at the first start.

    :param data_dir: held by this process, so that nobody makes another one at the same time
    :raises DataDirectoryError: it cannot be read or written, or is no secret
    """
    path = data_dir / _FILE
    try:
        if not path.exists():
            _write(path, secrets.token_bytes(_BYTES).hex())
        secret = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise DataDirectoryError(f"the service's secret, {path}, cannot be used: {error.strerror}") from error
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise DataDirectoryError(
            f"{path} does not hold the service's secret. Put the file back; if it is lost, remove it: a new one is "
            "made, endpoints must be started again, and endpoints and results belong to a new identity"
        )
    return secret


def _write(path: Path, text: str) -> None:
    # Whole or not at all, and never readable by others: a service that is killed here finds no file, or all of it.
    half = path.with_suffix(".new")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    half.replace(path)


def local_owner(secret: bytes, now: float) -> IdentityRecord:
    """The identity of the person who runs this service.

    :param now: unix time, for a new record
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"  # a container without a list of users
    owner_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"afield owner {secret.hex()}"))
    return IdentityRecord(owner_id, user, user, f"{user}@{socket.gethostname()}", now)
