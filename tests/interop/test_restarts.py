"""A service that ends and comes back while tasks run.

All four pairs of a client and an endpoint live through the same restart: an endpoint of theirs gives up when its
channel is closed three times within ten seconds.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from tests.interop.held import Held, hear, tell

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PAIRS = tuple(product(("ours", "theirs"), repeat=2))


@pytest.fixture
def clients(deployment, tmp_path: Path) -> Iterator[list[tuple[Held, object]]]:
    """Of each pair the script, and the two tasks of it that run until they are let go."""
    with ExitStack() as stack:
        found = []
        for whose_client, whose_endpoint in PAIRS:
            held = Held(tmp_path / f"{whose_client}-{whose_endpoint}")
            stack.callback(held.close)
            endpoint = deployment.endpoint(whose_endpoint)
            script = deployment.scripts(whose_client).beside(held.script, ENDPOINT=endpoint.id)
            found.append((held, stack.enter_context(script)))
        for held, client in found:
            tell(client, held.place)
        for held, client in found:
            for task in held.wait_until_they_run(client):
                if deployment.node is None:  # a RabbitMQ knows it by itself, and outlives the service
                    until_taken(deployment, task)
        yield found


def until_taken(deployment, task: str) -> None:
    """Wait until their endpoint has acknowledged it, half a second after it began: nobody is told, so this asks.

    Before that, a service that is killed cannot know that it has begun.
    """
    while deployment.ask("GET", f"/v2/tasks/{task}")["status"] not in {"waiting-for-launch", "running"}:
        pass


def all_went_well(clients) -> None:
    for held, client in clients:
        tell(client, "go on")
        assert hear(client) == [0, 1]
        # It was sent after whatever was queued again.
        assert hear(client) == 8
        assert held.ran_again() == ""


def test_a_service_is_stopped_and_comes_back(deployment, clients):
    """a service is stopped and comes back while tasks run: none is lost, none runs twice"""
    assert deployment.end(signal.SIGINT) == 0
    deployment.start()
    for held, _ in clients:
        held.let_go()
    all_went_well(clients)


def test_a_service_is_killed_and_tasks_end_while_it_is_away(deployment, clients):
    """a service is killed, tasks end while it is away, and it comes back: none is lost, none runs twice"""
    deployment.end(signal.SIGKILL)
    for held, _ in clients:
        held.let_go()
    deployment.start()
    all_went_well(clients)
