"""Whatever is wrong is named, with the way out, and harms nobody else."""

from __future__ import annotations

import sys
import uuid

import pytest

pytestmark = pytest.mark.e2e

#: A script that does something wrong and prints what it was told; then it shows that the same Executor still works.
TOLD = """
import uuid
from afield import Client, Executor
from afield.errors import *
client = Client()
with Executor(client=client) as ex:
    endpoint = client.get_endpoints()[0]["uuid"]
    try:
        {wrong}
    except Exception as error:
        print(type(error).__name__)
        print(str(error).replace("\\n", " "))
    else:
        print("nothing was wrong?")
    print(ex.submit(pow, 2, 10).result())
"""

NOWHERE = str(uuid.UUID(int=7, version=4))


def told(up, wrong: str) -> tuple[str, str]:
    kind, text, works = up.script(TOLD.format(wrong=wrong)).splitlines()
    assert works == "1024"
    return kind, text


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        (f"client.get_endpoint_status('{NOWHERE}')", "ComputeAPIError", [NOWHERE, "404", "ENDPOINT_NOT_FOUND"]),
        (f"client.get_function('{NOWHERE}')", "ComputeAPIError", [NOWHERE, "404", "FUNCTION_NOT_FOUND"]),
        (f"client.get_task('{NOWHERE}')", "ComputeAPIError", [NOWHERE, "404", "TASK_NOT_FOUND"]),
        (f"ex.submit_to_registered_function('{NOWHERE}').result()", "ComputeAPIError", [NOWHERE, "404"]),
        ("client.get_task('not-an-id')", "InvalidId", ["'not-an-id'", "UUID", "task"]),
        ("Executor(endpoint_id='gpu')", "InvalidId", ["'gpu'", "UUID", "endpoint"]),
        ("ex.submit(lambda items=(i for i in ()): 1)", "SerializationError", ["generator"]),
        ("ex.submit(len, (i for i in ()))", "SerializationError", ["generator", "argument", "len"]),
        ("ex.submit(print, end=(i for i in ()))", "SerializationError", ["generator", "end", "print"]),
        ("ex.submit(lambda: (i for i in ())).result()", "SerializationError", ["generator", "result"]),
        ("ex.submit(len, 'x' * 11_000_000).result()", "ComputeAPIError", ["413", "TASK_PAYLOAD_TOO_LARGE", "10"]),
        ("ex.submit(lambda: 'x' * 11_000_000).result()", "MaxResultSizeExceeded", ["10485760"]),
    ],
)
def test_calls(up, wrong, kind, words):
    found, text = told(up, wrong)
    assert found == kind, text
    for word in words:
        assert word in text


def test_options_that_the_schema_forbids(up):
    kind, text = told(
        up, "Executor(endpoint, client=client, user_endpoint_config={'max_workers': 0}).submit(pow, 2, 3).result()"
    )
    assert kind == "ComputeAPIError"
    assert "422" in text
    assert "max_workers" in text


def test_a_template_that_does_not_render(fresh):
    up = fresh()
    template = up.data_dir / "endpoint" / "user_config_template.yaml.j2"
    text = template.read_text()
    template.write_text(text + "\nengine_of: {{ nobody_says_this }}\n")
    assert (
        up.script("""
from afield import Executor
with Executor() as ex:
    error = ex.submit(pow, 2, 10).exception()
    print(error.http_status, "nobody_says_this" in error.reason, "user_config_template.yaml.j2" in error.reason)
""")
        == "422 True True\n"
    )
    template.write_text(text)
    assert (
        up.script("from afield import Executor\nwith Executor() as ex: print(ex.submit(pow, 2, 10).result())")
        == "1024\n"
    )


def test_a_broken_configuration_file(fresh):
    up = fresh()
    assert up.interrupt() == 0
    config = up.data_dir / "endpoint" / "config.yaml"
    text = config.read_text()
    for broken, words in {
        text + "\nheartbeat_period: soon\n": ["heartbeat_period", "soon"],
        text + "\nheartbeat_perriod: 30\n": ["heartbeat_perriod", "heartbeat_period"],
        text + "\nadmins: [unclosed\n": [],
    }.items():
        config.write_text(broken)
        done = up.run(sys.executable, "-m", "afield", "up", "--data", str(up.data_dir), "--port", "0", check=False)
        said = done.stderr.replace("\n", " ")
        assert done.returncode == 1
        assert "config.yaml" in said
        lines = [str(number) for number in range(len(text.splitlines()), len(broken.splitlines()) + 2)]
        assert any(line in said for line in lines), said
        for word in words:
            assert word in said
        assert "Traceback" not in said


def test_data_of_a_newer_version(fresh):
    import sqlite3

    up = fresh()
    assert up.interrupt() == 0
    [database] = up.data_dir.glob("*.db")
    with sqlite3.connect(database) as connection:
        connection.execute("update afield_version set version_num = '9999'")
    connection.close()
    done = up.run(sys.executable, "-m", "afield", "up", "--data", str(up.data_dir), "--port", "0", check=False)
    assert done.returncode == 1
    assert "newer" in done.stderr
    assert "9999" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_that_is_not_there(up):
    done = up.script("""
from afield import Executor
from afield.errors import ServiceUnreachable
try:
    with Executor(endpoint_id="4b116d3c-1703-4f8f-9f6f-39921e5864df") as ex:
        ex.submit(pow, 2, 10).result()
except ServiceUnreachable as error:
    print(error)
""", AFIELD_SERVICE_URL="http://127.0.0.1:9", AFIELD_TOKEN="any", AFIELD_RETRY_S="0.5")  # fmt: skip
    assert "http://127.0.0.1:9" in done


def test_a_foreign_request_harms_nobody(up):
    import socket

    for url, noise in (
        (up.ready["service_url"], b"\x16\x03\x01 nonsense\r\n\r\n"),
        (up.ready["broker_url"], b"GET / HTTP/1.1\r\n\r\n"),
        (up.ready["broker_url"], b"AMQP\x00\x00\x09\x01" + b"\xff" * 100),
    ):
        host, port = url.rpartition("//")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(noise)
            while connection.recv(65536):
                pass  # until it hangs up
    assert (
        up.script("from afield import Executor\nwith Executor() as ex: print(ex.submit(pow, 2, 10).result())")
        == "1024\n"
    )
