"""One process for each endpoint: on this machine by the lock, on others by the heartbeat in its file."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time

import msgspec
import pytest

from afield.endpoint.host.holder import Holder, Seen, lives
from afield.endpoint.host.lock import PERIOD_S, AlreadyRunning, LockLost, RunLock, holder, is_here, locks_work
from afield.errors import ConfigurationError


def test_a_lock_is_for_one(tmp_path):
    path = tmp_path / "lock"
    assert holder(path) is None
    with RunLock(path, "mine"):
        found = holder(path)
        assert (found.pid, found.hostname, is_here(found)) == (os.getpid(), os.uname().nodename, True)
        with pytest.raises(ConfigurationError, match=f"the endpoint mine is running already, as process {os.getpid()}"):
            RunLock(path, "mine").__enter__()
    assert holder(path) is None
    with RunLock(path, "mine"):
        pass


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys, pathlib; from afield.endpoint.host.lock import RunLock\n"
        "with RunLock(pathlib.Path(sys.argv[1]), 'x'): print('has it', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"has it\n"
        assert holder(tmp_path / "lock").pid == process.pid
        process.kill()
        process.wait()
    assert holder(tmp_path / "lock") is None


def test_a_lock_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file"):
        RunLock(tmp_path / "nowhere" / "lock", "x").__enter__()


HERE = {"hostname": "n1", "boot_id": "boot-1", "process_exists": True}
ONE = Holder(7, "n1", 0.0, "boot-1", 0.0, 15.0)
BEFORE = msgspec.structs.replace(ONE, boot_id="boot-0")
OTHER = msgspec.structs.replace(ONE, hostname="n2", boot_id="boot-2")


@pytest.mark.parametrize(
    ("who", "locked", "age_s", "process_exists", "alive"),
    [
        (ONE, True, 0, True, True),
        (ONE, True, 1e6, True, True),  # this machine was asleep with it
        (ONE, False, 0, True, False),  # it was killed, and its number is another's now
        (ONE, None, 44, True, True),  # a file system without locks
        (ONE, None, 46, True, False),
        (ONE, None, 0, False, False),
        (BEFORE, False, 0, True, False),  # the machine was started again
        (BEFORE, True, 0, True, True),  # two machines of one name
        (BEFORE, True, 46, True, False),
        (OTHER, False, 44, False, True),  # a lock that does not reach other machines
        (OTHER, True, 44, False, True),
        (OTHER, False, 46, True, False),
        (OTHER, True, 46, True, False),  # a lock that outlives its machine
    ],
)
def test_lock_and_heartbeat_together_tell_who_lives(who, locked, age_s, process_exists, alive):
    assert lives(who, Seen(locked, age_s, "n1", "boot-1", process_exists)) is alive


def elsewhere(path, age_s=0.0):
    """The lock of an endpoint that runs on another machine, or did."""
    path.write_bytes(msgspec.json.encode(Holder(7, "login2", 0.0, "another boot", time.time() - age_s, PERIOD_S)))
    at = time.time() - age_s
    os.utime(path, (at, at))


def test_one_that_runs_on_another_machine_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "lock"
    elsewhere(path, age_s=20)
    assert holder(path).hostname == "login2"
    assert not is_here(holder(path))
    with pytest.raises(AlreadyRunning, match=r"as process 7 on host login2.*--remote.*in 45 s") as caught:
        RunLock(path, "mine").__enter__()
    assert "remove" not in str(caught.value)
    assert "delete" not in str(caught.value)


def test_a_dead_machine_is_taken_over_from(tmp_path):
    path = tmp_path / "lock"
    elsewhere(path, age_s=3 * PERIOD_S + 5)
    assert holder(path) is None
    with RunLock(path, "mine"):
        assert holder(path).pid == os.getpid()


def test_a_lock_that_a_dead_machine_left_at_the_file_server_is_taken_over(tmp_path):
    path = tmp_path / "lock"
    elsewhere(path, age_s=100)
    left = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(left, fcntl.LOCK_EX)
        assert holder(path) is None
        with RunLock(path, "mine") as lock:
            assert holder(path).pid == os.getpid()
            lock.beat(time.time())
            with pytest.raises(AlreadyRunning):
                RunLock(path, "mine").__enter__()
    finally:
        os.close(left)


@pytest.mark.parametrize("how", ["overwritten", "replaced", "gone"])
def test_whoever_was_taken_over_from_learns_it_at_the_next_heartbeat(tmp_path, how):
    path = tmp_path / "lock"
    with RunLock(path, "mine") as lock:
        lock.beat(5.0)
        assert holder(path).heartbeat_at == 5.0
        if how == "overwritten":
            elsewhere(path)
        elif how == "replaced":
            elsewhere(tmp_path / "new")
            (tmp_path / "new").replace(path)
        else:
            path.unlink()
        with pytest.raises(LockLost, match=r"runs the endpoint mine now.*no sign of life for 45 s"):
            lock.beat(6.0)
    if how != "gone":
        assert holder(path).hostname == "login2", "what is another's stays"


def test_a_heartbeat_keeps_others_away(tmp_path):
    path = tmp_path / "lock"
    with RunLock(path, "mine") as lock:
        os.utime(path, (0, 0))
        lock.beat(time.time())
        assert time.time() - path.stat().st_mtime < 3 * PERIOD_S


def test_whether_locks_work_is_measured(tmp_path):
    assert locks_work(tmp_path) is True
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="nowhere"):
        locks_work(tmp_path / "nowhere")
