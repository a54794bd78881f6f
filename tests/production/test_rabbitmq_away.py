"""A RabbitMQ that is restarted, or loses everything, under services that go on; and one that believes our tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from urllib.parse import unquote, urlsplit

import pytest
from joserfc.jwk import RSAKey
from tests.rabbitmq import directory_of_a_node

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Connection, Publication
from afield.broker.rabbitmq.api import ManagementApi
from afield.errors import BrokerError, BrokerRefused
from afield.service.auth.oauth.keys import SigningKeys
from afield.service.clock import SystemClock
from afield.service.domain import names
from afield.service.domain.people import KeyRecord, TokenKind
from afield.service.store.factory import open_store
from afield.service.store.memory_people import MemoryPeople
from afield.testing.rabbitmq_node import RabbitNode, rabbitmq_node
from afield.wire import codec
from afield.wire.messages import Result

pytestmark = [pytest.mark.anyio, pytest.mark.rabbitmq, pytest.mark.postgres]

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def signing_key() -> KeyRecord:
    """One of the service's, made ahead, for the node to believe."""

    async def make() -> KeyRecord:
        people = MemoryPeople()
        await SigningKeys(people, SystemClock(), bytes.fromhex("5e" * 32)).listed()
        (key,) = await people.keys()
        return key

    return asyncio.run(make())


@pytest.fixture(scope="module")
def own_node(signing_key: KeyRecord) -> Iterator[RabbitNode]:
    """A node that these tests may stop and empty."""
    with directory_of_a_node() as directory:
        pem = directory / "key.pem"
        pem.write_bytes(RSAKey.import_key(json.loads(signing_key.public)).as_pem(private=False))
        configuration = [
            "auth_backends.1 = rabbit_auth_backend_oauth2",
            "auth_backends.2 = internal",
            "auth_oauth2.resource_server_id = rabbitmq",
            f"auth_oauth2.default_key = {signing_key.id}",
            f"auth_oauth2.signing_keys.{signing_key.id} = {pem}",
        ]
        with rabbitmq_node(directory, plugins=["rabbitmq_auth_backend_oauth2"], configuration=configuration) as running:
            yield running


@pytest.fixture
def node(own_node: RabbitNode) -> RabbitNode:
    """In the place of the one that all tests share."""
    return own_node


@pytest.fixture
async def believed(site, postgres_url: str, signing_key: KeyRecord):
    """Starts services whose tokens the node believes."""
    store = open_store(postgres_url)
    await store.open()
    await store.people.put_key(signing_key)
    await store.close()
    return partial(site, queue_logins="oauth2")


async def finished(watcher) -> str:
    delivery = await watcher.next()
    (result,) = codec.decode(delivery.body, delivery.properties.headers)
    return result.task_id


async def test_tokens_let_in_to_their_own_and_nothing_else(believed):
    one = await believed()
    core, other = await one.core(), await one.core()
    await core.report()
    await one.until(core.id, "online")
    login = urlsplit(core.registered.command_queue_info.connection_url)
    assert login.username == names.CoreLogin(core.id, 1).name
    assert unquote(login.password or "").count(".") == 2  # a signed token
    for queue in (names.command_queue(other.id), names.RESULTS):
        with pytest.raises(BrokerRefused):
            await core.peer.connection.consume(queue, lambda _: None)
    for exchange, key in ((names.RESULTS, names.result_key(other.id)), ("", names.command_queue(other.id))):
        with pytest.raises(BrokerRefused):
            await core.peer.connection.publish(Publication(exchange, key, b""))
    function_id = await one.function()
    submitting = asyncio.ensure_future(one.submit(core.id, function_id))
    user = await core.start()
    await user.report()
    accepted = await submitting
    watcher = await one.watch(accepted)
    (task,) = await user.take(1)
    await user.send(Result(task.task_id, b"00\nvalue\n", details={}))
    assert await finished(watcher) == task.task_id


async def test_a_revoked_token_is_cut_off_again_and_again(believed):
    one = await believed()
    core = await one.core()
    url = core.registered.command_queue_info.connection_url
    again = await one.core(endpoint_id=core.id)
    async with asyncio.timeout(PATIENCE_S):
        await core.peer.connection.closed
        back = await AmqpConnector().connect(url)  # it has not expired
        await back.closed
    await again.report()
    await one.until(core.id, "online")


async def test_who_is_disabled_and_who_lost_a_token_is_cut_off_again_and_again(believed):
    one, two = await believed(), await believed()
    made = await one.post("/afield/v1/accounts", {"username": "ada", "password": "four words are plenty"})
    ada_id = made["account"]["id"]
    tokens = one.service._uses.oauth.tokens
    adas = await tokens.issue(ada_id, "laptop", 3600, kind=TokenKind.ACCESS)
    robot = await one.post("/afield/v1/tokens", {"label": "robot"})

    async def listen(token: str) -> tuple[str, Connection]:
        headers = {"Authorization": f"Bearer {token}"}
        url = (await two.http.get("/v2/get_amqp_result_connection_url", headers=headers)).json()["connection_url"]
        return url, await AmqpConnector().connect(url)

    (adas_url, adas_way), (robots_url, robots_way) = await listen(adas), await listen(robot["token"])
    _, owners_way = await listen(one.running.token)
    assert (await one.http.put(f"/afield/v1/accounts/{ada_id}", json={"disabled": True})).status_code == 200
    assert (await one.http.delete(f"/afield/v1/tokens/{robot['about']['id']}")).status_code == 200
    async with asyncio.timeout(PATIENCE_S):
        await adas_way.closed
        await robots_way.closed
        for url in (adas_url, robots_url):
            back = await AmqpConnector().connect(url)  # RabbitMQ believes it until it expires
            await back.closed
    assert not owners_way.closed.done()
    await owners_way.close()


ANOTHER = {"endpoint_name": "another", "metadata": {"hostname": "lab", "local_user": "ada"}}


async def register(one, endpoint_id: str) -> int:
    """Register an endpoint again, which needs the broker and its management API; the answer's status."""
    return (await one.http.put(f"/v3/endpoints/{endpoint_id}", json=ANOTHER)).status_code


async def ask_on(one, endpoint_id: str, statuses: set[int]) -> None:
    """Do so again and again."""
    while True:
        statuses.add(await register(one, endpoint_id))


async def test_it_is_restarted_while_services_go_on(site, node):
    wire = 1  # published endpoints would run twice what is sent twice
    one, two = await site(), await site()
    core = await one.core(wire=wire)
    await core.report()
    await asyncio.gather(one.until(core.id, "online"), two.until(core.id, "online"))
    function_id = await one.function()
    submitting = asyncio.ensure_future(one.submit(core.id, function_id, wire=wire))
    user = await core.start()
    await user.report()
    accepted = [await submitting]
    await user.take(1)
    user.done()
    statuses: set[int] = set()
    another = (await one.post("/v3/endpoints", ANOTHER))["endpoint_id"]
    asking = asyncio.ensure_future(ask_on(one, another, statuses))
    await asyncio.to_thread(node.stop)
    accepted.append(await two.submit(core.id, function_id, 2, wire=wire))  # stored, and waits
    await asyncio.to_thread(node.start)
    # The endpoint's processes come back by themselves, with what they were given.
    back = type(core)(
        core.registered,
        await type(core.peer).connect(
            core.registered.command_queue_info.connection_url, core.registered.command_queue_info.queue
        ),
    )
    await back.report()
    info = user.credentials.task_queue_info
    user = type(user)(await type(user.peer).connect(info.connection_url, info.queue, exclusive=True), user.credentials)
    await user.report()
    tasks = await user.take(2)
    assert [task.task_id for task in tasks] == accepted[1]["tasks"][function_id]
    watcher = await one.watch(accepted[0])
    first = accepted[0]["tasks"][function_id][0]
    await user.send(Result(first, b"00\nvalue\n", details={}), wire=wire)
    assert await finished(watcher) == first
    assert user.peer.deliveries.empty()
    asking.cancel()
    await asyncio.wait([asking])
    assert statuses <= {200, 503}
    assert 503 in statuses
    while (status := await register(one, another)) == 503:  # the API comes up after the queues
        pass
    assert status == 200


async def test_it_loses_everything(site, node, vhost):
    """As when it was set up anew: logins, queues and what they held come back from the store."""
    one = await site()
    core = await one.core()
    function_id = await one.function()
    accepted = await one.submit(core.id, function_id, 3)
    api = ManagementApi(node.api)
    await one.stop()
    await api._ask("DELETE", f"/vhosts/{vhost}")
    for user in await api.users():
        if user != "guest":
            await api.delete_user(user)
    await api._ask("PUT", f"/vhosts/{vhost}")
    await api._ask("PUT", f"/permissions/{vhost}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    await api.close()
    two = await site()
    info = core.registered.command_queue_info
    while True:  # until the login that it was given is there again
        try:
            back = type(core)(core.registered, await type(core.peer).connect(info.connection_url, info.queue))
            break
        except BrokerError:
            await two.status(core.id)
    await back.report()
    user = await back.start()
    await user.report()
    assert [task.task_id for task in await user.take(3)] == accepted["tasks"][function_id]
