"""An agent with real queues, a real disk, and an engine whose tasks end when the test says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from afield.endpoint.agent.journal import Journal
from afield.endpoint.agent.loop import Agent
from afield.endpoint.agent.orders import Start
from afield.endpoint.agent.outbox import Outbox
from afield.endpoint.settings import UserSettings


@pytest.fixture
def make():
    """Make an agent."""

    def agent(start, engine, service, journal=Journal):
        place = Path(start.directory)
        return Agent(start, engine, service.broker, journal(place / "begun"), Outbox(place / "outbox"))

    return agent


@pytest.fixture
def working(tmp_path, parts, make):
    """Run an agent of a service in the background; leaving stops it."""

    @asynccontextmanager
    async def run(service, settings=None, engine=None, stop=True):
        engine = engine or parts.FakeEngine()
        start = Start("uep.test", str(tmp_path), settings or UserSettings(), service.credentials, {"hostname": "here"})
        agent = make(start, engine, service)
        work = agent.work = asyncio.create_task(agent.run())
        seen = len(service.reports)
        try:
            async with asyncio.timeout(parts.PATIENCE_S):
                await service.until(lambda: len(service.reports) > seen or work.done())
                yield agent, engine
                if stop:
                    agent.stop("the test is over", 0.0)
                    assert await work == 0
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    return run
