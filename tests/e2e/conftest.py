"""Real processes: `afield up` as a user starts it, and scripts as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

#: Nothing here takes longer than this; it only bounds a hang.
PATIENCE_S = 60


def clean_environment() -> dict[str, str]:
    """The environment of a user who has set nothing."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}
    return kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])}


@dataclass
class Up:
    """One `afield up`."""

    user_dir: Path
    data_dir: Path
    arguments: tuple[str, ...] = ()
    python: str = sys.executable
    process: subprocess.Popen[str] | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment() | {"AFIELD_USER_DIR": str(self.user_dir)}

    def start(self) -> Up:
        ready_file = self.user_dir / "ready.json"
        ready_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [self.python, "-m", "afield", "up", "--data", str(self.data_dir), "--port", "0", "--ready-file",
             str(ready_file), *self.arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Ready"):
                break
        else:
            pytest.fail(f"afield up ended with {self.process.wait()}:\n{''.join(self.lines)}")
        self.ready = json.loads(ready_file.read_text())
        return self

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    def kill(self) -> int:
        assert self.process is not None
        self.process.kill()
        return self.finish()

    def finish(self) -> int:
        assert self.process is not None
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        self.lines.append(rest)
        return self.process.returncode

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the environment of a user of this machine."""
        done = subprocess.run(command, env=self.environment | environment, capture_output=True, text=True,
                              timeout=PATIENCE_S, cwd=self.user_dir)  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def script(self, text: str, *arguments: str, check: bool = True, **environment: str) -> str:
        """Run a script of a user; what it printed."""
        path = self.user_dir / "script.py"
        path.write_text(text)
        return self.run(sys.executable, str(path), *arguments, check=check, **environment).stdout


@pytest.fixture
def fresh_environment() -> dict[str, str]:
    return clean_environment()


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running `afield up` that tests share and leave as they found it."""
    place = tmp_path_factory.mktemp("up")
    running = Up(place, place / "data").start()
    yield running
    assert running.interrupt() == 0, "".join(running.lines)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start one of one's own, to stop or kill as the test likes."""
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(tmp_path, tmp_path / "data", arguments).start())
        return started[-1]

    yield start
    for one in started:
        if one.process is not None and one.process.poll() is None:
            one.interrupt()
