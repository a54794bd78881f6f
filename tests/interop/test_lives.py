"""The service, their user endpoint, their whole endpoint, and both at once die: nothing is lost, nothing runs twice.

Their endpoint acknowledges a task when its engine has accepted it, so the service knows which process took what, and
settles it when that process ends. What our endpoint does is in tests/delivery.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from tests.interop.held import hear, tell
from tests.interop.marked import SCRIPT, end, marking, send
from tests.interop.port import PATIENCE_S
from tests.witness import Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROGRAM = (str(Path(__file__).with_name("faulty_service.py")),)

LOST = "The user endpoint ended while the task was possibly running, and sent no result. It is not run again"


class Site:
    """A service that may fail, in the place of the one that all share, and an endpoint of theirs that may be killed."""

    def __init__(self, deployment, place):
        self.deployment = deployment
        self._fault = place / "fault"
        os.mkfifo(place / "reached")
        self._reached = os.open(place / "reached", os.O_RDWR)
        self.endpoint = deployment.new_endpoint("theirs", name="lives")
        self.endpoint.configure()
        self.start()
        self.endpoint.start()

    def start(self):
        self.deployment.start(PROGRAM, AFIELD_TEST_FAULT=str(self._fault))

    def arm(self, step):
        self._fault.write_text(step)

    def reached(self, step):
        assert os.read(self._reached, 4096).decode() == f"{step}\n"

    def client(self, whose, witness):
        """One that sends."""
        return self.deployment.scripts(whose).beside(SCRIPT, witness.place, ENDPOINT=self.endpoint.id)

    def running(self, witness):
        """A client of each kind, whose task runs and waits at the gate; the service knows that it was taken."""
        return marking(self.deployment, witness, [("ours", self.endpoint), ("theirs", self.endpoint)])

    def kill_endpoint(self):
        family = psutil.Process(self.endpoint.program.pid).children(recursive=True)
        self.endpoint.program.kill()
        for process in family:
            process.kill()
        psutil.wait_procs(family, PATIENCE_S)
        # Its owner is asked to do this: a fresh file may be that of an instance elsewhere.
        for file in self.endpoint.directory.parent.glob("*/daemon.pid"):
            file.unlink()

    def close(self):
        self.endpoint.stop()
        os.close(self._reached)


@pytest.fixture(scope="module")
def site(deployment, tmp_path_factory):
    deployment.without_their_endpoint()
    assert deployment.end() == 0
    one = Site(deployment, tmp_path_factory.mktemp("lives"))
    yield one
    one.close()
    assert deployment.end() == 0
    deployment.start()


@pytest.fixture
def witness(tmp_path):
    one = Witness(tmp_path / "witness")
    yield one
    one.close()


@pytest.mark.impossible(
    "RabbitMQ does not tell whether a task has left, and who acknowledged it. A published endpoint would run it twice, "
    "so it counts as taken, and fails when its user endpoint ends",
    deployment="production",
)
@pytest.mark.parametrize(
    ("step", "whose"),
    [
        ("service: tasks committed, not queued, not answered", "theirs"),
        ("service: tasks taken for good, written down", "ours"),
    ],
)
def test_the_service_dies(site, witness, step, whose):
    """the service dies at a step of a submit: the task runs, once"""
    # Dies once: a user endpoint of theirs ends when its connections break three times within ten seconds.
    site.arm(step)
    with site.client(whose, witness) as client:
        tell(client, 1)
        site.reached(step)
        assert site.deployment.program.wait() == -signal.SIGKILL
        site.start()
        witness.open_gate()
        hear(client)
        assert end([client]) == [[1]]
    assert witness.runs() == {1: 1}


def test_the_service_fails_after_it_has_accepted(site, whose_client, witness):
    """the service answers a submit with 500 after it has accepted it: sent again, the task runs once"""
    step = "service: tasks accepted, answered with 500"
    site.arm(step)
    witness.open_gate()
    with site.client(whose_client, witness) as client:
        tell(client, 1)
        site.reached(step)
        hear(client)
        send([client], 2)
        assert end([client]) == [[1, 2]]
    assert witness.runs() == {1: 1, 2: 1}


def test_their_user_endpoint_dies_while_a_task_runs(site, witness):
    """their user endpoint is killed while a task runs: the task fails, and says so; the next one runs"""
    with site.running(witness) as clients:
        for process in set(witness.saw(2)):
            os.kill(process, signal.SIGKILL)
        check_that_they_are_told(clients, witness)


@pytest.mark.parametrize("with_the_service", [False, True], ids=["alone", "with-the-service"])
def test_their_whole_endpoint_dies_while_a_task_runs(site, witness, with_the_service):
    """their endpoint is killed, alone or with the service, while a task runs: the same"""
    with site.running(witness) as clients:
        if with_the_service:
            site.deployment.end(signal.SIGKILL)
        site.kill_endpoint()
        if with_the_service:
            site.start()
        site.endpoint.start()
        check_that_they_are_told(clients, witness)


def check_that_they_are_told(clients, witness):
    """What ran has failed, and was run once; what is sent now is run."""
    witness.open_gate()
    send(clients, 2)
    for number, (failed, after) in enumerate(end(clients), 2):
        assert LOST in failed
        assert after == number
    assert witness.runs() == {0: 1, 1: 1, 2: 1, 3: 1}
