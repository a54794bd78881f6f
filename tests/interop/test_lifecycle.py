"""Endpoints come and go: before their tasks, after them, from afar, twice, for good, and for a while."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest
from tests.interop.deployments import Deployment
from tests.interop.endpoints import Endpoint, Files
from tests.interop.held import hear
from tests.interop.marked import end, marking, send
from tests.interop.port import PATIENCE_S, unprivileged
from tests.witness import Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SENT = """
    client = Client()
    batch = client.create_batch()
    batch.add(client.register_function(pow), args=(2, 10))
    sent = client.batch_run(endpoint, batch)
    ((task,),) = sent["tasks"].values()
    said(client.get_task(task)["status"])
    with Executor(endpoint, task_group_id=sent["task_group_id"]) as ex:
        (future,) = ex.reload_tasks()
        said(outcome(future))
"""
ONE = """
    with Executor(endpoint) as ex:
        said(ex.submit(os.getpid).result(50))
"""
#: Four tasks, two of which it cancels.
CANCELS = """
    def leave_a_mark(place, number):
        with open(place + "/runs", "a") as runs:
            runs.write(f"{number}\\n")
        return number
    with Executor(endpoint) as ex:
        futures = [ex.submit(leave_a_mark, sys.argv[1], number) for number in range(4)]
        while not all(f.task_id for f in futures):
            os.sched_yield()
        for f in futures[1:3]:
            f.cancel()
        while not all(f.done() for f in futures[1:3]):
            os.sched_yield()
        said([f.cancelled() for f in futures[1:3]])
        said([f.result(50) for f in (futures[0], futures[3])])
"""

OWN = Files(
    template="""\
engine:
  type: ThreadPoolEngine
heartbeat_period: 5
idle_heartbeats_soft: 1
idle_heartbeats_hard: 60
"""
)


@pytest.fixture(scope="module")
def owned() -> dict[tuple[Deployment, str], Endpoint]:
    """Endpoints of this file's own, by where and whose they are."""
    return {}


@pytest.fixture
def one(owned, deployment, whose_endpoint):
    """An endpoint that tests may do things to; it runs when a test begins."""
    found = owned.get((deployment, whose_endpoint))
    if found is None:
        found = owned[deployment, whose_endpoint] = deployment.new_endpoint(whose_endpoint, OWN, name="own")
        found.configure()
    if found.program is None or not found.program.runs:
        found.start()
    return found


class OfSomebodyElse(Endpoint):
    """One that says that it is another local user's, as an instance on another machine would."""

    def _command(self, *arguments):
        command = super()._command(*arguments)
        at = len(unprivileged()) if self.whose == "theirs" else 0
        return [*command[:at], "unshare", "--user", "--map-user=1", "--map-group=1", *command[at:]]

    def environment(self):
        return super().environment() | {"LOGNAME": "daemon"}


@pytest.fixture
def witness(tmp_path):
    one = Witness(tmp_path / "witness")
    yield one
    one.close()


@contextmanager
def sent(deployment, one):
    """A client of each kind, that has sent a task to an endpoint that is not there."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(deployment.scripts(whose).beside(SENT, ENDPOINT=one.id)) for whose in ("ours", "theirs")
        ]
        assert heard(clients) == ["waiting-for-ep"] * 2
        yield clients


def heard(clients):
    """A line of each."""
    return [hear(client) for client in clients]


def family_of(one):
    process = psutil.Process(one.program.pid)
    return [process, *process.children(recursive=True)]


def status_of(deployment, one):
    return deployment.ask("GET", f"/v2/endpoints/{one.id}/status")["status"]


def until_it_is(deployment, one, wanted):
    """Nobody is told of it, so this asks, now and then, unless the service ends."""
    while status_of(deployment, one) != wanted:
        with pytest.raises(subprocess.TimeoutExpired):
            deployment.program.process.wait(0.2)


def test_tasks_wait_for_an_endpoint(deployment, whose_endpoint):
    """tasks wait for an endpoint that was never up, and for one that was stopped; if it is deleted, they fail"""
    one = deployment.new_endpoint(whose_endpoint, name="late")
    one.configure()
    one.id = deployment.ask("POST", "/v3/endpoints", {"endpoint_name": "late"})["endpoint_id"]
    for _ in range(2):
        with sent(deployment, one) as clients:
            one.start("--endpoint-uuid", one.id)
            assert heard(clients) == [1024, 1024]
        assert status_of(deployment, one) == "online"
        assert one.stop() == 0
        assert status_of(deployment, one) == "offline"
    with sent(deployment, one) as clients:
        deleted = one.run("delete", one.name, "--yes")
        assert deleted.returncode == 0, deleted.stderr
        assert ["Endpoint 'late' " in failure and "was deleted" in failure for failure in heard(clients)] == [True] * 2
    assert not one.directory.exists()


def test_a_second_one_is_refused(deployment, one):
    """a second instance of an endpoint that runs is refused, elsewhere and here, and the first goes on"""
    place = one.place.with_name(f"{one.place.name}-second")
    second = OfSomebodyElse(one.whose, "second", place, deployment.credentials)
    second.configure()
    refused = second.run("start", "second", "--endpoint-uuid", one.id)
    assert refused.returncode == 69  # EX_UNAVAILABLE, of both
    assert f"Endpoint {one.id} is in use: it runs as " in refused.stdout + refused.stderr
    assert one.run("start", one.name).returncode == 73  # EX_CANTCREAT, of both
    assert deployment.scripts("theirs").run(ONE, ENDPOINT=one.id)


def test_stopped_from_afar(deployment, one):
    """stopped from afar, it ends and stays out until it is unlocked; then it is the same endpoint"""
    before = one.id
    # Theirs looks for its own process, too, and is content with no end that takes ten seconds, as theirs then does.
    one.run("stop", one.name, "--remote")
    assert one.program.wait() == (69 if one.whose == "ours" else 0)
    assert status_of(deployment, one) == "offline"
    refused = one.run("start", one.name)
    assert refused.returncode == 69
    assert "was stopped remotely and stays locked" in refused.stdout + refused.stderr
    unlocked = deployment.scripts("ours").command("afield", "endpoint", "unlock", one.id)
    assert unlocked.returncode == 0, unlocked.stderr
    one.start()
    assert one.id == before
    assert deployment.scripts("theirs").run(ONE, ENDPOINT=one.id)


def test_an_idle_user_endpoint_ends_and_the_next_task_revives_it(deployment, whose_endpoint, one):
    """a user endpoint with nothing to do ends by itself, and the next task starts it again"""
    ours, theirs = deployment.scripts("ours"), deployment.scripts("theirs")
    [process] = ours.run(ONE, ENDPOINT=one.id)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(process).wait(PATIENCE_S)
    [another] = theirs.run(ONE, ENDPOINT=one.id)
    assert another != process


@pytest.mark.impossible(
    "its main loop waits in SimpleQueue.get(timeout=1), and where a signal interrupts that after its time, CPython "
    "3.11 goes on without a limit: it runs tasks, and sends no heartbeat before its next command",
    endpoint="theirs",
)
def test_the_heartbeats_stop_for_a_while(deployment, whose_endpoint, witness):
    """an endpoint falls asleep with a task under way (SIGSTOP): it is shown offline; awake, all run once"""
    endpoint = deployment.endpoint(whose_endpoint)
    with marking(deployment, witness, [("theirs", endpoint), ("ours", endpoint)]) as clients:
        asleep = family_of(endpoint)
        for process in asleep:
            process.suspend()
        try:
            witness.open_gate()
            until_it_is(deployment, endpoint, "offline")
            send(clients, 2)
        finally:
            for process in asleep:
                process.resume()
        until_it_is(deployment, endpoint, "online")
        assert end(clients) == [[0, 2], [1, 3]]
    assert witness.runs() == {0: 1, 1: 1, 2: 1, 3: 1}


@pytest.mark.impossible("their client cannot cancel what it has sent", client="theirs")
def test_cancelled_while_its_endpoint_is_away(deployment, whose_client, whose_endpoint, one, witness):
    """tasks that are cancelled while their endpoint is stopped do not run when it is back; the others do"""
    assert deployment.scripts(whose_client).run(ONE, ENDPOINT=one.id)
    assert one.stop() == 0
    with deployment.scripts(whose_client).beside(CANCELS, witness.place, ENDPOINT=one.id) as client:
        assert hear(client) == [True, True]
        one.start()
        assert hear(client) == [0, 3]
    assert witness.runs() == {0: 1, 3: 1}


def test_deleted(deployment, owned, one, witness):
    """deleted while it runs: its process ends, what runs gets an answer, and nobody knows it any more"""
    with marking(deployment, witness, [("ours", one), ("theirs", one)]) as clients:
        del owned[deployment, one.whose]
        deployment.ask("DELETE", f"/v2/endpoints/{one.id}")
        witness.open_gate()
        assert one.program.wait() == (69 if one.whose == "ours" else 0)
        assert "ACCESS_REFUSED" in (one.directory / "endpoint.log").read_text() or "it was deleted" in one.program.said
        send(clients, 2)
        for running, late in end(clients):
            assert "was deleted" in running
            assert f"There is no endpoint {one.id} here" in late
    refused = one.run("start", one.name)
    assert refused.returncode == (78 if one.whose == "ours" else 69)
    assert f"no endpoint {one.id}" in refused.stdout + refused.stderr
    assert set(witness.runs()) == {0, 1}
