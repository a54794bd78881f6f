"""Somebody's account on a machine, and a real service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from tests import commands

#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 60
CLI = (sys.executable, "-m", "afield.endpoint.cli")


class Machine:
    """Somebody's account on a machine."""

    def __init__(self, user_dir):
        self.user_dir = user_dir
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AFIELD_")}
        self.environment = kept | {"AFIELD_USER_DIR": str(user_dir), "COLUMNS": "200", "NO_COLOR": "1"}

    def __call__(self, *arguments, code=0, stdin=None, **more):
        """Run a command to its end; what it said."""
        done = commands.run(*arguments, environ=self.environment | more, timeout=PATIENCE_S, typed=stdin or "",
                            cwd=self.user_dir, module="afield.endpoint.cli")  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said
        return said

    def begin(self, *arguments):
        """Start a command that goes on; its first line and the process."""
        process = subprocess.Popen([*CLI, *arguments], env=self.environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True, cwd=self.user_dir)  # fmt: skip
        return process.stdout.readline(), process

    def listed(self):
        return {row["name"]: row for row in json.loads(self("list", "--json"))}


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A machine on which a service runs."""
    machine = Machine(tmp_path_factory.mktemp("served"))
    service = subprocess.Popen(
        [sys.executable, "-m", "afield", "serve", "--port", "0", "--amqp-port", "0", "--data",
         str(machine.user_dir / "data"), "--ready-file", str(machine.user_dir / "ready.json")],
        env=machine.environment, stdout=subprocess.PIPE, text=True, cwd=machine.user_dir,
    )  # fmt: skip
    try:
        for line in service.stdout:
            if "eady" in line:
                break
        machine.url = json.loads((machine.user_dir / "ready.json").read_text())["service_url"]
        yield machine
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=PATIENCE_S)
