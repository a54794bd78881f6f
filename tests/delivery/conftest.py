"""Real processes that die when a test says so: a service, an endpoint's manager, its user endpoints and workers."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.witness import Witness

from afield import Client, Executor
from afield.sdk.retry import Pace
from afield.serialize import PureSourceTextInspect

#: Nothing here takes longer than this; it only bounds a hang.
PATIENCE_S = 30
PROGRAMS = Path(__file__).parent / "programs"


def clean_environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}
    return kept | more


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@dataclass
class Part:
    """One process that can be started again."""

    command: Callable[[], list[str]]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[str] | None = None
    said: dict[str, Any] = field(default_factory=dict)

    def start(self) -> Part:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command(), env=self.environment, stdout=subprocess.PIPE, stderr=log,
                                            text=True, start_new_session=True)  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait()}:\n{self.log.read_text()[-3000:]}"
        self.said = json.loads(line)
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.died()

    def died(self) -> None:
        """Wait until it has ended as if by kill -9."""
        assert self.process is not None
        assert self.process.wait(PATIENCE_S) == -signal.SIGKILL
        self.process.stdout.close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process.stdout.close()


class Site:
    """A service and an endpoint on ports that stay theirs, and somebody who submits."""

    def __init__(self, place: Path) -> None:
        self._fault = place / "fault"
        os.mkfifo(place / "reached")
        self._reached = os.open(place / "reached", os.O_RDWR)
        ports = [str(free_port()), str(free_port())]
        environment = clean_environment(AFIELD_USER_DIR=str(place / "user"), AFIELD_TEST_FAULT=str(self._fault))
        self.service = Part(
            lambda: [sys.executable, str(PROGRAMS / "faulty_service.py"), str(place / "data"), *ports],
            environment,
            place / "service.log",
        ).start()
        url, token = self.service.said["service_url"], self.service.said["token"]
        self.manager = Part(
            lambda: [sys.executable, str(PROGRAMS / "faulty_endpoint.py"), str(place / "endpoint"), url],
            environment | {"AFIELD_TEST_TOKEN": token},
            place / "endpoint.log",
        ).start()
        # As source: workers cannot import a module of tests.
        self.client = Client(
            service_url=url, token=token, code_serialization_strategy=PureSourceTextInspect(), pace=Pace(longest_s=0.2)
        )

    def arm(self, step: str) -> None:
        """Whoever reaches this step next dies there."""
        self._fault.write_text(step)

    def reached(self, step: str) -> None:
        """Wait until somebody has died there."""
        ready, _, _ = select.select([self._reached], [], [], PATIENCE_S)
        assert ready, f"nobody came to: {step}"
        assert os.read(self._reached, 4096).decode() == f"{step}\n"

    def executor(self, config: str) -> Executor:
        """With a user endpoint of its own for each configuration."""
        return Executor(
            self.manager.said["endpoint_id"], client=self.client,
            user_endpoint_config={"max_workers": 1, "which": config},
        )  # fmt: skip

    def kill_tree(self) -> None:
        """The endpoint's whole machine goes: manager, user endpoints, workers."""
        family = psutil.Process(self.manager.process.pid).children(recursive=True)
        for process in [*family, self.manager.process]:
            process.kill()
        psutil.wait_procs(family, PATIENCE_S)
        self.manager.died()

    def agent_of(self, worker: int) -> psutil.Process:
        """The user endpoint's process above a worker."""
        manager = self.manager.process.pid
        [agent] = [one for one in psutil.Process(worker).parents() if one.ppid() == manager]
        return agent

    def close(self) -> None:
        self.client.close()
        self.manager.stop()
        self.service.stop()
        os.close(self._reached)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(tmp_path_factory.mktemp("site"))
    yield one
    one.close()


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    one = Witness(tmp_path / "witness")
    yield one
    one.close()
