"""A personal endpoint that is shared runs its guests' tasks, for real, and ends them when that is taken back."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PATIENCE_S, Up

pytestmark = pytest.mark.e2e

#: A program of its own, with an identity of its own: the guest.
GUEST = """
from afield import Client
client = Client()
made = client.session().call(lambda service: service.ask("POST", "/afield/v1/clients", dict, {"name": "guest"}))
print(made["client"]["id"], made["secret"])
"""

SHARE = """
import sys
from afield import Client
getattr(Client(), sys.argv[1])(sys.argv[2], identity_id=sys.argv[3])
"""

RUN = """
import sys
from afield import Executor
def who():
    import getpass
    return getpass.getuser()
with Executor(sys.argv[1]) as ex:
    try:
        print("ran as", ex.submit(who).result(60))
    except Exception as error:
        print(type(error).__name__, error)
"""

WAIT = """
import pathlib, sys
from afield import Executor
def wait(begun):
    import os, time
    with open(begun, "w") as file:
        file.write(str(os.getpid()))
    while True:
        time.sleep(0.05)
with Executor(sys.argv[1]) as ex:
    try:
        ex.submit(wait, sys.argv[2]).result(60)
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_guest_runs_until_it_is_taken_back(fresh, tmp_path: Path):
    up: Up = fresh()
    endpoint_id = up.ready["endpoint_id"]
    client_id, secret = up.script(GUEST).split()
    guest = {
        "AFIELD_SERVICE_URL": up.ready["service_url"], "AFIELD_CLIENT_ID": client_id, "AFIELD_CLIENT_SECRET": secret,
    }  # fmt: skip
    assert f"may not run tasks on endpoint {endpoint_id}" in up.script(RUN, endpoint_id, **guest)
    up.script(SHARE, "share_endpoint", endpoint_id, client_id)
    mine = up.script(RUN, endpoint_id)
    assert mine.startswith("ran as ")
    assert up.script(RUN, endpoint_id, **guest) == mine

    begun = tmp_path / "begun"
    os.mkfifo(begun)
    waiting = tmp_path / "wait.py"
    waiting.write_text(WAIT)
    running = subprocess.Popen(
        [sys.executable, str(waiting), endpoint_id, str(begun)], env=up.environment | guest, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with begun.open() as file:  # until the task has begun
        worker = int(file.read())
    up.script(SHARE, "unshare_endpoint", endpoint_id, client_id)
    said, _ = running.communicate(timeout=PATIENCE_S)
    assert "was taken back" in said
    ended(worker)
    assert f"may not run tasks on endpoint {endpoint_id}" in up.script(RUN, endpoint_id, **guest)
    assert up.script(RUN, endpoint_id) == mine


def ended(pid: int) -> None:
    """Wait until a process is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], PATIENCE_S)[0], f"process {pid} goes on"
    finally:
        os.close(handle)
