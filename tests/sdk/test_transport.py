"""Every way to reach a service keeps every promise of the seam: the one in memory, and HTTP over a real socket."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from afield.sdk.transport.http import HttpTransport
from afield.sdk.transport.memory import MemoryService
from afield.testing.transport import CHECKS

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def in_memory(_served):
    yield MemoryService()


@asynccontextmanager
async def over_http(served):
    async def token():
        return "Bearer t"

    async with served(MemoryService()) as url:
        transport = HttpTransport(url, token, "a test")
        yield transport
        await transport.close()


@pytest.fixture(params=[in_memory, over_http])
async def transport(request, served):
    async with request.param(served) as made:
        yield made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_promise(check, transport):
    await check(transport)
