"""A stand-in for RabbitMQ's management API, which answers as it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

__all__ = ["stand_in"]


@asynccontextmanager
async def stand_in(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Its URL, with a login in it, as long as somebody is in here.

    :param answer: to every request
    """
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://guest:guest@127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
