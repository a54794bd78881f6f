"""Two real services behind a load balancer, restarted one after the other and killed, while a real endpoint works.

Tasks leave a witness: a line in a file each time that one begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.databases import for_processes

from afield import Client, Executor
from afield.broker.rabbitmq.api import ManagementApi
from afield.ids import new_id
from afield.sdk.retry import Pace
from afield.serialize import PureSourceTextInspect
from afield.testing.rabbitmq_node import RabbitNode

pytestmark = [pytest.mark.e2e, pytest.mark.rabbitmq, pytest.mark.postgres]

PATIENCE_S = 60
SECRET = "5e" * 32


def leave_a_mark(path: str, number: int) -> int:
    import os

    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)
    return number * number


class Balancer:
    """A plain load balancer: each connection goes to the next backend that takes it. It lives in a thread."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self.ports:
            self._turn += 1
            try:
                behind = await asyncio.open_connection("127.0.0.1", self.ports[self._turn % len(self.ports)])
                break
            except OSError:
                continue
        else:
            writer.close()
            return
        await asyncio.gather(self._pass_on(reader, behind[1]), self._pass_on(behind[0], writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Replica:
    """One `afield serve`, on a port that stays its own."""

    def __init__(self, place: Path, *arguments: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one:
            self.port = one.getsockname()[1]
        (place / "data").mkdir(parents=True)
        (place / "data" / "secret").write_text(SECRET)
        self._place, self._arguments = place, arguments
        self.environment = environment() | {"AFIELD_USER_DIR": str(place / "user")}
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """The token of whoever started it."""
        with (self._place / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "afield", "serve", "--data", str(self._place / "data"), "--port",
                 str(self.port), *self._arguments],
                env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = next((line for line in self.process.stdout if line.startswith("Ready")), "")
        assert line, f"it ended with {self.process.wait()}:\n{self.log[-3000:]}"
        known = json.loads(Path(line.rpartition("token in ")[2].strip()).read_text())
        return str(known["token"])

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return status

    @property
    def log(self) -> str:
        return (self._place / "log").read_text()


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    one = Balancer()
    yield one
    one.close()


@pytest.fixture
def database() -> Iterator[str]:
    """A fresh database, gone afterwards."""
    with for_processes() as url:
        yield url


@pytest.fixture
def own_vhost(node: RabbitNode) -> Iterator[str]:
    """A virtual host of this test's own."""
    name = f"test-{new_id()[-8:]}"

    async def do(*requests: tuple[Any, ...]) -> None:
        api = ManagementApi(node.api)
        for request in requests:
            await api._ask(*request)
        await api.close()

    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    asyncio.run(do(("PUT", f"/vhosts/{name}"), ("PUT", f"/permissions/{name}/guest", everything)))
    yield name
    asyncio.run(do(("DELETE", f"/vhosts/{name}")))


@pytest.fixture
def replicas(tmp_path, balancer, database, node, own_vhost) -> Iterator[list[Replica]]:
    arguments = (
        "--database", database, "--broker", f"amqp://guest:guest@127.0.0.1:{node.port}/{own_vhost}",
        "--broker-api", node.api, "--database-connections", "3",
    )  # fmt: skip
    made = [Replica(tmp_path / f"replica{number}", *arguments) for number in range(2)]
    balancer.ports = [one.port for one in made]
    yield made
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.end(signal.SIGTERM)


@pytest.fixture
def endpoint(tmp_path, balancer, replicas) -> Iterator[tuple[str, str]]:
    """(its id, a token) of a real endpoint behind the balancer."""
    tokens = [replica.start() for replica in replicas]
    place = environment() | {
        "AFIELD_USER_DIR": str(tmp_path / "machine"),
        "AFIELD_SERVICE_URL": f"http://127.0.0.1:{balancer.port}",
        "AFIELD_TOKEN": tokens[0],
    }
    afield = [sys.executable, "-m", "afield", "endpoint"]
    subprocess.run([*afield, "configure", "mine"], env=place, check=True, capture_output=True, timeout=PATIENCE_S)
    with (tmp_path / "endpoint.log").open("w") as log:
        process = subprocess.Popen([*afield, "start", "mine"], env=place, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    line = next((line for line in process.stdout if line.startswith("Ready")), "")
    assert line, (tmp_path / "endpoint.log").read_text()[-3000:]
    (one,) = httpx2.get(
        f"http://127.0.0.1:{balancer.port}/v2/endpoints", headers={"Authorization": f"Bearer {tokens[1]}"}
    ).json()
    yield one["uuid"], tokens[1]
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    process.stdout.close()


def test_restarts_under_load_lose_and_double_nothing(tmp_path, balancer, replicas, endpoint):
    endpoint_id, token = endpoint
    witness = str(tmp_path / "witness")
    client = Client(
        service_url=f"http://127.0.0.1:{balancer.port}", token=token,
        code_serialization_strategy=PureSourceTextInspect(), pace=Pace(longest_s=0.2),
    )  # fmt: skip
    futures: list[Future[int]] = []
    with client, Executor(endpoint_id, client=client) as executor:

        def submit(count: int) -> list[Future[int]]:
            new = [executor.submit(leave_a_mark, witness, len(futures) + n) for n in range(count)]
            futures.extend(new)
            return new

        def some_end(of: list[Future[int]], count: int) -> None:
            for _, _ in zip(range(count), as_completed(of, timeout=PATIENCE_S), strict=False):
                pass

        some_end(submit(20), 20)  # all is up
        for number, one in (
            (signal.SIGTERM, replicas[0]),
            (signal.SIGTERM, replicas[1]),
            (signal.SIGKILL, replicas[0]),
        ):
            some_end(submit(150), 30)
            under_way = submit(150)
            status = one.end(number)
            assert status == (0 if number is signal.SIGTERM else -number), one.log[-3000:]
            some_end(under_way, 30)
            later = submit(50)
            one.start()
            some_end(later, 10)
        results = [future.result(PATIENCE_S) for future in futures]
    assert results == [n * n for n in range(len(futures))]
    runs = Counter(int(line) for line in Path(witness).read_text().split())
    assert runs == Counter(range(len(futures)))
    assert len(futures) == 20 + 3 * 350
