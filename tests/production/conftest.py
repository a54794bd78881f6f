"""A RabbitMQ of our own, and databases of our own, for services as an institution runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest
from tests.databases import database
from tests.rabbitmq import own_node

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Connection, Delivery, Permissions, Publication
from afield.broker.rabbitmq.admin import RabbitAdmin
from afield.broker.rabbitmq.api import ManagementApi
from afield.broker.rabbitmq.rights import rights
from afield.broker.rabbitmq.steady import SteadyConnection
from afield.service.app import Running, Service
from afield.service.settings import Limits, Settings
from afield.testing.broker import BrokerUnderTest
from afield.testing.rabbitmq_node import RabbitNode
from afield.wire import codec, v1, v2
from afield.wire.commands import QueueCredentials, WriteQueue, decode_command
from afield.wire.messages import Report, Result, Task
from afield.wire.rest import EndpointRegistered

#: Nothing here takes longer, in seconds; it only bounds a hang.
PATIENCE_S = 30.0


@pytest.fixture(scope="session")
def node() -> Iterator[RabbitNode]:
    """A RabbitMQ with the management API, for all tests of this process."""
    with own_node() as running:
        yield running


@pytest.fixture
async def vhost(node: RabbitNode) -> AsyncIterator[str]:
    """A virtual host of this test's own, on the shared node."""
    name = f"test-{uuid4().hex[:8]}"
    api = ManagementApi(node.api)
    await api._ask("PUT", f"/vhosts/{name}")
    await api._ask("PUT", f"/permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    yield name
    await api._ask("DELETE", f"/vhosts/{name}")
    await api.close()


@pytest.fixture
async def postgres_url() -> AsyncIterator[str]:
    """An empty database."""
    async with database(flushed=False) as url:
        yield url


@pytest.fixture(params=["classic", "quorum"])
async def broker(request: pytest.FixtureRequest, node: RabbitNode, vhost: str) -> AsyncIterator[BrokerUnderTest]:
    """The real administration of a RabbitMQ, with logins that it keeps."""
    url = f"amqp://guest:guest@127.0.0.1:{node.port}/{vhost}"
    root, api = SteadyConnection(url), ManagementApi(node.api, vhost)
    await root.open()

    async def connect(permissions: Permissions | None) -> Connection:
        if permissions is None:
            return await AmqpConnector().connect(url)
        await api.put_user(permissions.name, "s3cret", rights(permissions))
        return await AmqpConnector().connect(f"amqp://{permissions.name}:s3cret@127.0.0.1:{node.port}/{vhost}")

    admin = RabbitAdmin(root.up, api, request.param)
    lacks = {"confirm_on_ack", "inspect"} | ({"exclusive", "unbounded"} if request.param == "quorum" else set())
    yield (under_test := BrokerUnderTest(admin, connect, pytest.skip, lacks=frozenset(lacks)))
    await under_test.clean_up()
    await root.close()
    await api.close()


# -- services ----------------------------------------------------------------------------------------------------------

PAYLOAD = "2\nar2\nkw"
SOURCE = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}


class Peer:
    """Whoever consumes one queue."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    @classmethod
    async def connect(cls, url: str, queue: str, *, exclusive: bool = False) -> Peer:
        peer = cls(await AmqpConnector().connect(url))
        peer.consumer = await peer.connection.consume(queue, peer.deliveries.put_nowait, exclusive=exclusive)
        return peer

    async def publish(self, info: WriteQueue, body: bytes) -> None:
        arguments = info.queue_publish_kwargs
        await self.connection.publish(Publication(arguments["exchange"], arguments["routing_key"], body))

    async def next(self) -> Delivery:
        async with asyncio.timeout(PATIENCE_S):
            return await self.deliveries.get()


@dataclass
class UserEndpoint:
    """Plays a user endpoint's process."""

    peer: Peer
    credentials: QueueCredentials
    #: (tag of its message, task)
    tasks: list[tuple[int, Task]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.credentials.endpoint_id

    async def report(self, **state: object) -> None:
        said = {"heartbeat_period": 30, "active": True} | state
        await self.peer.publish(self.credentials.heartbeat_queue_info, v1.encode_report(Report(self.id, said)))

    async def take(self, count: int) -> list[Task]:
        """So many tasks, in order; more may have come with them."""
        while len(self.tasks) < count:
            delivery = await self.peer.next()
            for task in codec.decode(delivery.body, delivery.properties.headers):
                self.tasks.append((delivery.tag, task))
        return [task for _, task in self.tasks[:count]]

    def done(self) -> None:
        """Acknowledge all that came."""
        self.peer.consumer.ack(self.tasks[-1][0], multiple=True)
        self.tasks.clear()

    async def send(self, *results: Result, wire: int = 2) -> None:
        bodies = [v2.encode_results(results)] if wire == 2 else [v1.encode_result(one) for one in results]
        for body in bodies:
            await self.peer.publish(self.credentials.result_queue_info, body)


@dataclass
class CoreEndpoint:
    """Plays a core endpoint's process."""

    registered: EndpointRegistered
    peer: Peer

    @property
    def id(self) -> str:
        return self.registered.endpoint_id

    async def report(self, **state: object) -> None:
        said = {"heartbeat_period": 30} | state
        await self.peer.publish(self.registered.heartbeat_queue_info, v1.encode_report(Report(self.id, said)))

    async def start(self) -> UserEndpoint:
        """Do what the next command says; the new process has not reported yet."""
        credentials = decode_command((await self.peer.next()).body).kwargs.amqp_creds
        info = credentials.task_queue_info
        return UserEndpoint(await Peer.connect(info.connection_url, info.queue, exclusive=True), credentials)


class Site:
    """One service that is up, and somebody who uses it."""

    def __init__(self, service: Service, running: Running) -> None:
        self.service, self.running = service, running
        headers = {"Authorization": f"Bearer {running.token}"}
        self.http = httpx2.AsyncClient(base_url=running.service_url, headers=headers, timeout=60)

    async def stop(self) -> None:
        await self.http.aclose()
        await self.service.stop()

    async def post(self, path: str, body: dict[str, object], **headers: str) -> Any:
        answer = await self.http.post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def get(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def function(self) -> str:
        return str((await self.post("/v3/functions", SOURCE))["function_uuid"])

    async def register(self, endpoint_id: str | None = None, wire: int = 2) -> EndpointRegistered:
        metadata = {"hostname": "lab", "local_user": "ada"} | ({"afield_wire": 2} if wire == 2 else {})
        body = {"endpoint_name": "e", "metadata": metadata}
        if endpoint_id is None:
            return msgspec.convert(await self.post("/v3/endpoints", body), EndpointRegistered)
        answer = await self.http.put(f"/v3/endpoints/{endpoint_id}", json=body)
        assert answer.status_code == 200, answer.text
        return msgspec.convert(answer.json(), EndpointRegistered)

    async def core(self, wire: int = 2, endpoint_id: str | None = None) -> CoreEndpoint:
        """A core endpoint that has registered here; it has not reported."""
        registered = await self.register(endpoint_id, wire)
        info = registered.command_queue_info
        return CoreEndpoint(registered, await Peer.connect(info.connection_url, info.queue))

    async def status(self, endpoint_id: str) -> str:
        return str((await self.get(f"/v2/endpoints/{endpoint_id}/status"))["status"])

    async def until(self, endpoint_id: str, status: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.status(endpoint_id) != status:
                await asyncio.sleep(0)

    async def submit(self, endpoint_id: str, function_id: str, count: int = 1, wire: int = 2, **more: Any) -> Any:
        headers = {"X-Afield-Wire": "2"} if wire == 2 else {}
        body = {"tasks": {function_id: [PAYLOAD] * count}, "create_queue": True, **more}
        return await self.post(f"/v3/endpoints/{endpoint_id}/submit", body, **headers)

    async def watch(self, accepted: dict[str, Any]) -> Peer:
        where = await self.get("/v2/get_amqp_result_connection_url")
        return await Peer.connect(where["connection_url"], where["queue_prefix"] + accepted["task_group_id"])

    async def states(self, task_ids: list[str]) -> dict[str, str]:
        found = await self.post("/v2/batch_status", {"task_ids": task_ids})
        return {one: about["status"] for one, about in found["results"].items()}


@pytest.fixture
def limits() -> Limits:
    """Quick rounds."""
    return Limits(watch_s=0.2, grace_s=0.5)


@pytest.fixture
async def site(
    tmp_path: Path, postgres_url: str, node: RabbitNode, vhost: str, limits: Limits
) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """Starts services that belong together; those that are left are stopped afterwards."""
    sites: list[Site] = []

    async def start(secret: str = "5e" * 32, **settings: Any) -> Site:
        data_dir = tmp_path / f"data{len(sites)}"
        data_dir.mkdir()
        (data_dir / "secret").write_text(secret)
        service = Service(settings.pop("clock", None))
        running = await service.start(
            Settings(
                data_dir=data_dir,
                port=0,
                database=settings.pop("database", postgres_url),
                broker=f"amqp://guest:guest@127.0.0.1:{node.port}/{vhost}",
                broker_api=settings.pop("broker_api", node.api),
                database_connections=3,
                limits=limits,
                **settings,
            )
        )
        sites.append(Site(service, running))
        return sites[-1]

    yield start
    for one in sites:
        await one.stop()
