"""An endpoint is deleted while RabbitMQ's management API, which is elsewhere, cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tests.management_api import stand_in
from yarl import URL

from afield.broker.rabbitmq.api import ManagementApi
from afield.service.domain import names
from afield.testing.rabbitmq_node import RabbitNode
from afield.wire import codec

from .conftest import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.rabbitmq, pytest.mark.postgres]


class Front:
    """Stands before the management API, and may stumble.

    :ivar is_broken: it answers 500 to all
    """

    def __init__(self, node: RabbitNode) -> None:
        self.is_broken = False
        self.url = ""
        self._node = node

    async def answer(self, request: web.Request) -> web.Response:
        if self.is_broken:
            return web.json_response({"error": "internal_server_error"}, status=500)
        passed = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        body = await request.read()
        url = URL(f"http://127.0.0.1:{self._node.api_port}{request.raw_path}", encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, data=body, headers=passed) as answer,
        ):
            said = await answer.read()
            return web.Response(status=answer.status, body=said, content_type=answer.content_type)


@pytest.fixture
async def front(node: RabbitNode) -> AsyncIterator[Front]:
    made = Front(node)
    async with stand_in(made.answer) as made.url:
        yield made


async def test_its_tasks_fail_at_once_and_what_is_left_of_it_is_removed_when_it_can_be(site, front, node, vhost):
    one = await site(broker_api=front.url)
    core, function_id = await one.core(), await one.function()
    await core.report()
    await one.until(core.id, "online")
    submitting = asyncio.ensure_future(one.submit(core.id, function_id, 2))
    user = await core.start()
    await user.report()
    accepted = await submitting
    watcher = await one.watch(accepted)

    front.is_broken = True
    answer = await one.http.delete(f"/v2/endpoints/{core.id}")
    assert answer.status_code == 200, answer.text
    assert (await one.http.get(f"/v2/endpoints/{core.id}")).status_code == 404
    failed = []
    while len(failed) < 2:
        failed += codec.decode((await watcher.next()).body)
    assert sorted(one.task_id for one in failed) == sorted(accepted["tasks"][function_id])
    assert {one.error.code for one in failed} == {"EndpointDeleted"}

    front.is_broken = False
    async with asyncio.timeout(PATIENCE_S):
        await core.peer.connection.closed
        await user.peer.connection.closed
    api = ManagementApi(node.api, vhost)
    logins = {names.CoreLogin(core.id, 1).name, names.UserLogin(user.id, 1).name}
    assert logins.isdisjoint(await api.users())
    its = {names.command_queue(core.id), names.task_queue(user.id), names.control_queue(user.id)}
    left = await api._ask("GET", f"/queues/{vhost}?columns=name")
    assert its.isdisjoint(one["name"] for one in left)
    await api.close()
