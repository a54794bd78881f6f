"""The whole service in one process: HTTP, queues over sockets, SQLite."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import time

import httpx2
import msgspec
import pytest

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Connection, Delivery, Publication
from afield.broker.memory import MemoryBroker
from afield.errors import BrokerRefused, ConfigurationError, DataDirectoryError
from afield.service.api.edge import Edge
from afield.service.app import Running, Service
from afield.service.auth.queue_logins import QueueLogins
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import SystemClock
from afield.service.domain.people import IdentityRecord, TokenKind
from afield.service.domain.records import FinishedTask, FunctionRecord, TaskView
from afield.service.settings import Limits, Settings
from afield.service.store.factory import open_store
from afield.service.store.memory import MemoryStore
from afield.service.use.assemble import assemble
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.wire import codec, v1, v2
from afield.wire.commands import QueueCredentials, decode_command
from afield.wire.messages import Report, Result
from afield.wire.rest import EndpointRegistered

pytestmark = pytest.mark.anyio

PAYLOAD = "2\nar2\nkw"
SOURCE = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}


class JumpingClock(SystemClock):
    """The machine's clock, which a test may move on; whoever sleeps then is woken."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._jumped = asyncio.Event()

    def now(self) -> float:
        return super().now() + self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds
        self._jumped.set()  # wakes whoever sleeps now
        self._jumped.clear()

    async def sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._jumped.wait(), seconds)


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

    async def publish(self, info, body: bytes) -> None:
        arguments = info.queue_publish_kwargs
        await self.connection.publish(Publication(arguments["exchange"], arguments["routing_key"], body))


class Site:
    """A service that is up, and somebody who uses it."""

    def __init__(self, running: Running, http: httpx2.AsyncClient) -> None:
        self.running, self.http = running, http

    async def post(self, path: str, body: dict, **headers: str) -> dict:
        answer = await self.http.post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def function(self) -> str:
        return (await self.post("/v3/functions", SOURCE))["function_uuid"]

    async def register(self, endpoint_id: str | None = None, wire: int = 2) -> EndpointRegistered:
        body = {"endpoint_name": "e", "metadata": {"hostname": "lab", "local_user": "ada", "afield_wire": wire}}
        if endpoint_id is None:
            return msgspec.convert(await self.post("/v3/endpoints", body), EndpointRegistered)
        answer = await self.http.put(f"/v3/endpoints/{endpoint_id}", json=body)
        return msgspec.convert(answer.json(), EndpointRegistered)

    async def submit(self, endpoint_id: str, function_id: str, count: int, wire: int = 2) -> dict:
        headers = {"X-Afield-Wire": "2"} if wire == 2 else {}
        body = {"tasks": {function_id: [PAYLOAD] * count}, "create_queue": True}
        return await self.post(f"/v3/endpoints/{endpoint_id}/submit", body, **headers)

    async def watch(self, accepted: dict) -> Peer:
        where = (await self.http.get("/v2/get_amqp_result_connection_url")).json()
        return await Peer.connect(where["connection_url"], where["queue_prefix"] + accepted["task_group_id"])


async def core_endpoint(site: Site, registered: EndpointRegistered) -> Peer:
    """It connects, and is online."""
    info = registered.command_queue_info
    core = await Peer.connect(info.connection_url, info.queue)
    await core.publish(
        registered.heartbeat_queue_info, v1.encode_report(Report(registered.endpoint_id, {"heartbeat_period": 30}))
    )
    while (await site.http.get(f"/v2/endpoints/{registered.endpoint_id}/status")).json()["status"] != "online":
        await asyncio.sleep(0)
    return core


async def user_endpoint(core: Peer) -> tuple[Peer, QueueCredentials]:
    """It is started by a command, and reports."""
    credentials = decode_command((await core.deliveries.get()).body).kwargs.amqp_creds
    info = credentials.task_queue_info
    user = await Peer.connect(info.connection_url, info.queue, exclusive=True)
    report = Report(credentials.endpoint_id, {"heartbeat_period": 30, "active": True})
    await user.publish(credentials.heartbeat_queue_info, v1.encode_report(report))
    return user, credentials


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., object]:
    @asynccontextmanager
    async def serve(**said) -> AsyncIterator[Site]:
        service = Service()
        running = await service.start(Settings(**({"data_dir": tmp_path / "data", "port": 0, "amqp_port": 0} | said)))
        headers = {"Authorization": f"Bearer {running.token}"}
        try:
            async with httpx2.AsyncClient(
                base_url=running.service_url, headers=headers, trust_env=False, verify=False
            ) as http:
                yield Site(running, http)
        finally:
            await service.stop()

    return serve


@pytest.mark.parametrize("wire", [1, 2])
async def test_from_submit_to_result(serve, wire):
    async with serve() as site:
        function_id, registered = await site.function(), await site.register(wire=wire)
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 3, wire))
        user, credentials = await user_endpoint(core)
        accepted = await submitting
        client = await site.watch(accepted)
        tasks = []
        while len(tasks) < 3:
            delivery = await user.deliveries.get()
            tasks += codec.decode(delivery.body, delivery.properties.headers)
        assert [task.task_id for task in tasks] == accepted["tasks"][function_id]
        await user.publish(
            credentials.result_queue_info, v2.encode_results([Result(task.task_id, b"00\nx\n") for task in tasks])
        )
        got = []
        while len(got) < 3:
            delivery = await client.deliveries.get()
            got += codec.decode(delivery.body)
        assert [result.task_id for result in got] == accepted["tasks"][function_id]
        client.consumer.ack(delivery.tag, multiple=True)
        shown = (await site.http.get(f"/v2/tasks/{got[0].task_id}")).json()
        assert shown["result"] == "00\nx\n"
        for peer in (core, user, client):
            await peer.connection.close()


async def test_started_again_it_finds_everything(serve):
    async with serve() as site:
        function_id, registered = await site.function(), await site.register()
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 5))
        user, credentials = await user_endpoint(core)
        accepted = await submitting
        done, *waiting = accepted["tasks"][function_id]
        await user.publish(credentials.result_queue_info, v2.encode_results([Result(done, b"00\nx\n")]))
        before = site.running
    assert "shutting down" in await core.connection.closed
    assert await user.connection.closed

    async with serve() as site:
        # the same person, the same queues, on the port that endpoints know
        assert site.running.owner.id == before.owner.id
        assert site.running.amqp_port == before.amqp_port
        assert (await site.http.get(f"/v2/tasks/{done}")).json()["status"] == "success"
        assert (await site.http.get(f"/v2/functions/{function_id}")).json()["function_name"] == "f"
        client = await site.watch(accepted)
        assert [one.task_id for one in codec.decode((await client.deliveries.get()).body)] == [done]
        # with the credentials of its registration, which it keeps for life
        core = await core_endpoint(site, registered)
        info = credentials.task_queue_info
        user = await Peer.connect(info.connection_url, info.queue, exclusive=True)
        tasks = codec.decode((await user.deliveries.get()).body)
        assert [task.task_id for task in tasks] == waiting
        await user.publish(
            credentials.result_queue_info, v2.encode_results([Result(task.task_id, b"00\ny\n") for task in tasks])
        )
        assert [one.task_id for one in codec.decode((await client.deliveries.get()).body)] == waiting
        for peer in (core, user, client):
            await peer.connection.close()


async def test_what_a_client_has_taken_is_not_queued_again(serve):
    async with serve() as site:
        function_id, registered = await site.function(), await site.register()
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 2))
        user, credentials = await user_endpoint(core)
        accepted = await submitting
        taken, left = accepted["tasks"][function_id]
        client = await site.watch(accepted)
        await user.publish(credentials.result_queue_info, v2.encode_results([Result(taken, b"00\nx\n")]))
        client.consumer.ack((await client.deliveries.get()).tag)
        await user.publish(credentials.result_queue_info, v2.encode_results([Result(left, b"00\nx\n")]))
        await client.deliveries.get()
        for peer in (core, user, client):
            await peer.connection.close()
    async with serve() as site:
        client = await site.watch(accepted)
        assert [one.task_id for one in codec.decode((await client.deliveries.get()).body)] == [left]
        await client.connection.close()


async def test_an_endpoint_whose_deletion_was_cut_off_is_cleared_away_at_the_next_start(serve, tmp_path):
    async with serve() as site:
        function_id, registered = await site.function(), await site.register()
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 2))
        user, _ = await user_endpoint(core)
        accepted = await submitting
        for peer in (core, user):
            await peer.connection.close()
    store = open_store(tmp_path / "data", data_dir=tmp_path / "data")
    await store.open()
    # All that a service does before it is killed.
    assert await store.delete_endpoint(registered.endpoint_id, time())
    await store.close()
    async with serve() as site:
        for task_id in accepted["tasks"][function_id]:
            async with asyncio.timeout(30):
                while (task := (await site.http.get(f"/v2/tasks/{task_id}")).json())["status"] != "failed":
                    await asyncio.sleep(0)
            assert task["exception"] == f"Endpoint 'e' ({registered.endpoint_id}) was deleted."


async def test_a_token_of_the_last_life_is_still_good(serve):
    """Programs that were running when the service was killed find it again."""
    async with serve() as site:
        token = site.running.token
    async with serve() as site:
        assert site.running.token != token
        answer = await site.http.get("/v2/endpoints", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200


async def test_locking_ends_an_endpoints_connections(serve):
    async with serve() as site:
        registered = await site.register()
        core = await core_endpoint(site, registered)
        await site.post(f"/v3/endpoints/{registered.endpoint_id}/lock", {})
        assert await core.connection.closed
        with pytest.raises(BrokerRefused):
            await AmqpConnector().connect(registered.command_queue_info.connection_url)


async def test_requests_under_way_are_finished_before_it_stops(tmp_path):
    service = Service()
    limits = Limits(start_wait_s=0.5, goodbye_s=5)
    running = await service.start(Settings(data_dir=tmp_path / "data", port=0, amqp_port=0, limits=limits))
    headers = {"Authorization": f"Bearer {running.token}"}
    async with httpx2.AsyncClient(base_url=running.service_url, headers=headers, trust_env=False, verify=False) as http:
        site = Site(running, http)
        function_id, registered = await site.function(), await site.register()
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 1))
        await core.deliveries.get()  # it waits for a user endpoint now
        await service.stop()
        assert (await submitting)["tasks"][function_id]
    assert await core.connection.closed


class TestWhatCannotBe:
    async def test_a_taken_port_is_told_with_what_to_do(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ConfigurationError, match=rf"{port}.*--port 0"):
                await Service().start(Settings(data_dir=tmp_path / "data", port=port, amqp_port=0))
        assert not (tmp_path / "data").exists()

    async def test_a_taken_port_for_queues_is_stepped_over_and_told(self, serve):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with serve(amqp_port=port) as site:
                assert site.running.stepped_over == port
                assert port < site.running.amqp_port < port + 100
                assert site.running.broker_url == f"amqp://127.0.0.1:{site.running.amqp_port}"
                registered = await site.register()
                assert f":{site.running.amqp_port}/" in registered.command_queue_info.connection_url

    @pytest.mark.parametrize(
        "said", [{"port": 70_000}, {"amqp_port": -1}, {"host": "192.0.2.1"}, {"host": "no.such.invalid"}]
    )
    async def test_an_address_that_is_none_is_told(self, tmp_path, said):
        with pytest.raises(ConfigurationError, match="--"):
            await Service().start(Settings(**({"data_dir": tmp_path / "data", "port": 0, "amqp_port": 0} | said)))

    async def test_a_data_directory_has_one_service(self, serve):
        async with serve() as site:
            with pytest.raises(DataDirectoryError, match=str(site.running.data_dir)):
                await Service().start(Settings(data_dir=site.running.data_dir, port=0, amqp_port=0))
            assert (await site.http.get("/v2/endpoints")).status_code == 200

    async def test_a_start_that_fails_leaves_nothing_running(self, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "secret").write_text("damaged")
        settings = Settings(data_dir=tmp_path / "data", port=0, amqp_port=0)
        with pytest.raises(DataDirectoryError, match="secret"):
            await Service().start(settings)
        (tmp_path / "data" / "secret").unlink()
        service = Service()
        await service.start(settings)
        await service.stop()
        await service.stop()


async def test_others_are_told_the_public_name(serve):
    async with serve(public_host="lab.example.org") as site:
        registered = await site.register()
        assert f"@lab.example.org:{site.running.amqp_port}/" in registered.command_queue_info.connection_url
        assert site.running.service_url.startswith("http://127.0.0.1:")


async def test_one_that_listens_everywhere_names_this_machine(serve):
    async with serve(host="0.0.0.0") as site:
        assert site.running.service_url.startswith("http://127.0.0.1:")
        registered = await site.register()
        assert f"@{socket.gethostname()}:" in registered.command_queue_info.connection_url


async def test_ipv6(serve):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no ::1")
    async with serve(host="::1") as site:
        assert site.running.service_url.startswith("http://[::1]:")
        core = await core_endpoint(site, await site.register())
        await core.connection.close()


class BrokenEverything(MemoryStore):
    """A database that has just gone away."""

    broken = False

    async def function(self, function_id: str) -> FunctionRecord | None:
        if self.broken:
            raise OSError("the database is gone")
        return await super().function(function_id)

    async def finish_tasks(self, finished: Sequence[FinishedTask]) -> list[TaskView]:
        raise OSError("the database is gone")


async def test_a_mistake_of_ours_is_told_with_a_number_that_is_in_the_log(caplog):
    store = BrokenEverything()
    clock = SystemClock()
    records = Records(store, clock)
    broker = MemoryBroker()
    queues = Queues(broker, await broker.connect("memory://service"), clock)
    logins = QueueLogins(b"s" * 32, records, store.people, clock)
    uses = assemble(store, records, queues, InFlight(store), logins=logins, clock=clock, limits=Limits())
    tokens = BearerTokens(store, clock)
    await store.people.put_identity(IdentityRecord("a", "ada", "Ada", "ada@example.org", 0.0))
    headers = {"Authorization": f"Bearer {await tokens.issue('a', 'test', kind=TokenKind.SERVICE)}"}
    transport = httpx2.ASGITransport(Edge(uses, tokens))
    store.broken = True
    async with httpx2.AsyncClient(transport=transport, base_url="http://service", headers=headers) as http:
        answer = await http.get("/v2/functions/01900000-0000-7000-8000-000000000000")
    assert answer.status_code == 500
    said = answer.json()
    assert said["code"] == "INTERNAL_ERROR"
    assert "database" not in said["detail"]
    request_id = said["detail"].rstrip(".").split()[-1]
    assert request_id in caplog.text
    assert "the database is gone" in caplog.text


async def test_a_loop_that_fails_ends_the_service_loudly(tmp_path, caplog):
    service = Service(store=BrokenEverything())
    running = await service.start(Settings(data_dir=tmp_path / "data", port=0, amqp_port=0))
    headers = {"Authorization": f"Bearer {running.token}"}
    async with httpx2.AsyncClient(base_url=running.service_url, headers=headers, trust_env=False, verify=False) as http:
        site = Site(running, http)
        function_id, registered = await site.function(), await site.register()
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 1))
        user, credentials = await user_endpoint(core)
        [task_id] = (await submitting)["tasks"][function_id]
        body = v2.encode_results([Result(task_id, b"00\nx\n")])
        publishing = asyncio.ensure_future(user.publish(credentials.result_queue_info, body))
        with pytest.raises(OSError, match="the database is gone"):
            await service.failed()
    await service.stop()
    with pytest.raises(BrokerRefused):  # it is told, and keeps it
        await publishing  # so its endpoint keeps the result
    assert "results failed" in caplog.text
    for peer in (core, user):
        await peer.connection.close()


async def test_what_a_published_endpoint_acknowledged_and_took_along_fails(tmp_path):
    """It acknowledges when its engine accepts; then its process ends."""
    limits = Limits(watch_s=1)
    clock = JumpingClock()
    service = Service(clock)
    running = await service.start(Settings(data_dir=tmp_path / "data", port=0, amqp_port=0, limits=limits))
    headers = {"Authorization": f"Bearer {running.token}"}
    async with httpx2.AsyncClient(base_url=running.service_url, headers=headers, trust_env=False, verify=False) as http:
        site = Site(running, http)
        function_id, registered = await site.function(), await site.register(wire=1)
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 2, wire=1))
        user, credentials = await user_endpoint(core)
        accepted = await submitting
        taken, left = accepted["tasks"][function_id]
        client = await site.watch(accepted)
        user.consumer.ack((await user.deliveries.get()).tag)
        goodbye = Report(credentials.endpoint_id, {"heartbeat_period": 30, "active": False})
        await user.publish(credentials.heartbeat_queue_info, v1.encode_report(goodbye))
        while (await http.get(f"/v2/endpoints/{registered.endpoint_id}/status")).json()["details"]["managers"]:
            await asyncio.sleep(0)
        clock.jump(100)
        [result] = codec.decode((await client.deliveries.get()).body)
        assert (result.task_id, result.error.code) == (taken, "EndpointLost")
        assert (await http.get(f"/v2/tasks/{left}")).json()["status"] == "waiting-for-ep"
        for peer in (core, user, client):
            await peer.connection.close()
    await service.stop()


@pytest.mark.parametrize("wire", [1, 2])
async def test_results_that_were_left_in_the_store_follow_as_clients_take_them(serve, wire):
    async with serve(limits=Limits(group_queue_bytes=1)) as site:
        function_id, registered = await site.function(), await site.register(wire=wire)
        core = await core_endpoint(site, registered)
        submitting = asyncio.ensure_future(site.submit(registered.endpoint_id, function_id, 100, wire))
        user, credentials = await user_endpoint(core)
        accepted = await submitting
        ids = accepted["tasks"][function_id]
        await user.publish(credentials.result_queue_info, v2.encode_results([Result(one, b"00\nx\n") for one in ids]))
        client = await site.watch(accepted)
        got = []
        while len(got) < 100:
            delivery = await client.deliveries.get()
            got += [result.task_id for result in codec.decode(delivery.body)]
            client.consumer.ack(delivery.tag)
        assert got == ids
        for peer in (core, user, client):
            await peer.connection.close()
