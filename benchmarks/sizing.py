"""What a service needs: memory, disk and processor time, at rest and with tasks waiting and ended.

::

    python -m benchmarks.sizing [--tasks 20000] [--payload 300]

A service runs as a process of its own. It is given tasks by HTTP for an endpoint that is played here, and the same
number of results comes back by its queue. What is printed is read from the system: resident memory and processor time
of the process, and the bytes of its data directory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import aiohttp

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Connection, Delivery, Publication
from afield.wire import codec, v1, v2
from afield.wire.commands import decode_command
from afield.wire.messages import Report, Result, Task

__all__ = ["main"]

BATCH = 1000
QUIET_S = 20.0


class Measured:
    """The process of a service, and what the system says of it."""

    def __init__(self, where: Path, extra: list[str]) -> None:
        self.where = where
        ready = where / "ready.json"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "afield", "serve", "--data", str(where / "data"), "--port", "0", "--amqp-port", "0",
             "--ready-file", str(ready), *extra],
            env=os.environ | {"AFIELD_USER_DIR": str(where)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.url = json.loads(ready.read_text())["service_url"]
        [known] = (where / "services").glob("*.json")
        self.token = json.loads(known.read_text())["token"]

    def memory_mb(self) -> float:
        """Resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def seconds(self) -> float:
        """Of processor time since the start."""
        said = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")

    def disk_bytes(self) -> int:
        """Of the data directory, without the journal that is used again and again."""
        data = self.where / "data"
        with closing(sqlite3.connect(data / "afield.db", timeout=30)) as database:
            database.execute("PRAGMA wal_checkpoint(FULL)").close()
        return sum(path.stat().st_size for path in data.rglob("*") if path.is_file() and "-wal" not in path.name)


async def measure(service: Measured, tasks: int, payload: int) -> None:
    """Print a line for each state."""
    headers = {"Authorization": f"Bearer {service.token}", "X-Afield-Wire": "2"}
    show("started", service)
    before, begin = service.seconds(), time.perf_counter()
    await asyncio.sleep(QUIET_S)  # to be idle is what is measured
    busy = (service.seconds() - before) / (time.perf_counter() - begin)
    print(f"{'idle':28} {busy * 100:8.2f} % of a core")
    async with aiohttp.ClientSession(service.url, headers=headers) as http:
        function_id = str((await post(http, "/v3/functions", SOURCE))["function_uuid"])
        metadata = {"hostname": "lab", "local_user": "ada", "afield_wire": 2}
        registered = await post(http, "/v3/endpoints", {"endpoint_name": "e", "metadata": metadata})
        user = await bring_up(http, registered, function_id, payload)
        disk = service.disk_bytes()
        before, begin = service.seconds(), time.perf_counter()
        path = f"/v3/endpoints/{registered['endpoint_id']}/submit"
        for _ in range(tasks // BATCH):
            await post(http, path, {"tasks": {function_id: [packed(payload)] * BATCH}, "create_queue": True})
        report("submitted", service, tasks, before, begin, disk)
        before, begin = service.seconds(), time.perf_counter()
        await user.run(tasks + 1, b"00\n" + b"r" * payload)
        report("run, results kept", service, tasks, before, begin, disk)


SOURCE = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}


def packed(payload: int) -> str:
    """Two packed buffers, of so many bytes in all."""
    return f"{payload}\n{'a' * payload}2\nkw"


def show(what: str, service: Measured) -> None:
    print(f"{what:28} {service.memory_mb():8.0f} MB resident")


def report(what: str, service: Measured, tasks: int, seconds: float, begin: float, disk: int) -> None:
    took, used = time.perf_counter() - begin, service.seconds() - seconds
    grown = (service.disk_bytes() - disk) / tasks
    print(
        f"{what:28} {service.memory_mb():8.0f} MB resident  {tasks / took:9,.0f} tasks/s  "
        f"{used / tasks * 1e6:6.0f} µs of a core each  {grown:6,.0f} bytes on disk each"
    )


async def post(http: aiohttp.ClientSession, path: str, body: object) -> dict[str, object]:
    async with http.post(path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, object] = await answer.json()
        return found


class UserEndpoint:
    """Takes tasks, and returns results at once."""

    def __init__(self, connection: Connection, queue: str, results: dict[str, str]) -> None:
        self._connection, self._queue, self._results = connection, queue, results

    async def run(self, count: int, value: bytes) -> None:
        arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        consumer = await self._connection.consume(self._queue, arrived.put_nowait, exclusive=True)
        sending = []
        while count > 0:
            delivery = await arrived.get()
            found = [one for one in codec.decode(delivery.body, delivery.properties.headers) if isinstance(one, Task)]
            consumer.ack(delivery.tag)
            body = v2.encode_results([Result(task.task_id, value) for task in found])
            sending.append(asyncio.ensure_future(self._connection.publish(
                Publication(self._results["exchange"], self._results["routing_key"], body))))  # fmt: skip
            count -= len(found)
        await asyncio.gather(*sending)  # a confirm means that it is kept


async def bring_up(
    http: aiohttp.ClientSession, registered: dict[str, object], function_id: str, payload: int
) -> UserEndpoint:
    """The endpoint comes online, and a first task has its user endpoint started."""
    info, beat = registered["command_queue_info"], registered["heartbeat_queue_info"]
    assert isinstance(info, dict)
    assert isinstance(beat, dict)
    core = await AmqpConnector().connect(info["connection_url"])
    commands: asyncio.Queue[Delivery] = asyncio.Queue()
    await core.consume(info["queue"], commands.put_nowait)
    await tell(core, beat["queue_publish_kwargs"], Report(str(registered["endpoint_id"]), {"heartbeat_period": 3600}))
    body = {"tasks": {function_id: [packed(payload)]}, "create_queue": True}
    submitting = asyncio.ensure_future(post(http, f"/v3/endpoints/{registered['endpoint_id']}/submit", body))
    credentials = decode_command((await commands.get()).body).kwargs.amqp_creds
    user = await AmqpConnector().connect(credentials.task_queue_info.connection_url)
    up = Report(credentials.endpoint_id, {"heartbeat_period": 3600, "active": True})
    await tell(user, credentials.heartbeat_queue_info.queue_publish_kwargs, up)
    await submitting
    return UserEndpoint(user, credentials.task_queue_info.queue, credentials.result_queue_info.queue_publish_kwargs)


async def tell(connection: Connection, where: dict[str, str], report: Report) -> None:
    await connection.publish(Publication(where["exchange"], where["routing_key"], v1.encode_report(report)))


def main() -> None:
    """Measure one service."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--payload", type=int, default=300, help="bytes of arguments, and of each result")
    chosen, extra = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as where:
        service = Measured(Path(where), extra)
        try:
            asyncio.run(measure(service, chosen.tasks, chosen.payload))
        finally:
            service.process.terminate()
            service.process.wait(30)


if __name__ == "__main__":
    main()
