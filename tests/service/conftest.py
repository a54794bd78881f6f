"""A service without sockets, and endpoints and clients that are played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from afield.broker.base import Connection, Connector, Delivery, Permissions, Properties, Publication, QueueSpec
from afield.broker.embedded.local import EVERYTHING
from afield.broker.memory import MemoryBroker
from afield.service.auth.queue_logins import QueueLogins
from afield.service.clock import HandClock
from afield.service.domain import names
from afield.service.domain.caller import Caller
from afield.service.domain.packing import pack_source
from afield.service.domain.people import IdentityRecord
from afield.service.flows.beats import Beats
from afield.service.flows.kept import Kept
from afield.service.flows.results import Results
from afield.service.flows.supervisor import Supervisor
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.store.memory import MemoryStore
from afield.service.use.assemble import Uses, assemble
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.shared_flight import SharedFlight
from afield.wire import codec, v1, v2
from afield.wire.commands import QueueCredentials, StartCommand, decode_command
from afield.wire.messages import Cancel, ErrorDetails, Notice, Report, Result, Task
from afield.wire.rest import (
    EndpointRegistered,
    EndpointRegistration,
    FunctionRegistration,
    SubmitRequest,
    SubmitResponse,
)

#: Two packed buffers: no arguments, as far as the service can tell.
PAYLOAD = "2\nar2\nkw"
SECRET = b"s" * 32


def identity(name: str, number: int) -> IdentityRecord:
    return IdentityRecord(
        f"0000000{number}-0000-4000-8000-000000000000", name, name.title(), f"{name}@example.org", 1.0
    )


ADA = Caller(identity("ada", 1))
BOB = Caller(identity("bob", 2))


@dataclass
class UserEndpoint:
    """Plays a user endpoint's process, by what its start command told it."""

    credentials: QueueCredentials
    connection: Connection
    wire: int
    tasks: asyncio.Queue[Task] = field(default_factory=asyncio.Queue)
    tags: list[int] = field(default_factory=list)
    cancels: asyncio.Queue[Cancel] = field(default_factory=asyncio.Queue)

    @property
    def id(self) -> str:
        return self.credentials.endpoint_id

    async def consume(self) -> UserEndpoint:
        self.consumer = await self.connection.consume(
            self.credentials.task_queue_info.queue, self._arrived, exclusive=True
        )
        return self

    def _arrived(self, delivery: Delivery) -> None:
        self.tags.append(delivery.tag)
        for task in codec.decode(delivery.body, delivery.properties.headers):
            self.tasks.put_nowait(task)

    async def heed(self) -> UserEndpoint:
        """Read the queue in which it is told what somebody wants ended."""
        where = self.credentials.control_queue_info
        assert where is not None
        await self.connection.consume(where.queue, self._told, exclusive=True)
        return self

    def _told(self, delivery: Delivery) -> None:
        for cancel in codec.decode(delivery.body, delivery.properties.headers):
            self.cancels.put_nowait(cancel)

    async def say(self, *notices: Notice) -> None:
        """Tell where tasks are."""
        await _publish(
            self.connection, self.credentials.result_queue_info.queue_publish_kwargs, v2.encode_notices(notices)
        )

    def done(self) -> None:
        """Acknowledge all tasks so far."""
        self.consumer.ack(self.tags[-1], multiple=True)

    async def report(self, **state: Any) -> None:
        body = v1.encode_report(Report(self.id, {"heartbeat_period": 30, "active": True} | state))
        await _publish(self.connection, self.credentials.heartbeat_queue_info.queue_publish_kwargs, body)

    async def send(self, *results: Result) -> None:
        arguments = self.credentials.result_queue_info.queue_publish_kwargs
        if self.wire == 2:
            await _publish(self.connection, arguments, v2.encode_results(results))
        else:
            await asyncio.gather(*(_publish(self.connection, arguments, v1.encode_result(one)) for one in results))


async def _publish(connection: Connection, arguments: dict[str, Any], body: bytes) -> None:
    await connection.publish(
        Publication(arguments["exchange"], arguments["routing_key"], body, Properties(delivery_mode=2), mandatory=True)
    )


@dataclass
class CoreEndpoint:
    """Plays a core endpoint, by what its registration told it."""

    registered: EndpointRegistered
    connector: Connector
    connection: Connection
    wire: int
    commands: asyncio.Queue[StartCommand] = field(default_factory=asyncio.Queue)
    properties: list[Properties] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.registered.endpoint_id

    def arrived(self, delivery: Delivery) -> None:
        self.properties.append(delivery.properties)
        self.commands.put_nowait(decode_command(delivery.body))

    async def report(self, **state: Any) -> None:
        body = v1.encode_report(Report(self.id, {"heartbeat_period": 30} | state))
        await _publish(self.connection, self.registered.heartbeat_queue_info.queue_publish_kwargs, body)

    async def start(self, command: StartCommand | None = None) -> UserEndpoint:
        """Do what a command says; the new process has not reported yet."""
        command = command or await self.commands.get()
        credentials = command.kwargs.amqp_creds
        connection = await self.connector.connect(credentials.task_queue_info.connection_url)
        return UserEndpoint(credentials, connection, self.wire)


async def play_core(connector: Connector, registered: EndpointRegistered, wire: int) -> CoreEndpoint:
    url = registered.command_queue_info.connection_url
    core = CoreEndpoint(registered, connector, await connector.connect(url), wire)
    await core.connection.consume(registered.command_queue_info.queue, core.arrived)
    return core


def registration(wire: int = 2, **said: Any) -> EndpointRegistration:
    metadata = {"hostname": "lab", "local_user": "ada"} | ({"afield_wire": 2} if wire == 2 else {})
    return EndpointRegistration(**({"endpoint_name": "mine", "metadata": metadata} | said))


def success(task_id: str, data: bytes = b"00\nvalue\n") -> Result:
    return Result(task_id, data, details={"os": "Linux"})


def failure(task_id: str, text: str = "Traceback: it broke") -> Result:
    return Result(
        task_id, text.encode(), error=ErrorDetails("RemoteExecutionError", "it broke"), exception=b"\x80pickle"
    )


def cancelled(task_id: str, text: str = "stopped") -> Result:
    return Result(task_id, text.encode(), error=ErrorDetails("TaskCancelled", text))


def seen(task_id: str, state: str = "running", *, at: float = 1_700_000_001.5, refusal: str = "") -> Notice:
    return Notice(task_id, state, int(at * 1e9), refusal=refusal)


class World:
    """A service on a store and a broker in memory, with a clock that is moved by hand."""

    ada, bob = ADA, BOB
    payload = PAYLOAD
    registration = staticmethod(registration)
    success = staticmethod(success)
    failure = staticmethod(failure)
    cancelled = staticmethod(cancelled)
    seen = staticmethod(seen)
    #: seconds; then the queues are as with a broker that outlives the service
    survive: float | None = None

    def __init__(self, store: Store, limits: Limits) -> None:
        self.clock = HandClock()
        self.store = store
        self.limits = limits
        self.records = Records(store, self.clock)
        self.logins = QueueLogins(SECRET, self.records, store.people, self.clock)
        self.logins.reach("broker.example.org", 5672)
        self.broker = MemoryBroker(self._authenticate)

    async def _authenticate(self, name: str, password: str) -> Permissions | None:
        return EVERYTHING if name == "service" else await self.logins.authenticate(name, password)

    async def start(self) -> World:
        for caller in (ADA, BOB):
            await self.store.people.put_identity(caller.identity)
        self.connection = await self.broker.connect("memory://service")
        kept = self.kept = None if self.survive is None else Kept(self.store, self.clock)
        self.in_flight = InFlight(self.store) if kept is None else SharedFlight(self.store)
        if kept is None:
            self.broker.leave_out(lambda queue: names.reader_of_queue(queue) is not None, self._has_ended)
        self.queues = Queues(
            self.broker,
            self.connection,
            self.clock,
            survive=self.survive,
            kept=(lambda _: None) if kept is None else kept.results,
            gauge=self.broker if kept is None else None,
        )
        await self.queues.prepare()
        # So that whoever reported can wait until the report was taken.
        await self.broker.declare_queue(QueueSpec(names.HEARTBEATS, confirm_on_ack=True))
        self.uses: Uses = assemble(
            self.store,
            self.records,
            self.queues,
            self.in_flight,
            logins=self.logins,
            clock=self.clock,
            limits=self.limits,
            handed_over=(lambda _: None) if kept is None else kept.hand_over,
        )
        self.supervisor = Supervisor()
        self.results, self.beats = (
            Results(self.connection, self.uses.finish, self.uses.notice),
            Beats(self.connection, self.uses.beat),
        )
        await self.results.inbox.open()
        await self.beats.inbox.open()
        self.supervisor.start("results", self.results.run(), self.results.inbox.close)
        self.supervisor.start("beats", self.beats.run(), self.beats.inbox.close)
        return self

    def _has_ended(self, properties: Properties) -> bool:
        task_id = properties.headers.get("task_uuid")
        return task_id is not None and not self.in_flight.is_open(task_id)

    async def stop(self) -> None:
        await self.supervisor.stop()

    # -- shorthand ---------------------------------------------------------------------------------------------------

    async def function(self, caller: Caller = ADA, **said: Any) -> str:
        registration = FunctionRegistration(
            **({"function_name": "f", "function_code": pack_source("f", "def f(): 1")} | said)
        )
        return (await self.uses.functions.register(caller, registration)).function_uuid

    async def core(self, caller: Caller = ADA, *, wire: int = 2, online: bool = True, **said: Any) -> CoreEndpoint:
        """A core endpoint that has registered, and reported."""
        registered = await self.uses.register_endpoint.new(caller, registration(wire, **said))
        core = await play_core(self.broker, registered, wire)
        if online:
            await core.report()
        return core

    async def play(self, registered: EndpointRegistered, wire: int = 2) -> CoreEndpoint:
        """The process behind a registration."""
        return await play_core(self.broker, registered, wire)

    async def submit(
        self, core: CoreEndpoint, function_id: str, count: int = 1, caller: Caller = ADA, wire: int = 2,
        key: str | None = None, **said: Any,
    ) -> SubmitResponse:  # fmt: skip
        request = self.request(function_id, count, **said)
        return self.answer(await self.uses.submit(caller, core.id, request, wire=wire, key=key))

    @staticmethod
    def request(function_id: str, count: int, **said: Any) -> SubmitRequest:
        return SubmitRequest(**({"tasks": {function_id: [PAYLOAD] * count}, "create_queue": True} | said))

    @staticmethod
    def answer(body: bytes) -> SubmitResponse:
        return msgspec.json.decode(body, type=SubmitResponse)

    async def ready(self, wire: int = 2, **said: Any) -> tuple[CoreEndpoint, UserEndpoint, str]:
        """A core endpoint, a user endpoint that is up, and a function; one task was accepted and taken on the way."""
        core, function_id = await self.core(wire=wire, **said), await self.function()
        submitting = asyncio.ensure_future(self.submit(core, function_id))
        user = await (await core.start()).consume()
        await user.report()
        accepted = await submitting
        task = await user.tasks.get()
        assert [task.task_id] == accepted.tasks[function_id]
        await user.send(success(task.task_id))
        user.done()
        return core, user, function_id

    async def watch(self, accepted: SubmitResponse, caller: Caller = ADA) -> asyncio.Queue[Delivery]:
        """Results of a group as they come."""
        where = await self.uses.watch.result_queue(caller)
        connection = await self.broker.connect(where.connection_url)
        queue: asyncio.Queue[Delivery] = asyncio.Queue()
        await connection.consume(where.queue_prefix + accepted.task_group_id, queue.put_nowait)
        return queue


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
async def world(limits: Limits) -> AsyncIterator[World]:
    world = await World(MemoryStore(), limits).start()
    yield world
    failed = world.supervisor.failed
    await world.stop()
    assert not failed.done() or failed.cancelled(), failed.result()
