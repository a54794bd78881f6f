"""The unmodified published packages with a service as an institution runs it: PostgreSQL, RabbitMQ, sign-in by token.

What they can do is in test_published.py; here is a choice of it, for the queues and their logins are other ones. Needs
what that needs, a RabbitMQ that can be started, and AFIELD_TEST_POSTGRES.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from afield.ids import new_id
from afield.testing.rabbitmq_node import RabbitNode, rabbitmq_is_installed, rabbitmq_node

pytestmark = [pytest.mark.e2e, pytest.mark.rabbitmq, pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    """A RabbitMQ of our own."""
    if not rabbitmq_is_installed():
        pytest.skip("needs RabbitMQ and Erlang on this machine (Debian: rabbitmq-server); it need not run")
    directory = Path(tempfile.mkdtemp(prefix="afield-rabbit-"))
    try:
        with rabbitmq_node(directory) as running:
            yield running
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A fresh database, gone afterwards."""
    url = os.environ.get("AFIELD_TEST_POSTGRES")
    if not url:
        pytest.skip("needs a PostgreSQL: set AFIELD_TEST_POSTGRES to its URL")
    import asyncpg

    name = "afield_test_" + new_id().replace("-", "")

    async def do(statement: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(do(f'CREATE DATABASE "{name}" TEMPLATE template0'))
    yield url.rsplit("/", 1)[0] + "/" + name
    asyncio.run(do(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="module")
def service(make_service, database, node):
    """In the place of the embedded one: the fixtures that build on it build on this."""
    where = ("--database", database, "--broker", node.url, "--broker-api", node.api, "--database-connections", "3")
    one = make_service()
    one.command = ("serve", "--data", str(one.place / "data"), "--port", "5000", *where)
    one.start()
    try:
        one.start_endpoint()
        yield one
    finally:
        one.end_endpoint()
        status = one.end()
    assert status == 0


SCRIPT = """
    def double(x):
        return 2 * x
    def refuse(x):
        raise ValueError(f"not {x}")
    with executor() as ex:
        several = [ex.submit(double, i) for i in range(200)]
        argument, result = ex.submit(len, "y" * 5_000_000), ex.submit(lambda n: "x" * n, 5_000_000)
        refused = ex.submit(refuse, 1)
        said([f.result(50) for f in several])
        said([argument.result(50), len(result.result(50))])
        said(outcome(refused))
"""


def check(answers):
    values, large, failure = answers
    assert values == [2 * i for i in range(200)]
    assert large == [5_000_000, 5_000_000]
    assert "ValueError: not 1" in failure


def test_their_client_on_our_endpoint_in_production(service):
    check(service.theirs(SCRIPT))


def test_their_client_on_their_endpoint_in_production(service, published_endpoint):
    check(service.theirs(SCRIPT, endpoint=published_endpoint.id))


OURS = """
import json, os
from afield import Executor
def double(x):
    return 2 * x
def refuse(x):
    raise ValueError(f"not {x}")
def outcome(future):
    error = future.exception(50)
    return future.result() if error is None else f"{type(error).__name__}: {error}"
def said(value):
    print(json.dumps(value))
with Executor(os.environ["ENDPOINT"]) as ex:
    several = [ex.submit(double, i) for i in range(200)]
    argument, result = ex.submit(len, "y" * 5_000_000), ex.submit(lambda n: "x" * n, 5_000_000)
    refused = ex.submit(refuse, 1)
    said([f.result(50) for f in several])
    said([argument.result(50), len(result.result(50))])
    said(outcome(refused))
"""


def test_our_client_on_both_endpoints_in_production(service, published_endpoint):
    check(service.ours(OURS))
    check(service.ours(OURS, endpoint=published_endpoint.id))


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_another_process_reloads_the_tasks_in_production(service, published_endpoint, whose):
    endpoint = published_endpoint.id if whose == "theirs" else None
    (group,) = service.theirs(
        """
        ex = executor()
        def more(x):
            return x + 1
        futures = [ex.submit(more, i) for i in range(20)] + [ex.submit(lambda: 1 / 0)]
        futures[-1].exception(50)  # so all have been sent
        said(str(ex.task_group_id))
        os._exit(0)  # without a look at the rest
        """,
        endpoint=endpoint,
    )
    fine, failed = service.theirs(
        """
        with executor(task_group_id=sys.argv[1]) as ex:
            outcomes = [outcome(f) for f in ex.reload_tasks()]
            said(sorted(one for one in outcomes if isinstance(one, int)))
            said([one for one in outcomes if isinstance(one, str)])
        """,
        group,
        endpoint=endpoint,
    )
    assert fine == list(range(1, 21))
    assert len(failed) == 1
    assert "ZeroDivisionError" in failed[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_service_that_restarts_in_production_loses_and_doubles_nothing(
    service, published_endpoint, held, whose, number
):
    with service.theirs_beside(held.script, published_endpoint.id if whose == "theirs" else None) as client:
        held.tell(client, held.place)
        held.wait_until_they_run(client)
        service.end(number)
        held.let_go()  # they end while nobody is there to hear it
        service.start()
        held.tell(client, "go on")
        assert client.stdout.readline() == "[0, 1]\n"
        assert client.stdout.readline() == "8\n"
    assert held.ran_again() == ""
