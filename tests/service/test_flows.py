"""The loops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from afield.broker.base import Delivery, Properties, Publication, QueueSpec
from afield.broker.memory import MemoryBroker
from afield.errors import BrokerUnreachable
from afield.service.clock import HandClock
from afield.service.domain.backlog import Backlog
from afield.service.domain.names import group_queue, task_queue
from afield.service.domain.records import TaskView
from afield.service.flows.feed import Feed
from afield.service.flows.inbox import Inbox
from afield.service.flows.settled import Settled
from afield.service.flows.supervisor import Supervisor
from afield.service.flows.sweep import every
from afield.service.store.memory import MemoryStore
from afield.service.use.in_flight import InFlight
from afield.service.use.records import Records
from afield.wire import codec, v1, v2
from afield.wire.messages import Report, Result

pytestmark = pytest.mark.anyio

ONE, TWO = "10000000-0000-4000-8000-000000000000", "20000000-0000-4000-8000-000000000000"


class RecordingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.delivered: list[list[str]] = []

    async def mark_delivered(self, task_ids: list[str]) -> None:
        self.delivered.append(list(task_ids))


@dataclass
class Acked:
    body: bytes
    properties: Properties = field(default_factory=Properties)
    reader: object = None


def messages(*bodies: bytes) -> list[Acked]:
    return [Acked(body) for body in bodies]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class TestInbox:
    @pytest.fixture
    async def broker(self) -> MemoryBroker:
        broker = MemoryBroker()
        await broker.declare_queue(QueueSpec("q", confirm_on_ack=True))
        return broker

    async def open(self, broker: MemoryBroker) -> Inbox:
        inbox = Inbox(await broker.connect("memory://service"), "q")
        await inbox.open()
        return inbox

    async def test_what_came_meanwhile_is_one_bunch(self, broker):
        inbox, sender = await self.open(broker), await broker.connect("memory://sender")
        sending = [asyncio.ensure_future(sender.publish(Publication("", "q", body))) for body in (b"1", b"2", b"3")]
        await turn()
        bunch = await inbox.take()
        assert [delivery.body for delivery in bunch] == [b"1", b"2", b"3"]
        await turn()
        assert not any(one.done() for one in sending)
        inbox.done(bunch)
        await asyncio.gather(*sending)

    async def test_a_bunch_is_bounded(self, broker):
        inbox, sender = await self.open(broker), await broker.connect("memory://sender")
        large = bytes(20_000_000)
        sending = [asyncio.ensure_future(sender.publish(Publication("", "q", large))) for _ in range(3)]
        sending += [asyncio.ensure_future(sender.publish(Publication("", "q", b"x"))) for _ in range(1500)]
        counts = []
        for task in sending:
            while not task.done():
                bunch = await inbox.take()
                counts.append(len(bunch))
                inbox.done(bunch)
                await turn()
        assert sum(counts) == 1503
        assert max(counts) <= 1000
        assert counts[0] == 1

    async def test_it_ends_when_it_is_closed_and_what_was_not_taken_stays(self, broker):
        inbox, sender = await self.open(broker), await broker.connect("memory://sender")
        taking = asyncio.ensure_future(inbox.take())
        await turn()
        inbox.close()
        assert await taking == []
        sending = asyncio.ensure_future(sender.publish(Publication("", "q", b"late")))
        await turn()
        assert await inbox.take() == []
        assert not sending.done()
        sending.cancel()

    async def test_a_queue_that_is_lost_is_told(self, broker):
        inbox = await self.open(broker)
        taking = asyncio.ensure_future(inbox.take())
        await turn()
        await broker.delete_queue("q")
        with pytest.raises(BrokerUnreachable, match="'q'"):
            await taking


class TestSettled:
    def settled(self, store: MemoryStore, clock: HandClock | None = None, in_flight: InFlight | None = None) -> Settled:
        clock = clock or HandClock()
        return Settled(store, Records(store, clock), in_flight or InFlight(store), clock)

    async def test_the_store_hears_of_many_at_once_a_second_later(self):
        store, clock = RecordingStore(), HandClock()
        settled = self.settled(store, clock)
        running = asyncio.ensure_future(settled.run())
        queue = group_queue(ONE, TWO)
        settled.taken(queue, messages(v1.encode_result(Result("a", b"x"))))
        settled.taken(queue, messages(v2.encode_results([Result("b", b"x"), Result("c", b"x")])))
        await turn()
        assert store.delivered == []
        clock.advance(1)
        await turn()
        assert store.delivered == [["a", "b", "c"]]
        settled.taken(queue, messages(v1.encode_result(Result("d", b"x"))))
        await turn()
        clock.advance(1)
        await turn()
        assert store.delivered == [["a", "b", "c"], ["d"]]
        running.cancel()

    async def test_without_results_there_is_nothing_to_wait_for(self):
        clock = HandClock()
        running = asyncio.ensure_future(self.settled(RecordingStore(), clock).run())
        await turn()
        assert clock.sleepers == 0
        running.cancel()

    async def test_other_queues_and_other_messages_are_not_results(self):
        store = RecordingStore()
        settled = self.settled(store)
        settled.taken(task_queue(ONE), messages(v2.encode_results([Result("a", b"x")])))
        settled.taken("results", messages(v2.encode_results([Result("a", b"x")])))
        settled.taken(group_queue(ONE, TWO), messages(b"", b"junk", v1.encode_report(Report(ONE, {}))))
        await settled.flush()
        assert store.delivered == []

    async def test_what_is_left_is_told_at_the_end(self):
        store = RecordingStore()
        settled = self.settled(store)
        settled.taken(group_queue(ONE, TWO), messages(v1.encode_result(Result("a", b"x"))))
        await settled.flush()
        assert store.delivered == [["a"]]

    async def test_a_published_endpoint_that_acknowledges_a_task_has_it(self):
        store, clock = RecordingStore(), HandClock()
        in_flight = InFlight(store)
        in_flight.holding.begin([("a", ONE), ("b", ONE), ("c", TWO)])
        settled = self.settled(store, clock, in_flight)
        settled.taken(task_queue(ONE), [Acked(b"", Properties(headers={"task_uuid": one})) for one in ("a", "c")])
        settled.taken(task_queue(ONE), messages(b""))
        assert (in_flight.holding.queued(ONE), in_flight.holding.queued(TWO)) == (1, 1)


class Slow:
    """A store for which one waits, as for a database."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def tasks(self, task_ids: list[str]) -> dict[str, TaskView]:
        await turn()
        return await self._store.tasks(task_ids)


async def test_groups_are_fed_by_turns_however_fast_one_takes_its_results(world):
    world.queues.backlog = Backlog(60_000)
    feed = Feed(Slow(world.store), world.records, world.queues)
    core, user, function_id = await world.ready()
    groups = [await world.submit(core, function_id, 400) for _ in range(2)]
    for accepted in groups:
        await user.send(*(world.success(one, b"00\n" + b"x" * 1000) for one in accepted.tasks[function_id]))
    world.broker._core.on_settled = lambda name, messages, _: feed.taken(name, messages)
    feeding = asyncio.ensure_future(feed.run())
    arrived: list[str] = []
    all_here = asyncio.Event()
    connection = await world.broker.connect((await world.uses.watch.result_queue(world.ada)).connection_url)
    for accepted in groups:
        consumers = []

        def taken(delivery: Delivery, consumers=consumers) -> None:
            arrived.extend(one.task_id for one in codec.decode(delivery.body))
            consumers[0].ack(delivery.tag)
            if len(arrived) == 800:
                all_here.set()

        queue = group_queue(world.ada.id, accepted.task_group_id)
        consumers.append(await connection.consume(queue, taken))
    await all_here.wait()
    one, other = ([each for each in arrived if each in accepted.tasks[function_id]] for accepted in groups)
    assert (one, other) == tuple(accepted.tasks[function_id] for accepted in groups)
    # Neither had to wait until the other had all of its own.
    halfway = arrived[:400]
    assert min(sum(each in ids for each in halfway) for ids in (one, other)) > 150
    feeding.cancel()
    await connection.close()


class TestSupervisor:
    async def test_the_first_failure_is_told(self, caplog):
        supervisor = Supervisor()

        async def broken() -> None:
            raise OSError("disk")

        async def fine() -> None:
            await asyncio.Event().wait()

        supervisor.start("fine", fine())
        supervisor.start("broken", broken())
        assert str(await supervisor.failed) == "disk"
        assert "broken failed" in caplog.text
        await supervisor.stop()

    async def test_a_loop_may_finish_what_it_is_doing(self):
        supervisor, asked, finished = Supervisor(), asyncio.Event(), []

        async def loop() -> None:
            await asked.wait()
            finished.append(True)

        supervisor.start("loop", loop(), asked.set)
        await turn()
        await supervisor.stop()
        assert finished == [True]
        assert supervisor.failed.cancelled()

    async def test_a_loop_without_an_end_is_cut_off(self):
        supervisor, cancelled = Supervisor(), []

        async def loop() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

        supervisor.start("loop", loop())
        await turn()
        await supervisor.stop()
        assert cancelled == [True]


async def test_every_so_often_all_steps_are_done_in_order():
    clock, done = HandClock(), []

    async def one() -> None:
        done.append(1)

    async def two() -> None:
        done.append(2)

    running = asyncio.ensure_future(every(10, clock, one, two))
    await turn()
    assert done == [1, 2]
    clock.advance(9)
    await turn()
    assert done == [1, 2]
    clock.advance(1)
    await turn()
    assert done == [1, 2, 1, 2]
    running.cancel()
