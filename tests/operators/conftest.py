"""Services as real processes, and whoever uses them, played by hand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest
from tests import commands
from tests.databases import database

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Connection, Delivery, Publication
from afield.wire import codec, v1, v2
from afield.wire.commands import QueueCredentials, decode_command
from afield.wire.messages import Report, Result, Task

PAYLOAD = "2\nar2\nkw"
SOURCE = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}


def environment(user_dir: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AFIELD_")}
    return kept | {"AFIELD_USER_DIR": str(user_dir)}


def afield(*arguments: object, user_dir: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    done = commands.run(*map(str, arguments), environ=environment(user_dir))
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


class Process:
    """`afield serve`, and its lines on stderr once it has ended."""

    def __init__(self, user_dir: Path, *arguments: object) -> None:
        self.user_dir = user_dir
        ready = user_dir / "ready.json"
        ready.unlink(missing_ok=True)
        self.log = user_dir / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "afield", "serve", "--ready-file", str(ready), *map(str, arguments)],
                env=environment(user_dir), stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Ready"):
                break
        assert ready.exists(), self.log.read_text()
        self.ready = json.loads(ready.read_text())

    @property
    def token(self) -> str:
        for path in (self.user_dir / "services").glob("*.json"):
            known = json.loads(path.read_text())
            if known["service_url"] == self.ready["service_url"]:
                return known["token"]
        raise AssertionError("the service left no file with its token")

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self.ready["service_url"], headers={"Authorization": f"Bearer {self.token}"}, trust_env=False,
            verify=False, timeout=30,
        )  # fmt: skip

    def sync(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=self.ready["service_url"], headers=headers, trust_env=False, verify=False)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*arguments: object) -> Process:
        started.append(Process(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.end(signal.SIGKILL)


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two that are free now."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


class Lab:
    """An endpoint with its user endpoint, played by hand, and somebody who submits to it."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.connections: list[Connection] = []

    async def post(self, path: str, body: dict) -> dict:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def register(self, code: str = SOURCE["function_code"]) -> None:
        self.function_id = (await self.post("/v3/functions", SOURCE | {"function_code": code}))["function_uuid"]
        metadata = {"hostname": "lab", "local_user": "ada", "afield_wire": 2}
        self.registered = await self.post("/v3/endpoints", {"endpoint_name": "e", "metadata": metadata})
        self.endpoint_id = self.registered["endpoint_id"]

    async def submit(self, count: int = 1, payload: str = PAYLOAD) -> list[str]:
        """Accepted tasks; a user endpoint is brought up on the way."""
        body = {"tasks": {self.function_id: [payload] * count}, "create_queue": True}
        submitting = asyncio.ensure_future(self.post(f"/v3/endpoints/{self.endpoint_id}/submit", body))
        if not hasattr(self, "credentials"):
            command = asyncio.ensure_future(self.commands.get())
            await asyncio.wait([submitting, command], return_when=asyncio.FIRST_COMPLETED)
            if submitting.done():
                submitting.result()
            self.credentials = decode_command(command.result().body).kwargs.amqp_creds
            await self._report(self.credentials.heartbeat_queue_info.queue_publish_kwargs,
                               Report(self.credentials.endpoint_id, {"heartbeat_period": 30, "active": True}),
                               self.credentials.task_queue_info.connection_url)  # fmt: skip
        return (await submitting)["tasks"][self.function_id]

    async def core(self) -> None:
        """Come online."""
        info = self.registered["command_queue_info"]
        self.commands: asyncio.Queue[Delivery] = asyncio.Queue()
        connection = await self._connect(info["connection_url"])
        await connection.consume(info["queue"], self.commands.put_nowait)
        arguments = self.registered["heartbeat_queue_info"]["queue_publish_kwargs"]
        await self._publish(connection, arguments, v1.encode_report(Report(self.endpoint_id, {"heartbeat_period": 30})))
        while (await self.http.get(f"/v2/endpoints/{self.endpoint_id}/status")).json()["status"] != "online":
            await asyncio.sleep(0)

    async def run(self, count: int, value: bytes = b"00\nx\n") -> list[Task]:
        """Take so many tasks, and return a value for each."""
        info = self.credentials.task_queue_info
        connection = await self._connect(info.connection_url)
        arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        consumer = await connection.consume(info.queue, arrived.put_nowait, exclusive=True)
        tasks: list[Task] = []
        while len(tasks) < count:
            delivery = await arrived.get()
            tasks += codec.decode(delivery.body, delivery.properties.headers)
            consumer.ack(delivery.tag)
        results = v2.encode_results([Result(task.task_id, value) for task in tasks])
        await self._publish(connection, self.credentials.result_queue_info.queue_publish_kwargs, results)
        await connection.close()
        return tasks

    async def done(self, task_id: str) -> dict:
        """Once it has ended."""
        while "completion_t" not in (shown := (await self.http.get(f"/v2/tasks/{task_id}")).json()):
            await asyncio.sleep(0)
        return shown

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()

    async def _connect(self, url: str) -> Connection:
        self.connections.append(await AmqpConnector().connect(url))
        return self.connections[-1]

    async def _report(self, arguments: dict, report: Report, url: str) -> None:
        await self._publish(await self._connect(url), arguments, v1.encode_report(report))

    @staticmethod
    async def _publish(connection: Connection, arguments: dict, body: bytes) -> None:
        await connection.publish(Publication(arguments["exchange"], arguments["routing_key"], body))

    credentials: QueueCredentials


@pytest.fixture
async def postgres_url(anyio_backend: str) -> AsyncIterator[Callable[[], object]]:
    """Gives empty databases."""
    async with AsyncExitStack() as given:
        yield lambda: given.enter_async_context(database(flushed=False))


@pytest.fixture
def lab_of() -> type[Lab]:
    return Lab


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `afield …` for the person whose directory the test has."""
    return partial(afield, user_dir=tmp_path)
