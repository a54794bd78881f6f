"""What a service does while its broker or its database, which are elsewhere, are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from asyncpg import exceptions as postgres
from pika.exceptions import ConnectionClosed
from sqlalchemy import exc
from tests.management_api import stand_in

from afield.broker.base import NotSent, Publication, QueueSpec
from afield.broker.memory import MemoryBroker
from afield.broker.rabbitmq.answers import answers_only
from afield.broker.rabbitmq.api import ManagementApi
from afield.errors import BrokerRefused, BrokerUnreachable
from afield.service.api.answers import as_refusal
from afield.service.clock import HandClock
from afield.service.domain.refusals import Refusal
from afield.service.flows.inbox import Inbox
from afield.service.flows.kept import Kept
from afield.service.flows.outages import Outages
from afield.service.store.memory import MemoryStore
from afield.service.use.outage import is_outage
from afield.service.use.rounds import FILLED

pytestmark = pytest.mark.anyio


async def turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def world(world, limits) -> AsyncIterator:
    """Its queues survive it, and others may be beside it."""
    made = type(world)(MemoryStore(), limits)
    made.survive = 1000.0
    await made.start()
    await made.broker.declare_queue(FILLED)
    yield made
    failed = made.supervisor.failed
    await made.stop()
    assert not failed.done() or failed.cancelled(), failed.result()


class Loop:
    """Fails in one way after the other, then goes on."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.turns = list(errors), 0

    async def run(self) -> None:
        self.turns += 1
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.Event().wait()


class TestLoops:
    async def test_one_begins_anew_after_longer_and_longer_pauses(self):
        clock = HandClock()
        outages, loop = Outages(clock, ride_out=True), Loop(*[ConnectionRefusedError("down")] * 8)
        riding = asyncio.create_task(outages.ride(loop.run), name="results")
        for pause in (0.25, 0.5, 1, 2, 4, 4, 4, 4):
            await turn()
            turns = loop.turns
            assert outages.waiting == ["results"]
            clock.advance(pause * 0.9)
            await turn()
            assert loop.turns == turns
            clock.advance(pause * 0.2)
        await turn()
        assert (loop.turns, outages.waiting) == (9, [])
        riding.cancel()

    @pytest.mark.parametrize(("ride_out", "error"), [(True, KeyError("x")), (False, ConnectionRefusedError("down"))])
    async def test_what_no_pause_would_help_ends_it(self, ride_out, error):
        with pytest.raises(type(error)):
            await Outages(HandClock(), ride_out=ride_out).ride(Loop(error).run)

    async def test_what_was_not_done_comes_again(self):
        broker = MemoryBroker()
        await broker.declare_queue(QueueSpec("q"))
        connection = await broker.connect("memory://service")
        inbox = Inbox(connection, "q")
        await inbox.open()
        await connection.publish(Publication("", "q", b"1"))
        bunch = await inbox.take()
        await connection.publish(Publication("", "q", b"2"))
        assert await inbox.take() == bunch  # whoever took it has failed
        inbox.done(bunch)
        assert [one.body for one in await inbox.take()] == [b"2"]

    async def test_what_the_store_could_not_be_told_it_is_told_later(self):
        told: list[str] = []

        class Store(MemoryStore):
            away = True

            async def mark_delivered(self, task_ids):
                if self.away:
                    raise ConnectionRefusedError("down")
                told.extend(task_ids)

        store = Store()
        kept = Kept(store, HandClock())
        kept.results(["a"])
        with pytest.raises(ConnectionRefusedError):
            await kept.flush()
        kept.results(["b"])
        store.away = False
        await kept.flush()
        assert sorted(told) == ["a", "b"]


def in_sqlalchemy(error: Exception, *, lost: bool = False) -> exc.DBAPIError:
    return exc.DBAPIError("SELECT 1", None, error, connection_invalidated=lost)


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (NotSent("no connection"), True),
        (BrokerRefused("no queue"), True),
        (OSError("Multiple exceptions: ..."), True),
        (TimeoutError(), True),
        (postgres.CannotConnectNowError("starting up"), True),
        (in_sqlalchemy(postgres.AdminShutdownError("terminated")), True),
        (in_sqlalchemy(postgres.ReadOnlySQLTransactionError("a standby")), True),
        (in_sqlalchemy(Exception("closed"), lost=True), True),
        (postgres.InterfaceError("connection is closed"), True),
        (exc.TimeoutError("no connection came free"), True),
        (in_sqlalchemy(postgres.UndefinedTableError("no such table")), False),
        (in_sqlalchemy(postgres.UniqueViolationError("twice")), False),
        (KeyError("x"), False),
        (AssertionError(), False),
    ],
    ids=lambda value: type(getattr(value, "orig", value)).__name__,
)
def test_an_outage_is_told_from_a_mistake(error, outage):
    assert is_outage(error) is outage


class TestRabbitMQ:
    @pytest.mark.parametrize(
        "said",
        [
            "NOT_FOUND - home node 'rabbit@a' of durable queue 'q' in vhost '/' is down or inaccessible (404)",
            "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor (404)",
            "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'afield' (403)",
            "INTERNAL_ERROR (541)",
        ],
    )
    def test_a_queue_that_is_down_is_not_taken_for_one_that_is_gone(self, said):
        with pytest.raises(BrokerUnreachable), answers_only():
            raise BrokerRefused(f"the broker refused: {said}")

    @pytest.mark.parametrize(
        "said",
        [
            "NOT_FOUND - no queue 'q' in vhost '/' (404)",
            "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use (403)",
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/' (405)",
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/' (406)",
        ],
    )
    def test_answers_are_answers(self, said):
        with pytest.raises(BrokerRefused), answers_only():
            raise BrokerRefused(f"the broker refused: {said}")

    def test_a_connection_that_goes_away_under_a_request(self):
        with pytest.raises(BrokerUnreachable), answers_only():
            raise ConnectionClosed(320, "shutdown")

    async def test_its_management_api_on_its_way_down(self):
        status = 200

        async def answer(_: web.Request) -> web.Response:
            return web.json_response({"name": "afield", "tags": ["administrator"]}, status=status)

        async with stand_in(answer) as url:
            api = ManagementApi(url)
            status = 401
            with pytest.raises(BrokerRefused):
                await api.check()  # a wrong password is told at the start
            status = 200
            await api.check()
            for number in (401, 404, 500, 503):
                status = number
                with pytest.raises(BrokerUnreachable):
                    await api.users()
            status = 400
            with pytest.raises(BrokerRefused):
                await api.users()
            await api.close()


async def test_notices_that_cannot_be_passed_on_cost_nothing_else(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    task = await user.tasks.get()
    watcher = await world.watch(accepted)
    send = world.queues.send_notices

    async def away(*_: object) -> None:
        raise NotSent("the broker is away")

    world.queues.send_notices = away
    await user.say(world.seen(task.task_id))
    await turn()
    world.queues.send_notices = send
    await user.send(world.success(task.task_id))
    assert (await watcher.get()).body


async def test_a_submit_that_comes_while_others_are_sent_later_is_not_forgotten(world):
    core, function_id = await world.core(online=False), await world.function()

    class Away:
        async def publish(self, _: Publication) -> None:
            raise NotSent("the broker is away")

    class Meanwhile:
        async def publish(self, publication: Publication) -> None:
            world.queues._connection = Away()
            await world.submit(core, function_id)
            world.queues._connection = world.connection
            await world.connection.publish(publication)

    world.queues._connection = Away()
    await world.submit(core, function_id)
    world.queues._connection = Meanwhile()
    await world.uses.rounds.retry()
    await world.uses.rounds.retry()
    (user_endpoint,) = await world.store.user_endpoints()
    assert await world.queues.waiting(user_endpoint.id) == 2
    assert await world.store.hand_overs(world.clock.now() + 1) == []


class TestQuotas:
    @pytest.fixture
    def limits(self, limits):
        from dataclasses import replace

        return replace(limits, waiting_per_user=5)

    async def test_they_hold_where_tasks_are_in_the_store_only(self, world):
        core, function_id = await world.core(online=False), await world.function()
        await world.submit(core, function_id, 3)
        with pytest.raises(Refusal) as refused:
            await world.submit(core, function_id, 3)
        assert refused.value.status == 429
        await world.submit(core, function_id, 2)

    async def test_there_is_room_as_soon_as_tasks_have_ended(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id, 5)
        ids = accepted.tasks[function_id]
        watcher = await world.watch(accepted)
        await user.send(*map(world.success, ids))
        await watcher.get()
        await world.submit(core, function_id, 5)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "connection refused"),
        exc.InterfaceError("SELECT 1", {}, Exception("connection is closed")),
    ],
    ids=["refused", "closed"],
)
def test_a_request_that_needs_a_database_that_is_away_is_told_to_come_again(error: Exception) -> None:
    refusal = as_refusal(error)
    assert refusal is not None
    assert (refusal.status, refusal.headers["retry-after"]) == (503, "2")


def test_a_full_disk_does_not_pass_by_itself() -> None:
    assert as_refusal(OSError(28, "no space left on device")) is None
