"""An endpoint as a unit of a real systemd, which is kept apart from whatever runs this machine."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CLI, PATIENCE_S

SYSTEMD = Path("/usr/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")
NEEDS = "needs root on Linux with systemd installed and not running, and control groups that can be made"

#: Begins in a control group of its own, which becomes the root of all that it can see of them; and with a /run of its
#: own, which says that the machine was booted with systemd. Exit status 77: it would not have been alone.
APART = """
set -eu
mount -t tmpfs none /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
mount -t tmpfs none /sys/fs/cgroup
top=/sys/fs/cgroup
if [ "$2" = 2 ]; then
    mount -t cgroup2 none $top
else
    top=$top/systemd
    mkdir $top
    mount -t cgroup -o none,name=systemd cgroup $top
fi
while read pid; do
    [ "$pid" = $$ ] || exit 77
done < $top/cgroup.procs
exec "$1" --user
"""
BEGIN = 'echo $$ > "$1/cgroup.procs"; shift; exec unshare -mC --propagation private sh -c "$1" apart "$2" "$3"'


class UserManager:
    """``systemd --user``, and commands that see it."""

    def __init__(self, machine, group, version):
        self._machine = machine
        self.environment = machine.environment | {
            "XDG_RUNTIME_DIR": "/run/user/test", "XDG_CONFIG_HOME": str(machine.user_dir / "config"),
            "NOTIFY_SOCKET": f"@{group.name}",
        }  # fmt: skip
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(f"\0{group.name}")
        self.environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
        self._process = subprocess.Popen(
            ["sh", "-c", BEGIN, "begin", str(group), APART, str(SYSTEMD), version],
            env=self.environment, cwd="/",
        )  # fmt: skip
        del self.environment["NOTIFY_SOCKET"]  # of nobody else

    def is_up(self):
        """Wait until it says that it is ready, or has ended."""
        with os.fdopen(os.pidfd_open(self._process.pid), "rb", buffering=0) as end:
            while self._notices in (ready := select.select([self._notices, end], [], [], PATIENCE_S)[0]):
                if b"READY=1" in self._notices.recv(4096).splitlines():
                    return True
            assert ready, "systemd says nothing"
            return False

    def run(self, *command):
        inside = ("nsenter", "--mount", f"--target={self._process.pid}", f"--wdns={self._machine.user_dir}", *command)
        done = subprocess.run(inside, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def endpoint(self, *arguments):
        return self.run(*CLI, *arguments)

    def close(self):
        self._process.terminate()  # it ends its units, too
        self._process.wait(PATIENCE_S)
        self._notices.close()


@pytest.fixture
def user_manager(served):
    parts = ("unshare", "nsenter", "mount", "systemctl", "systemd-analyze")
    booted = Path("/run/systemd/system").is_dir()
    if sys.platform != "linux" or os.geteuid() or booted or not SYSTEMD.exists() or not all(map(shutil.which, parts)):
        pytest.skip(NEEDS)
    version = "2" if (CGROUPS / "cgroup.controllers").exists() else "1"
    group = (CGROUPS if version == "2" else CGROUPS / "systemd") / f"afield-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip(NEEDS)
    manager = UserManager(served, group, version)
    try:
        if not manager.is_up():
            pytest.skip(NEEDS)
        yield manager
    finally:
        manager.close()
        for pid in [line for file in group.rglob("cgroup.procs") for line in file.read_text().split()]:
            os.kill(int(pid), signal.SIGKILL)
        for place in sorted(group.rglob("*/"), reverse=True):
            if place.is_dir():
                place.rmdir()
        group.rmdir()


@pytest.fixture
def said(served):
    """Waits for a line that the endpoint prints: systemd opens a pipe for it."""
    pipe = served.user_dir / "said"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDWR), "r") as file:
        yield lambda beginning: next(line for line in file if line.startswith(beginning))


@pytest.mark.e2e
def test_systemd_starts_it_again_when_it_is_killed_and_ends_it(served, user_manager, said):
    served("configure", "boot")
    unit = "afield-endpoint-boot.service"
    more = served.user_dir / "config" / "systemd" / "user" / f"{unit}.d" / "test.conf"
    more.parent.mkdir(parents=True)
    more.write_text(f"[Service]\nRestartSec=0\nStandardOutput=append:{served.user_dir / 'said'}\n")
    assert "Enabled: " in user_manager.endpoint("enable-on-boot", "boot", "--user")
    assert user_manager.run("systemctl", "--user", "is-enabled", unit) == "enabled"

    def main_pid():
        return int(user_manager.run("systemctl", "--user", "show", "--value", "--property=MainPID", unit))

    user_manager.run("systemctl", "--user", "start", unit)
    said("Ready: endpoint boot is ")
    first = main_pid()
    row = served.listed()["boot"]
    assert (row["state"], row["pid"]) == ("running", first)
    os.kill(first, signal.SIGKILL)
    said("Ready: endpoint boot is ")
    assert main_pid() not in {0, first}
    user_manager.run("systemctl", "--user", "stop", unit)
    said("Stopped: endpoint boot")  # it ended in its own way
    assert served.listed()["boot"]["state"] == "stopped"
    assert main_pid() == 0, "and is not started again for that"
    assert "Disabled: " in user_manager.endpoint("disable-on-boot", "boot", "--user")
    assert not (more.parent.parent / unit).exists()
