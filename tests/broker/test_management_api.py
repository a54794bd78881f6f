"""RabbitMQ's management API where it stumbles: it answers 500 to the second of two who delete a user at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from tests.management_api import stand_in

from afield.broker.rabbitmq.api import ManagementApi
from afield.errors import BrokerUnreachable

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stumbling() -> AsyncIterator[Callable[[list[int]], ManagementApi]]:
    """An API that answers with these statuses in turn."""
    left: list[int] = []

    async def answer(_: web.Request) -> web.Response:
        return web.json_response([{"name": "one"}], status=left.pop(0))

    async with stand_in(answer) as url:
        api = ManagementApi(url)

        def made(statuses: list[int]) -> ManagementApi:
            left[:] = statuses
            return api

        yield made
        await api.close()


async def test_it_is_asked_once_more(stumbling):
    assert await stumbling([500, 200]).connections_of("somebody") == ["one"]
    await stumbling([500, 404]).end_connections(["one"], "revoked")


async def test_and_not_for_ever(stumbling):
    with pytest.raises(BrokerUnreachable, match="is not well"):
        await stumbling([500, 503, 200]).connections_of("somebody")
