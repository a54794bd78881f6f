"""Who is not to come in any more, and connections that end by themselves."""

from __future__ import annotations

import pytest
from tests.interop.held import hear, tell
from tests.interop.marked import end, marking, send
from tests.witness import Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def witness(tmp_path):
    one = Witness(tmp_path / "witness")
    yield one
    one.close()


@pytest.mark.impossible("the broker is in the service, and restarts with it", deployment="embedded")
def test_the_broker_restarts(deployment, witness):
    """the broker restarts while tasks run, of both clients on both endpoints: none is lost, none runs twice"""
    cells = [(whose, deployment.endpoint(one)) for whose in ("ours", "theirs") for one in ("ours", "theirs")]
    with marking(deployment, witness, cells) as clients:
        deployment.node.stop()
        try:
            witness.open_gate()  # they end while there is no broker
        finally:
            deployment.node.start()
        send(clients, 4)
        assert end(clients) == [[number, number + 4] for number in range(4)]
    assert witness.runs() == dict.fromkeys(range(8), 1)


def test_a_client_is_deleted(deployment, whose_endpoint):
    """the client as which scripts and an endpoint act is deleted: they are cut off, told so, and stay out"""
    credentials = deployment.make_client(f"short lived {whose_endpoint}")
    one = deployment.new_endpoint(whose_endpoint, name="short", credentials=credentials)
    one.configure()
    one.start()
    ours, theirs = (deployment.scripts(whose, credentials) for whose in ("ours", "theirs"))
    with ours.beside(OFTEN, ENDPOINT=one.id) as first, theirs.beside(OFTEN, ENDPOINT=one.id) as second:
        assert [hear(first), hear(second)] == [8, 8]
        deployment.owners_command("client", "delete", credentials[0])
        assert one.program.wait() == (69 if whose_endpoint == "ours" else 0)
        for client in (first, second):
            tell(client, "go on")
        assert "This service does not know the client" in hear(first)
        assert "401" in hear(second)
    refused = one.run("start", one.name)
    assert refused.returncode == 77  # EX_NOPERM, of both
    assert "This service does not know the client" in refused.stdout + refused.stderr


#: The same executor, again and again.
OFTEN = """
    ex = Executor(endpoint)
    said(ex.submit(pow, 2, 3).result(50))
    sys.stdin.readline()
    said(outcome(ex.submit(pow, 2, 4)))
    os._exit(0)
"""
