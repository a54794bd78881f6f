"""`afield serve` as a real process: started, found, interrupted, killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Delivery, Publication
from afield.wire import codec, v1
from afield.wire.commands import decode_command
from afield.wire.messages import Report

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

PAYLOAD = "2\nar2\nkw"


class Serve:
    """One process."""

    def __init__(self, user_dir: Path, *arguments: str) -> None:
        self.user_dir = user_dir
        ready_file = user_dir / "ready.json"
        ready_file.unlink(missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AFIELD_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "afield", "serve", "--amqp-port", "0", "--ready-file", str(ready_file), *arguments],
            env=environment | {"AFIELD_USER_DIR": str(user_dir)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Ready"):
                break
        self.ready = json.loads(ready_file.read_text()) if ready_file.exists() else None

    @property
    def token_file(self) -> Path:
        [path] = (self.user_dir / "services").glob("*.json")
        return path

    def client(self) -> httpx2.AsyncClient:
        token = json.loads(self.token_file.read_text())["token"]
        return httpx2.AsyncClient(
            base_url=self.ready["service_url"], headers={"Authorization": f"Bearer {token}"}, trust_env=False,
            verify=False, timeout=30,
        )  # fmt: skip

    def end(self, number: int) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        self.lines.append(rest)
        return self.process.returncode


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., Serve]]:
    started = []

    def start(*arguments: str) -> Serve:
        started.append(Serve(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.end(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_is_found_while_it_runs_and_ends_in_good_order(serve, number):
    one = serve("--port", "0")
    assert one.ready["pid"] == one.process.pid
    assert one.ready["data_dir"] == str(one.user_dir / "service")
    known = json.loads(one.token_file.read_text())
    assert known["service_url"] == one.ready["service_url"]
    assert known["endpoint_id"] is None
    assert stat.S_IMODE(one.token_file.stat().st_mode) == 0o600
    async with one.client() as http:
        assert (await http.get("/v2/endpoints")).json() == []
    assert one.end(number) == 0
    assert not list((one.user_dir / "services").iterdir())
    assert "Traceback" not in "".join(one.lines)
    assert known["token"] not in "".join(one.lines)
    assert known["token"].encode() not in (one.user_dir / "service" / "afield.db").read_bytes()


async def test_killed_outright_it_comes_back_with_everything(serve):
    """The queues were in memory only. An endpoint that lived on gets every task, with the credentials it has."""
    one = serve("--port", "0")
    function = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}
    endpoint = {"endpoint_name": "e", "metadata": {"hostname": "lab", "local_user": "ada", "afield_wire": 2}}
    async with one.client() as http:
        function_id = (await http.post("/v3/functions", json=function)).json()["function_uuid"]
        registered = (await http.post("/v3/endpoints", json=endpoint)).json()
        core = await AmqpConnector().connect(registered["command_queue_info"]["connection_url"])
        commands: asyncio.Queue[Delivery] = asyncio.Queue()
        await core.consume(registered["command_queue_info"]["queue"], commands.put_nowait)
        beat = registered["heartbeat_queue_info"]["queue_publish_kwargs"]
        report = v1.encode_report(Report(registered["endpoint_id"], {"heartbeat_period": 30}))
        await core.publish(Publication(beat["exchange"], beat["routing_key"], report))

        body = {"tasks": {function_id: [PAYLOAD] * 50}, "create_queue": True}
        path = f"/v3/endpoints/{registered['endpoint_id']}/submit"
        submitting = asyncio.ensure_future(http.post(path, json=body))
        credentials = decode_command((await commands.get()).body).kwargs.amqp_creds
        url = credentials.task_queue_info.connection_url
        user = await AmqpConnector().connect(url)
        beat = credentials.heartbeat_queue_info.queue_publish_kwargs
        report = v1.encode_report(Report(credentials.endpoint_id, {"heartbeat_period": 30, "active": True}))
        await user.publish(Publication(beat["exchange"], beat["routing_key"], report))
        accepted = (await submitting).json()["tasks"][function_id]
        assert one.end(signal.SIGKILL) == -signal.SIGKILL
        await core.closed
        await user.closed

        two = serve("--port", one.ready["service_url"].rpartition(":")[2])
        assert two.ready["broker_url"] == one.ready["broker_url"]
        # the token of before is still good
        assert (await http.get(f"/v2/tasks/{accepted[0]}")).json()["status"] == "waiting-for-ep"
        user = await AmqpConnector().connect(url)
        tasks: asyncio.Queue[Delivery] = asyncio.Queue()
        await user.consume(credentials.task_queue_info.queue, tasks.put_nowait, exclusive=True)
        delivery = await tasks.get()
        assert [task.task_id for task in codec.decode(delivery.body)] == accepted
        await user.close()
    assert two.end(signal.SIGINT) == 0


@pytest.mark.parametrize("arguments", [("--port", "99999"), ("--log-level", "loud"), ("--host", "no.such.invalid")])
def test_what_cannot_be_is_told_in_a_sentence(serve, arguments):
    one = serve(*arguments)
    assert one.end(signal.SIGKILL) == 1
    printed = "".join(one.lines)
    assert arguments[1] in printed
    assert "Traceback" not in printed
