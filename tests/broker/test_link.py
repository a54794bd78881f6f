"""A link keeps one connection up, and knows when to stop."""

from __future__ import annotations

import asyncio

import pytest

from afield.broker.base import Connection, Permissions, Publication, QueueSpec
from afield.broker.link import Backoff, Link, pause_before
from afield.broker.memory import MemoryBroker
from afield.errors import BrokerRefused, BrokerUnreachable
from afield.testing.broker import Inbox, done, raises, turn

pytestmark = pytest.mark.anyio


class Pauses:
    """Sleeps not at all, and remembers how long it should have; stops the link's time when told to."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)
        await self.go.wait()


class Watched:
    """A link on a memory broker, and what happened to it."""

    def __init__(self, broker: MemoryBroker, policy: Backoff | None = None, queue: str = "work") -> None:
        self.ups = 0
        self.downs: list[str] = []
        self.inbox = Inbox()
        self.pauses = Pauses()
        self.now = 0.0
        self.queue = queue
        self.link = Link(
            broker,
            self._url,
            on_up=self._on_up,
            on_down=self.downs.append,
            policy=policy or Backoff(),
            sleep=self.pauses,
            chance=lambda: 0.0,
            clock=lambda: self.now,
        )

    async def _url(self) -> str:
        return "memory://me"

    async def _on_up(self, connection: Connection) -> None:
        self.ups += 1
        await connection.consume(self.queue, self.inbox, exclusive=True)


@pytest.fixture
async def broker() -> MemoryBroker:
    broker = MemoryBroker()
    await broker.declare_queue(QueueSpec("work"))
    return broker


def test_pauses_grow_up_to_a_bound_and_shrink_by_chance() -> None:
    policy = Backoff(first_s=0.05, longest_s=10.0, jitter=0.5)
    assert [pause_before(n, policy, 0.0) for n in (1, 2, 3)] == [0.05, 0.1, 0.2]
    assert pause_before(1, policy, 1.0) == 0.025
    assert pause_before(100_000, policy, 0.0) == 10.0


def test_the_last_try() -> None:
    policy = Backoff(tries=3)
    assert pause_before(2, policy, 0.0) is not None
    assert pause_before(3, policy, 0.0) is None


async def test_up_and_closed(broker: MemoryBroker) -> None:
    watched = Watched(broker)
    async with watched.link as link:
        connection = await link.up()
        await link.publish(Publication("", "work", b"a"))
        await watched.inbox.wait_for(1)
    assert connection.closed.done()
    assert link.finished.result() is None
    assert watched.downs == []
    with raises(BrokerUnreachable):
        await link.publish(Publication("", "work", b"a"))


async def test_comes_back_after_a_cut(broker: MemoryBroker) -> None:
    watched = Watched(broker)
    async with watched.link as link:
        first = await link.up()
        assert broker.sever("me") == 1
        await done(first.closed)
        await turn()
        second = await link.up()
        assert second is not first
        await link.publish(Publication("", "work", b"a"))
        await watched.inbox.wait_for(1)
    assert watched.ups == 2
    assert len(watched.downs) == 1


async def test_publish_waits_for_the_link(broker: MemoryBroker) -> None:
    watched = Watched(broker)
    broker.go_down()
    watched.pauses.go.clear()
    async with watched.link as link:
        sending = asyncio.ensure_future(link.publish(Publication("", "work", b"a")))
        await turn()
        assert not sending.done()
        broker.come_up()
        watched.pauses.go.set()
        await done(sending)


async def test_pauses_between_tries(broker: MemoryBroker) -> None:
    watched = Watched(broker, Backoff(tries=6, longest_s=1.0))
    broker.go_down()
    async with watched.link as link:
        with raises(BrokerUnreachable):
            await done(link.finished)
        with raises(BrokerUnreachable):
            await link.up()
    assert watched.pauses.taken == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert len(watched.downs) == 6


async def test_a_week_without_a_broker(broker: MemoryBroker) -> None:
    week_s = 7 * 86_400
    watched = Watched(broker)
    watched.link._chance = lambda: 0.25

    async def sleep(seconds: float) -> None:
        watched.pauses.taken.append(seconds)
        watched.now += seconds
        if watched.now > week_s:
            broker.come_up()
        await asyncio.sleep(0)

    watched.link._sleep = sleep
    broker.go_down()
    async with watched.link as link:
        await link.up()
    taken = watched.pauses.taken
    assert sum(taken) >= week_s
    assert max(taken) == 8.75, "however long it takes, it is back within ten seconds of the broker"
    assert min(taken[10:]) == 8.75, "and asks no more often than that"
    assert watched.ups == 1


async def test_a_good_connection_is_forgiven(broker: MemoryBroker) -> None:
    watched = Watched(broker, Backoff(stable_s=60.0))
    async with watched.link as link:
        for lasted in (1.0, 1.0, 61.0, 1.0):
            connection = await link.up()
            watched.now += lasted
            broker.sever("me")
            await done(connection.closed)
            await turn()
        await link.up()
    assert watched.pauses.taken == [0.05, 0.1, 0.05, 0.1]


async def test_a_refused_login_is_final() -> None:
    revoked = False

    async def authenticate(login: str, _password: str) -> Permissions | None:
        return None if revoked else Permissions(login, consume=("*",))

    broker = MemoryBroker(authenticate)
    await broker.declare_queue(QueueSpec("work"))
    watched = Watched(broker)
    async with watched.link as link:
        await link.up()
        revoked = True
        await broker.drop("me")
        with raises(BrokerRefused):
            await done(link.finished)
        with raises(BrokerRefused):
            await link.up()
    assert len(watched.downs) == 2  # lost, then refused


async def test_a_queue_that_somebody_still_has_is_tried_again(broker: MemoryBroker) -> None:
    ghost = await broker.connect("memory://ghost")
    await ghost.consume("work", Inbox(), exclusive=True)
    watched = Watched(broker)
    watched.pauses.go.clear()
    async with watched.link as link:
        up = asyncio.ensure_future(link.up())
        while not watched.pauses.taken:
            await turn()
        await ghost.close()
        watched.pauses.go.set()
        await done(up)


async def test_a_queue_that_stays_refused_is_final(broker: MemoryBroker) -> None:
    watched = Watched(broker, Backoff(refusals=4), queue="missing")
    async with watched.link as link:
        with raises(BrokerRefused):
            await done(link.finished)
    assert watched.ups == 4


async def test_a_faulty_owner_ends_the_link(broker: MemoryBroker) -> None:
    async def on_up(_connection: Connection) -> None:
        raise ZeroDivisionError

    async def url() -> str:
        return "memory://me"

    async with Link(broker, url, on_up=on_up) as link:
        with raises(ZeroDivisionError):
            await done(link.finished)
    assert await broker.drop("me") == 0  # the connection was not left behind


async def test_closed_while_it_waits(broker: MemoryBroker) -> None:
    watched = Watched(broker)
    broker.go_down()
    watched.pauses.go.clear()
    watched.link.start()
    while not watched.pauses.taken:
        await turn()
    waiting = asyncio.ensure_future(watched.link.up())
    await turn()
    await watched.link.close()
    await watched.link.close()
    with raises(BrokerUnreachable):
        await done(waiting)


async def test_closed_before_it_began(broker: MemoryBroker) -> None:
    watched = Watched(broker)
    watched.link.start()
    await watched.link.close()
    assert watched.link.finished.done()
    assert watched.ups == 0
