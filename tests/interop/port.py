"""The one address that published programs know, and what every program of these tests is started with.

Published programs without a patch reach a service of one's own only at http://localhost:5000 (reference: wire contract
section 1.1).
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["PATIENCE_S", "PORT", "PYTHON", "URL", "clean_environment", "only_user_of_the_port", "unprivileged"]

#: The interpreter with the published packages.
PYTHON = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")
PORT = 5000
URL = f"http://localhost:{PORT}"
#: Nothing here takes longer than this; it only bounds a hang. In seconds.
PATIENCE_S = 60


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that would configure a program of these tests, and with ``more``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}
    return kept | more


@contextmanager
def only_user_of_the_port() -> Iterator[None]:
    """Be the one who uses it, among tests that run at the same time."""
    if not PYTHON:
        pytest.skip("AFIELD_TEST_PUBLISHED_PYTHON names no interpreter with globus-compute-sdk and -endpoint")
    with (Path(tempfile.gettempdir()) / f"afield-test-port-{PORT}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", PORT))
            except OSError:
                pytest.skip(f"port {PORT} is another program's, and published clients know no other")
        yield


def unprivileged() -> tuple[str, ...]:
    """What to put before a command so that it is not run by root: for root, the published endpoint serves many users,
    and wants a map of them.
    """
    if os.getuid():
        return ()
    nobody = pwd.getpwnam("nobody")
    unshare = shutil.which("unshare") or "unshare"
    wrapper = (unshare, "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}")
    try:
        subprocess.run([*wrapper, "true"], check=True, capture_output=True, timeout=PATIENCE_S)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this is root, and `unshare --user` does not work, so the published endpoint cannot run: {error}")
    return wrapper
