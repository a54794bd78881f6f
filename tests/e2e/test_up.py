"""`afield up` as a user meets it: no login, no address, everything found again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid

import psutil
import pytest
from tests import commands

pytestmark = pytest.mark.e2e

POW = """
from afield import Executor
with Executor({where}) as ex:
    print(ex.submit(pow, 2, 10).result())
"""


def test_a_script_needs_no_login_and_no_address(up):
    assert up.script(POW.format(where="")) == "1024\n"


def test_a_script_may_name_the_endpoint(up):
    assert up.script(POW.format(where=f"endpoint_id={up.ready['endpoint_id']!r}")) == "1024\n"


def test_a_script_may_name_the_service(up):
    assert up.script(POW.format(where=""), AFIELD_SERVICE_URL=up.ready["service_url"]) == "1024\n"


def test_the_ready_file_says_where_everything_is(up):
    assert set(up.ready) == {"service_url", "broker_url", "endpoint_id", "data_dir", "pid"}
    assert up.ready["pid"] == up.process.pid
    assert up.ready["data_dir"] == str(up.data_dir)
    assert up.ready["service_url"].startswith("http://127.0.0.1:")
    assert up.ready["broker_url"].startswith("amqp://127.0.0.1:")
    uuid.UUID(up.ready["endpoint_id"])


def test_a_wrong_token_is_refused(up):
    text = """
from afield import Executor
from afield.errors import ComputeAPIError
try:
    with Executor() as ex:
        ex.submit(pow, 2, 10).result()
except ComputeAPIError as error:
    print(error.http_status, error.code)
"""
    assert up.script(text, AFIELD_TOKEN="wrong") == "401 USER_UNAUTHENTICATED\n"


def test_ctrl_c_ends_everything_and_a_new_start_finds_everything(fresh):
    up = fresh()
    before = up.ready
    sent = up.script("""
from afield import Client, Executor
client = Client()
with Executor(client=client) as ex:
    future = ex.submit(pow, 3, 4)
    future.result()
    print(future.task_id, ex.task_group_id, client.register_function(len))
""").split()
    family = psutil.Process(up.process.pid).children(recursive=True)
    assert family, "the user endpoint and its workers"
    assert up.interrupt() == 0
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert not list((up.user_dir / "services").glob("*.json"))

    after = up.start().ready
    assert after["endpoint_id"] == before["endpoint_id"]
    assert up.script("""
import sys
from afield import Client, Executor
task, group, function = sys.argv[1:]
client = Client()
print(client.get_result(task))
print(client.get_function(function)["function_name"])
with Executor(task_group_id=group) as ex:
    print([future.result() for future in ex.reload_tasks()])
with Executor() as ex:
    print(ex.submit_to_registered_function(function, args=("four",)).result())
""", *sent).splitlines() == ["81", "len", "[81]", "4"]  # fmt: skip


def test_killed_outright_it_comes_back_with_everything(fresh):
    """The service dies while tasks run and wait. None is lost, none runs twice, none stays open."""
    up = fresh()
    witness = up.user_dir / "witness"
    script = up.user_dir / "long.py"
    script.write_text("""
import sys
from afield import Executor
from afield.errors import EndpointLost

def work(x, witness, gate):
    import os, time
    fd = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{x}\\n".encode())
    os.close(fd)
    if x == 0:  # one that is running when the service is killed
        open(gate, "w").write("running")
        time.sleep(0.5)
    return x * x

with Executor() as ex:
    futures = [ex.submit(work, x, sys.argv[1], sys.argv[2]) for x in range(200)]
    print("sent", flush=True)
    ends = []
    for x, future in enumerate(futures):
        try:
            assert future.result() == x * x
            ends.append("ok")
        except EndpointLost:
            ends.append("lost")
    print(len(ends), ends.count("ok"))
""")
    gate = up.user_dir / "gate"
    os.mkfifo(gate)
    client = subprocess.Popen([sys.executable, str(script), str(witness), str(gate)], env=up.environment,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        gate.read_text()  # returns when task 0 is running
        up.kill()
        port = up.ready["service_url"].rpartition(":")[2]
        up.arguments = ("--port", port)
        up.start()
        printed, _ = client.communicate(timeout=90)
    finally:
        client.kill()
        client.wait()
    assert client.returncode == 0
    count, ok = map(int, printed.splitlines()[-1].split())
    assert count == 200
    ran = witness.read_text().split()
    assert len(ran) == len(set(ran)), "a task ran twice"
    assert ok <= len(ran)


def test_a_taken_port_is_told(up):
    port = up.ready["service_url"].rpartition(":")[2]
    done = up.run(
        sys.executable, "-m", "afield", "up", "--data", str(up.user_dir / "other"), "--port", port, check=False
    )
    assert done.returncode == 1
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_directory_in_use_is_told(up):
    done = up.run(sys.executable, "-m", "afield", "up", "--data", str(up.data_dir), "--port", "0", check=False)
    assert done.returncode == 1
    assert str(up.data_dir) in done.stderr
    assert str(up.process.pid) in done.stderr


def test_a_data_directory_that_cannot_be_one_is_told(up):
    (up.user_dir / "file").write_text("not a directory")
    place = up.user_dir / "file" / "data"
    done = up.run(sys.executable, "-m", "afield", "up", "--data", str(place), "--port", "0", check=False)
    assert done.returncode == 1
    assert str(place) in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_nothing_is_running_is_told(tmp_path, up):
    done = up.run(sys.executable, "-c", POW.format(where=""), check=False, AFIELD_USER_DIR=str(tmp_path))
    assert done.returncode != 0
    assert "afield up" in done.stderr
    assert "AFIELD_SERVICE_URL" in done.stderr


def test_help_has_examples(up):
    for command in (["up"], ["demo"], ["serve"], ["endpoint"], ["endpoint", "configure"]):
        printed = commands.run(*command, "--help", environ=up.environment).stdout
        assert "afield " + command[0] in printed


def test_a_second_interrupt_is_not_needed(fresh):
    """Ctrl-C reaches the whole process group in a terminal; that is fine too."""
    up = fresh()
    up.script(POW.format(where=""))
    family = psutil.Process(up.process.pid).children(recursive=True)
    os.killpg(up.process.pid, signal.SIGINT)
    assert up.finish() == 0
    assert psutil.wait_procs(family, timeout=30)[1] == []


def test_a_task_waits_for_an_endpoint_that_is_away(fresh):
    """An endpoint of its own, not started: the task waits and says so, and runs when it comes."""
    up = fresh()
    up.run(sys.executable, "-m", "afield", "endpoint", "configure", "mine")
    endpoint = subprocess.Popen([sys.executable, "-m", "afield", "endpoint", "start", "mine"], env=up.environment,
                                stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert endpoint.stdout is not None
        next(line for line in endpoint.stdout if "eady" in line)
        listed = json.loads(up.run(sys.executable, "-m", "afield", "endpoint", "list", "--json").stdout)
        [mine] = [entry for entry in listed if entry["name"] == "mine"]
        up.run(sys.executable, "-m", "afield", "endpoint", "stop", "mine")
        endpoint.communicate(timeout=30)
    finally:
        endpoint.kill()
        endpoint.wait()
    task, group = up.script(f"""
from afield import Client
client = Client()
function = client.register_function(pow)
batch = client.create_batch()
batch.add(function, args=(2, 5))
accepted = client.batch_run({mine["id"]!r}, batch)
print(*accepted["tasks"][function], accepted["task_group_id"])
""").split()
    state = f"from afield import Client\nprint(Client().get_task({task!r})['status'])"
    assert up.script(state) == "waiting-for-ep\n"

    up.run(sys.executable, "-m", "afield", "endpoint", "start", "mine", "--detach")
    try:
        got = up.script(f"""
from afield import Client, Executor
with Executor(task_group_id={group!r}) as ex:
    print([future.result() for future in ex.reload_tasks()])
print(Client().get_result({task!r}))
""")
        assert got == "[32]\n32\n"
    finally:
        up.run(sys.executable, "-m", "afield", "endpoint", "stop", "mine")
