"""The main steps with the published endpoint, which acknowledges a task when its engine has accepted it: the service
knows which process took what, and settles it when that process ends.

Needs what the tests of tests/interop need.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from afield import Client, Executor
from afield.errors import EndpointLost
from afield.sdk.retry import Pace
from afield.serialize import PureSourceTextInspect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

#: Nothing takes longer; it only bounds a hang.
PATIENCE_S = 40
INTEROP = Path(__file__).parents[1] / "interop"


def _interop():
    spec = importlib.util.spec_from_file_location("interop_parts", INTEROP / "conftest.py")
    module = sys.modules["interop_parts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


interop = _interop()
the_port = interop.the_port


def leave_a_mark(place: str, number: int) -> int:
    """The task: write down that it runs, say so, and wait at the gate."""
    import os
    from pathlib import Path

    with Path(place, "runs").open("a") as runs:
        runs.write(f"{number}\n")
    with Path(place, "marks").open("w") as marks:
        marks.write(f"{os.getpid()}\n")
    Path(place, "gate").open().close()
    return number


class Place:
    """A service that may die at a step, on the port that published endpoints know, and one of theirs."""

    def __init__(self, place, parts):
        self._fault = place / "fault"
        os.mkfifo(place / "reached")
        self._reached = os.open(place / "reached", os.O_RDWR)
        self.service = parts.Part(
            lambda: [sys.executable, str(parts.PROGRAMS / "faulty_service.py"), str(place / "data"),
                     str(interop.PORT), str(self.amqp_port)],
            parts.clean_environment(AFIELD_TEST_FAULT=str(self._fault)),
            place / "service.log",
        )  # fmt: skip
        self.amqp_port = parts.free_port()
        self.service.start()
        self.known = {"token": self.service.said["token"]}
        self._auth = subprocess.Popen([sys.executable, str(INTEROP / "auth_stand_in.py")], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)  # fmt: skip
        who = {"token": self.known["token"], "identity_id": self.service.said["owner"]}
        self._auth.stdin.write(json.dumps(who) + "\n")
        self._auth.stdin.flush()
        theirs = place / "theirs"
        theirs.mkdir()
        address = self._auth.stdout.readline().strip()
        self.endpoint = interop.PublishedEndpoint(self, theirs, address, interop._unprivileged())
        self.endpoint.configure()
        self.endpoint.start()
        self.client = Client(service_url=self.service.said["service_url"], token=self.known["token"],
                             code_serialization_strategy=PureSourceTextInspect(), pace=Pace(longest_s=0.2))  # fmt: skip

    def ask(self, method, path, body):
        request = urllib.request.Request(
            f"http://127.0.0.1:{interop.PORT}{path}", json.dumps(body).encode(), method=method,
            headers={"Authorization": f"Bearer {self.known['token']}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def arm(self, step):
        self._fault.write_text(step)

    def reached(self, step):
        assert os.read(self._reached, 4096).decode() == f"{step}\n"
        self.service.died()

    def until_taken(self, task):
        """Wait until their endpoint has acknowledged it, half a second after it began: nobody is told, so this asks."""
        while self.client.get_task(task.task_id)["status"] != "waiting-for-launch":
            assert not task.done()

    @contextmanager
    def executor(self):
        # Not `with Executor`: where a test fails, its tasks wait at the gate.
        executor = Executor(self.endpoint.id, client=self.client)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)

    def kill_endpoint(self):
        family = psutil.Process(self.endpoint.process.pid).children(recursive=True)
        for process in [*family, psutil.Process(self.endpoint.process.pid)]:
            process.kill()
        psutil.wait_procs(family, PATIENCE_S)
        self.endpoint.process.wait(PATIENCE_S)
        # Its owner is asked to do this: a fresh file may be that of an instance elsewhere.
        for file in (self.endpoint.place / "globus").glob("*/daemon.pid"):
            file.unlink()

    def close(self):
        self.client.close()
        self.endpoint.stop()
        self._auth.stdin.close()
        self._auth.wait(PATIENCE_S)
        self._auth.stdout.close()
        self.service.stop()
        os.close(self._reached)


@pytest.fixture(scope="module")
def place(the_port, tmp_path_factory, parts):
    one = Place(tmp_path_factory.mktemp("lives"), parts)
    yield one
    one.close()


@pytest.mark.parametrize(
    "step", ["service: tasks committed, not queued, not answered", "service: tasks taken for good, written down"]
)
def test_the_service_dies(place, witness, step):
    place.arm(step)
    with place.executor() as executor:
        task = executor.submit(leave_a_mark, witness.place, 1)
        place.reached(step)
        place.service.start()
        witness.open_gate()
        assert task.result(PATIENCE_S) == 1
    assert witness.runs() == {1: 1}


def test_their_user_endpoint_dies_while_a_task_runs(place, witness):
    with place.executor() as executor:
        running = executor.submit(leave_a_mark, witness.place, 1)
        [process] = witness.saw(1)
        place.until_taken(running)
        os.kill(process, signal.SIGKILL)
        witness.open_gate()
        after = executor.submit(leave_a_mark, witness.place, 2)
        assert after.result(PATIENCE_S) == 2
        assert isinstance(running.exception(PATIENCE_S), EndpointLost)
    assert witness.runs() == {1: 1, 2: 1}


def test_their_whole_endpoint_dies_while_a_task_runs(place, witness):
    with place.executor() as executor:
        running = executor.submit(leave_a_mark, witness.place, 1)
        witness.saw(1)
        place.until_taken(running)
        place.kill_endpoint()
        witness.open_gate()
        place.endpoint.start()
        assert isinstance(running.exception(PATIENCE_S), EndpointLost)
        assert executor.submit(leave_a_mark, witness.place, 2).result(PATIENCE_S) == 2
    assert witness.runs() == {1: 1, 2: 1}


def test_the_service_and_their_endpoint_die_while_a_task_runs(place, witness):
    with place.executor() as executor:
        running = executor.submit(leave_a_mark, witness.place, 1)
        witness.saw(1)
        place.until_taken(running)
        place.service.kill()
        place.kill_endpoint()
        witness.open_gate()
        place.service.start()
        place.endpoint.start()
        assert isinstance(running.exception(PATIENCE_S), EndpointLost)
    assert witness.runs() == {1: 1}
