"""`stop_endpoint` on the endpoint of `afield up`: the endpoint ends, the service stays, and it may be started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from tests import commands

from afield import Client, Executor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

#: Nothing takes longer; it only bounds a hang.
PATIENCE_S = 30


class Up:
    """One `afield up`, and what it says."""

    def __init__(self, place):
        self.place = place

    def start(self):
        ready = self.place / "ready.json"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "afield", "up", "--data", str(self.place / "data"), "--port", "0", "--amqp-port",
             "0", "--ready-file", str(ready)],
            env=environment | {"AFIELD_USER_DIR": str(self.place)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.until("Ready")
        said = json.loads(ready.read_text())
        [known] = (self.place / "services").glob("*.json")
        self.endpoint_id, self.token = said["endpoint_id"], json.loads(known.read_text())["token"]
        self.url = said["service_url"]
        self.client = Client(service_url=self.url, token=self.token)
        return self

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path, None if body is None else json.dumps(body).encode(), method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def command(self, *arguments, code=0):
        """What somebody's `afield …` says, wherever they sit."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}
        there = {"AFIELD_USER_DIR": str(self.place), "AFIELD_SERVICE_URL": self.url, "AFIELD_TOKEN": self.token}
        done = commands.run(*arguments, environ=environment | there, timeout=PATIENCE_S)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def until(self, word):
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if word in line:
                return line
        pytest.fail(f"it ended with {self.process.wait()}:\n{''.join(lines)}")

    def works(self):
        with Executor(self.endpoint_id, client=self.client) as executor:
            return executor.submit(pow, 2, 10).result(PATIENCE_S)

    def stop(self):
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


@pytest.fixture
def up(tmp_path):
    one = Up(tmp_path).start()
    yield one
    if one.process.poll() is None:
        one.stop()


def test_the_service_stays_and_says_so_and_the_next_up_starts_it_again(up):
    assert up.works() == 1024
    first = up.endpoint_id
    up.client.stop_endpoint(first)
    assert "stopped from elsewhere" in up.until("The endpoint")
    assert up.client.get_endpoint_status(first)["status"] == "offline"
    batch = up.client.create_batch()
    batch.add(up.client.register_function(pow), args=(3, 2))
    sent = up.client.batch_run(first, batch)
    assert up.stop() == 0
    # At once, though it is locked: whoever starts it wants it.
    up.start()
    assert up.endpoint_id == first
    assert up.works() == 1024
    with Executor(first, client=up.client, task_group_id=sent["task_group_id"]) as executor:
        [waited] = executor.reload_tasks()
        assert waited.result(PATIENCE_S) == 9
    assert up.stop() == 0


def test_its_owner_may_take_the_lock_back(up):
    where = f"/v3/endpoints/{up.endpoint_id}"
    up.client.stop_endpoint(up.endpoint_id)
    up.until("The endpoint")
    said = {"endpoint_name": "local", "metadata": {}}
    status, refused = up.ask("PUT", where, said)
    assert (status, refused["code"]) == (423, "RESOURCE_LOCKED")
    assert "unlock it before" in refused["reason"]
    assert "lets endpoint" in up.command("endpoint", "unlock", up.endpoint_id)
    status, registered = up.ask("PUT", where, said)
    assert (status, registered["endpoint_id"]) == (200, up.endpoint_id)
    nobodys = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
    assert f"knows no endpoint {nobodys}" in up.command("endpoint", "unlock", nobodys, code=78)
