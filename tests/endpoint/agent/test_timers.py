"""What happens later, and does not once it was called off."""

from __future__ import annotations

import asyncio

import pytest

from afield.endpoint.agent.timers import Timers

pytestmark = pytest.mark.anyio

#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 30


async def rounds(count):
    """Give everything that is due now as many chances."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_failed_once_happens_again():
    loop, told, again = asyncio.get_running_loop(), [], asyncio.Event()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    timers = Timers()

    def work():
        if told:
            again.set()
        else:
            raise OSError("once")

    timers.every(0.0, work)
    async with asyncio.timeout(PATIENCE_S):
        await again.wait()
    timers.cancel()
    assert [str(error) for error in told] == ["once"]


async def test_what_calls_all_off_is_not_repeated():
    timers, done = Timers(), []

    def work():
        done.append("every")
        timers.cancel()

    timers.every(0.0, work)
    timers.later(60.0, lambda: done.append("later"))
    await rounds(20)
    assert done == ["every"]
