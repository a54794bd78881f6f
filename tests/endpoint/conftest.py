"""A service's side of the queues, in memory, and an engine whose tasks finish when the test says so."""

from __future__ import annotations

import asyncio
import textwrap
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import msgspec
import pytest

from afield.broker.base import Binding, Delivery, Permissions, Properties, Publication, QueueSpec
from afield.broker.embedded.server import EmbeddedBroker
from afield.broker.memory import MemoryBroker
from afield.endpoint.engines.base import EngineStatus, NeverBegun
from afield.errors import TaskCancelled
from afield.serialize import ComputeSerializer
from afield.wire import codec, v1, v2
from afield.wire.commands import CONTENT_TYPE, QueueCredentials, ReadQueue, WriteQueue, encode_command
from afield.wire.jobs import Job, Outcome, encode_outcome
from afield.wire.messages import CallOptions, Notice, Report, Result, Task

UEP = "0192d3a0-0000-7000-8000-00000000000a"
#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 30


def credentials_for(url, uep=UEP, *, control=False):
    def write(what):
        arguments = {"exchange": what, "routing_key": f"{uep}.{what}", "mandatory": True,
                     "properties": {"delivery_mode": 2}}  # fmt: skip
        return WriteQueue(url, what, what, arguments)

    tasks = ReadQueue(url, "tasks", f"{uep}.tasks")
    wishes = ReadQueue(url, "tasks", f"{uep}.control") if control else None
    return QueueCredentials(uep, tasks, write("results"), write("heartbeats"), wishes)


class Watch:
    """Waits for something to become true, whenever somebody says that something changed."""

    def __init__(self):
        self._waiting = []

    def touch(self):
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, true):
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self._waiting.append(asyncio.get_running_loop().create_future())
                await self._waiting[-1]


class FakeEngine(Watch):
    """An engine whose jobs end when somebody says so."""

    def __init__(self, capacity=2):
        super().__init__()
        self.capacity = capacity
        self.jobs: dict[str, Job] = {}
        self.ran: list[str] = []
        self.futures: dict[str, asyncio.Future[bytes]] = {}
        #: jobs that run, once somebody says so
        self.begun: list[str] = []
        #: why it does not stop what runs; empty: it does
        self.unstoppable = ""
        self.stopped = False

    async def start(self):
        pass

    def submit(self, job):
        self.ran.append(job.task_id)
        self.jobs[job.task_id] = job
        self.futures[job.task_id] = asyncio.get_running_loop().create_future()
        self.touch()
        return self.futures[job.task_id]

    async def has(self, *names):
        """Wait until these were submitted."""
        await self.until(lambda: set(names) <= set(self.ran))

    def begin(self, *names):
        """Let jobs begin."""
        self.begun += names

    def finish(self, task_id, data=b"done", code=None, kinds=()):
        """Let a job end; with a code, by an exception of these kinds."""
        details = msgspec.Raw(msgspec.msgpack.encode({"os": "x"}))
        outcome = Outcome(task_id, data, code, data.decode() if code else "", None, 1, 2, details, kinds)
        self._take(task_id).set_result(encode_outcome(outcome))

    def fail(self, task_id, error):
        """Let a job end by a fault of the engine's."""
        self._take(task_id).set_exception(error)

    def cancel(self, task_id):
        if task_id not in self.futures:
            return ""
        if self.unstoppable and task_id in self.begun:
            return self.unstoppable
        self.fail(task_id, TaskCancelled(f"task {task_id} was cancelled"))
        return ""

    def running(self):
        return list(self.begun)

    def _take(self, task_id):
        if task_id in self.begun:
            self.begun.remove(task_id)
        return self.futures.pop(task_id)

    def status(self):
        held = len(self.futures)
        return EngineStatus(
            engine_type="Fake", total_workers=2, idle_workers=0, pending_tasks=0, outstanding_tasks=held
        )

    async def stop(self, grace_s):
        self.stopped = True
        for task_id, future in self.futures.items():
            future.set_exception(NeverBegun(f"{task_id} was not begun"))
        self.futures.clear()
        self.begun.clear()
        self.touch()


@dataclass
class Service(Watch):
    """What a service sees of one user endpoint."""

    credentials: QueueCredentials
    #: a MemoryBroker or an EmbeddedBroker; None: the former
    broker: object = None
    connection: object = None
    results: dict[str, Result] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    #: deliveries of results that are not acknowledged, while ``confirming`` is off
    unconfirmed: list[Delivery] = field(default_factory=list)
    confirming: bool = True
    #: commands that were sent, and acknowledged
    sent: int = 0
    taken: int = 0
    #: logins that are wrong
    refused: set[str] = field(default_factory=set)

    def __post_init__(self):
        super().__init__()
        self.broker = self.broker or MemoryBroker(self.authenticate)

    async def authenticate(self, login, _password):
        return None if login in self.refused else Permissions(login, ("*",), (("*", "*"),), ("*",))

    async def open(self):
        for name, kind in (("tasks", "direct"), ("commands", "direct"), ("results", "topic"), ("heartbeats", "topic")):
            await self.broker.declare_exchange(name, kind)
        await self.broker.declare_queue(
            QueueSpec("results", confirm_on_ack=True), Binding("results", "results", "*.results")
        )
        await self.broker.declare_queue(QueueSpec("heartbeats"), Binding("heartbeats", "heartbeats", "*.heartbeats"))
        queue = self.credentials.task_queue_info.queue
        await self.broker.declare_queue(QueueSpec(queue), Binding(queue, "tasks", queue))
        if self.credentials.control_queue_info is not None:
            control = self.credentials.control_queue_info.queue
            await self.broker.declare_queue(QueueSpec(control), Binding(control, "tasks", control))
        await self.listen()
        return self

    def settled(self, queue, messages):
        """The broker says what was acknowledged."""
        if queue.endswith(".commands"):
            self.taken += len(messages)
            asyncio.get_running_loop().call_soon(self.touch)

    async def listen(self):
        """Consume what endpoints send, as a service does when it starts."""
        if isinstance(self.broker, MemoryBroker):
            self.connection = await self.broker.connect("memory://service")
        else:
            self.connection = self.broker.connect_local()
        self._results = await self.connection.consume("results", self._result)
        self._heartbeats = await self.connection.consume("heartbeats", self._heartbeat)

    def _result(self, delivery):
        for message in codec.decode(delivery.body, delivery.properties.headers):
            if isinstance(message, Notice):
                self.notices.append(message)
            else:
                self.results.setdefault(message.task_id, message)
        if self.confirming:
            self._results.ack(delivery.tag)
        else:
            self.unconfirmed.append(delivery)
        self.touch()

    def _heartbeat(self, delivery):
        self.reports += codec.decode(delivery.body)
        self._heartbeats.ack(delivery.tag)
        self.touch()

    def confirm(self):
        """Confirm what waited."""
        for delivery in self.unconfirmed:
            self._results.ack(delivery.tag)
        self.unconfirmed.clear()
        self.confirming = True

    async def command_queue(self, endpoint_id):
        """Make it exist; its name."""
        queue = f"{endpoint_id}.commands"
        await self.broker.declare_queue(QueueSpec(queue), Binding(queue, "commands", queue))
        return queue

    async def until_taken(self, endpoint_id):
        """Wait until a core endpoint has acknowledged every command."""
        await self.until(lambda: self.taken >= self.sent)

    async def command(self, endpoint_id, command):
        """Send a start command."""
        queue = await self.command_queue(endpoint_id)
        properties = Properties(content_type=CONTENT_TYPE, timestamp=int(time.time()))
        self.sent += 1
        await self.connection.publish(Publication("commands", queue, encode_command(command), properties))

    def said_by(self, endpoint_id):
        """The states that it reported."""
        return [report.state for report in self.reports if report.endpoint_id == endpoint_id]

    async def send(self, *tasks, version=2):
        queue = self.credentials.task_queue_info.queue
        if version == 2:
            await self.connection.publish(Publication("tasks", queue, v2.encode_tasks(tasks)))
            return
        for task in tasks:
            properties = Properties(headers=v1.task_headers(task))
            await self.connection.publish(Publication("tasks", queue, v1.encode_task(task), properties))

    async def cancel(self, *cancels):
        """Tell a user endpoint what somebody wants cancelled, in one message."""
        queue = self.credentials.control_queue_info.queue
        await self.connection.publish(Publication("tasks", queue, v2.encode_cancels(cancels)))

    async def wishes(self):
        """How many messages wait in the control queue."""
        return await self.broker.depth(self.credentials.control_queue_info.queue)

    async def waiting(self):
        """How many messages wait in the task queue."""
        return await self.broker.depth(self.credentials.task_queue_info.queue)

    async def close(self):
        await self.connection.close()


def task(name, function="f", **options):
    asked = CallOptions(**options) if options else None
    return Task(task_id=name, function_id=function, code=b"2\nab", payload=b"1\nc1\nd", options=asked)


def call(name, source, *arguments):
    """A task that a real worker can run: source of a function called ``f``, and its arguments."""
    serializer = ComputeSerializer()
    code = f"st\nf:{textwrap.dedent(source).strip()}\n"
    payload = serializer.pack_buffers([serializer.serialize(arguments), serializer.serialize({})])
    return Task(name, "0192d3a0-0000-7000-8000-0000000000ff", f"{len(code)}\n{code}".encode(), payload.encode())


def value(result):
    """What a task returned."""
    assert result.error is None, result.data.decode()
    return ComputeSerializer().deserialize(result.data.decode())


@asynccontextmanager
async def over_sockets(port=0, *, control=False):
    """A service whose queues real processes can reach."""
    made = Service(credentials_for("amqp://none"))
    broker = EmbeddedBroker(made.authenticate)
    port = await broker.listen("127.0.0.1", port)
    made.credentials = credentials_for(f"amqp://uep.{UEP}.1:secret@127.0.0.1:{port}/%2F", control=control)
    made.broker, made.port = broker, port
    broker.on_settled = made.settled
    try:
        yield await made.open()
    finally:
        await broker.close()


@pytest.fixture
def parts():
    """What tests make things of."""
    names = (FakeEngine, Service, Watch, call, credentials_for, over_sockets, task, value)
    return SimpleNamespace(UEP=UEP, PATIENCE_S=PATIENCE_S, **{one.__name__: one for one in names})


@pytest.fixture
async def service():
    made = await Service(credentials_for(f"memory://uep.{UEP}.1")).open()
    yield made
    await made.close()


@pytest.fixture
async def controlling():
    """A service that knows of cancelling."""
    made = await Service(credentials_for(f"memory://uep.{UEP}.1", control=True)).open()
    yield made
    await made.close()


@pytest.fixture(scope="module")
def container_root(tmp_path_factory):
    """The root of a container that podman can run; where it can run none, the test is skipped."""
    from tests.endpoint.engines.parsl.podman_place import podman_root

    with podman_root(tmp_path_factory.mktemp("containers")) as found:
        yield found
