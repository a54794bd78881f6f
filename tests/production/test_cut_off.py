"""Connections to the queues end with what let them in: with the embedded broker, and with two services' RabbitMQ."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import httpx2
import pytest

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Connection
from afield.errors import BrokerRefused
from afield.ids import new_id
from afield.service.accounts_on_host import AccountsOnHost
from afield.service.app import Service
from afield.service.auth.oauth.scopes import COMPUTE
from afield.service.auth.tokens import digest_of
from afield.service.domain.people import TokenKind
from afield.service.settings import Limits, Settings
from afield.wire.messages import Result
from afield.wire.rest_accounts import AccountChange

from .conftest import PATIENCE_S, Site

pytestmark = pytest.mark.anyio

PASSWORD = "four words are plenty"
RABBITMQ = pytest.param("rabbitmq", marks=[pytest.mark.rabbitmq, pytest.mark.postgres])


@pytest.fixture
async def embedded(tmp_path):
    service = Service()
    limits = Limits(watch_s=0.2, grace_s=0.5)
    running = await service.start(Settings(data_dir=tmp_path / "data", port=0, amqp_port=0, limits=limits))
    only = Site(service, running)
    yield only, only
    await only.stop()


@pytest.fixture
async def rabbitmq(site):
    return await site(), await site()


@pytest.fixture(params=["embedded", RABBITMQ])
def sites(request):
    """The service that is asked to revoke, and the one that everybody else uses; they may be the same."""
    return request.getfixturevalue(request.param)


class Actor(Site):
    """Somebody who uses a service by a token of their own."""

    def __init__(self, site: Site, token: str) -> None:
        super().__init__(site.service, replace(site.running, token=token))
        self.url = ""

    async def listen(self) -> Connection:
        self.url = (await self.get("/v2/get_amqp_result_connection_url"))["connection_url"]
        return await AmqpConnector().connect(self.url)


async def access(site: Site, identity_id: str) -> str:
    tokens = site.service._uses.oauth.tokens
    return await tokens.issue(identity_id, "laptop", 3600, kind=TokenKind.ACCESS, family=new_id())


async def account(site: Site, name: str = "ada") -> str:
    made = await site.post("/afield/v1/accounts", {"username": name, "password": PASSWORD})
    return str(made["account"]["id"])


async def disable(site: Site, identity_id: str, disabled: bool = True) -> None:
    answer = await site.http.put(f"/afield/v1/accounts/{identity_id}", json={"disabled": disabled})
    assert answer.status_code == 200, answer.text


async def take_back(site: Site, token: str) -> None:
    async with httpx2.AsyncClient(base_url=site.running.service_url) as http:
        answer = await http.post("/v2/oauth2/token/revoke", data={"token": token})
    assert answer.status_code == 200, answer.text


async def ended(connection: Connection) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with suppress(Exception):
            await connection.closed


async def refused(url: str) -> None:
    with pytest.raises(BrokerRefused):
        await AmqpConnector().connect(url)


async def test_who_is_disabled_is_dropped_and_kept_out_until_they_are_enabled(sites):
    one, two = sites
    ada_id = await account(one)
    ada, other = Actor(two, await access(one, ada_id)), Actor(two, one.running.token)
    adas, others = await ada.listen(), await other.listen()
    core = await ada.core()
    bystander = await other.core()
    await disable(one, ada_id)
    await ended(adas)
    await ended(core.peer.connection)
    for url in (ada.url, core.registered.command_queue_info.connection_url):
        await refused(url)
    assert not others.closed.done()
    assert not bystander.peer.connection.closed.done()
    await disable(one, ada_id, disabled=False)
    again = Actor(two, await access(one, ada_id))
    back = await again.listen()
    core = await again.core(endpoint_id=core.id)
    await core.report()
    await again.until(core.id, "online")
    for connection in (back, others):
        await connection.close()
    for each in (ada, other, again):
        await each.http.aclose()


@pytest.mark.parametrize("kind", ["personal", "stand-in", "login"])
async def test_a_revoked_token_takes_along_what_was_opened_by_it_and_nothing_else(sites, kind):
    one, two = sites
    wanted = await one.post("/afield/v1/tokens", {"label": "robot"})
    kept = await one.post("/afield/v1/tokens", {"label": "another"})
    token, refresh = wanted["token"], None
    tokens = one.service._uses.oauth.tokens
    if kind == "stand-in":
        token, _ = await tokens.stand_in(await tokens.known(digest_of(token)), (COMPUTE,), 3600)
    elif kind == "login":
        family, owner = new_id(), one.running.owner.id
        token = await tokens.issue(owner, "laptop", 3600, kind=TokenKind.ACCESS, family=family)
        refresh = await tokens.issue(owner, "laptop", 3600, kind=TokenKind.REFRESH, family=family)
    stolen, other = Actor(two, token), Actor(two, kept["token"])
    lost, stays = await stolen.listen(), await other.listen()
    if refresh is None:
        assert (await one.http.delete(f"/afield/v1/tokens/{wanted['about']['id']}")).status_code == 200
    else:
        await take_back(one, token)
        assert not lost.closed.done(), "the login goes on, and will ask for another access token"
        await take_back(one, refresh)
    await ended(lost)
    await refused(stolen.url)
    assert not stays.closed.done()
    await stays.close()
    for each in (stolen, other):
        await each.http.aclose()


async def test_a_client_that_is_deleted_is_dropped(sites):
    one, two = sites
    made = await one.post("/afield/v1/clients", {"name": "robot"})
    client_id = made["client"]["id"]
    robot = Actor(two, await access(one, client_id))
    connection = await robot.listen()
    assert (await one.http.delete(f"/afield/v1/clients/{client_id}")).status_code == 200
    await ended(connection)
    await refused(robot.url)
    await robot.http.aclose()


async def test_no_task_of_an_endpoint_whose_owner_was_disabled_is_lost(sites):
    one, two = sites
    ada_id = await account(one)
    ada = Actor(two, await access(one, ada_id))
    core = await ada.core()
    await core.report()
    await ada.until(core.id, "online")
    function_id = await ada.function()
    submitting = asyncio.ensure_future(ada.submit(core.id, function_id, 2))
    user = await core.start()
    await user.report()
    accepted = await submitting
    ids = accepted["tasks"][function_id]
    watcher = await ada.watch(accepted)
    await user.take(2)
    await user.send(Result(ids[0], b"00\nvalue\n", details={"os": "Linux"}))
    await watcher.next()  # it is in the store
    await disable(one, ada_id)
    await ended(user.peer.connection)
    await refused(user.credentials.task_queue_info.connection_url)
    await disable(one, ada_id, disabled=False)
    again = Actor(two, await access(one, ada_id))
    assert (await again.states(ids))[ids[0]] == "success"
    core = await again.core(endpoint_id=core.id)
    await core.report()
    user = await core.start()  # for the one that it had not finished
    await user.report()
    await user.send(Result(ids[1], b"00\nvalue\n", details={"os": "Linux"}))  # it was on its disk meanwhile
    async with asyncio.timeout(PATIENCE_S):
        while (await again.states(ids))[ids[1]] != "success":
            await asyncio.sleep(0)
    for each in (ada, again):
        await each.http.aclose()


@pytest.mark.rabbitmq
@pytest.mark.postgres
async def test_who_is_disabled_on_the_host_is_dropped_by_the_next_round(site, postgres_url):
    one = await site()
    ada_id = await account(one)
    ada = Actor(one, await access(one, ada_id))
    client, core = await ada.listen(), await ada.core()
    on_host = AccountsOnHost(None, postgres_url)
    await asyncio.to_thread(on_host.change, ada_id, AccountChange(disabled=True))
    await ended(client)
    await ended(core.peer.connection)
    for url in (ada.url, core.registered.command_queue_info.connection_url):
        await refused(url)
    await ada.http.aclose()
