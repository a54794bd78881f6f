"""The doctor finds what is wrong, before it stops a service."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

Findings = dict[str, tuple[str, str]]


@pytest.fixture
def doctor(command, tmp_path) -> Callable[..., tuple[int, Findings]]:
    """The exit code, and for each thing how it is, and what was said."""

    def doctor(**said: object) -> tuple[int, Findings]:
        path = tmp_path / "s.toml"
        values = {"data_dir": str(tmp_path / "data"), "port": 0, "amqp_port": 0} | said
        path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
        done = command("admin", "doctor", "--config", path, "--json", check=False)
        assert "Traceback" not in done.stderr, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, {one["about"]: (one["state"], one["said"]) for one in found}

    return doctor


def test_a_machine_that_is_fine(doctor, tmp_path):
    code, found = doctor()
    assert code == 0
    assert found["data directory"] == ("ok", f"{tmp_path}/data will be made")
    assert found["disk"][0] != "failure"
    assert found["database"][0] == "ok"
    assert "will be made" in found["tables"][1]
    assert found["broker"] == ("ok", "within the service")
    assert not (tmp_path / "data").exists(), "it was to change nothing"


def test_people_read_it_too(command, tmp_path):
    done = command("admin", "doctor", "--data", tmp_path / "data", check=False)
    assert "ok       data directory: " in done.stdout


def test_a_port_that_is_taken(doctor):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, found = doctor(port=taken.getsockname()[1])
        assert code == 1
        assert found["port for HTTP"][0] == "failure"
        code, found = doctor(amqp_port=taken.getsockname()[1])
        assert (code, found["port for queues"][0]) == (0, "warning")


def test_its_own_service_may_have_the_port(start, doctor, ports, tmp_path):
    start("--data", tmp_path / "data", "--port", ports[0], "--amqp-port", ports[1])
    code, found = doctor(port=ports[0], amqp_port=ports[1])
    assert code == 0
    assert "by the service that is running" in found["port for HTTP"][1]
    assert "by the service that is running" in found["port for queues"][1]


@pytest.mark.parametrize(
    ("said", "about", "told"),
    [
        ({"host": "203.0.113.7", "port": 18_999}, "port for HTTP", "cannot be had"),
        ({"public_host": "no-such-host.invalid"}, "public host", "not known here"),
        ({"database": "postgresql://ada:hunter2@127.0.0.1:1/x"}, "database", "does not answer"),
        ({"public_url": "compute.example.org"}, "public URL", "is no address"),
        ({"public_url": "https://127.0.0.1:1"}, "TLS", "127.0.0.1"),
    ],
)
def test_what_cannot_work(doctor, said, about, told):
    code, found = doctor(**said)
    assert code == 1
    assert found[about][0] == "failure"
    assert told in found[about][1]
    assert "hunter2" not in json.dumps(found)


def test_a_data_directory_that_is_a_file_s(doctor, tmp_path):
    (tmp_path / "file").write_text("x")
    assert doctor(data_dir=str(tmp_path / "file" / "data"))[0] == 1


def test_a_directory_open_to_others(doctor, tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    code, found = doctor()
    assert (code, found["data directory"][0]) == (0, "warning")


def test_listening_for_others_without_tls(doctor):
    code, found = doctor(host="0.0.0.0")
    assert (code, found["TLS"][0]) == (0, "warning")
    assert "in the clear" in found["TLS"][1]


@pytest.mark.parametrize(
    ("version", "state", "code"), [("0001", "warning", 0), ("9999", "failure", 1)], ids=["older", "newer"]
)
def test_tables_of_another_version(start, doctor, tmp_path, version, state, code):
    import sqlite3

    assert start("--data", tmp_path / "data", "--port", 0, "--amqp-port", 0).end() == 0
    with sqlite3.connect(tmp_path / "data" / "afield.db") as database:
        database.execute("UPDATE afield_version SET version_num = ?", (version,))
    database.close()
    found = doctor()
    assert (found[0], found[1]["tables"][0]) == (code, state)
    assert version in found[1]["tables"][1]


@pytest.mark.postgres
async def test_postgresql(doctor, postgres_url):
    code, found = doctor(database=await postgres_url())
    assert code == 0
    assert found["database"][1].startswith("PostgreSQL ")
    assert found["clock of the database"][0] == "ok"


class Ready(BaseHTTPRequestHandler):
    """Plays a front whose clock is far behind."""

    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", "Tue, 01 Jan 2019 00:00:00 GMT")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def answering(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Its port."""
    server = HTTPServer(("127.0.0.1", 0), Ready)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_clocks_that_are_apart(doctor):
    with answering() as port:
        code, found = doctor(public_url=f"http://127.0.0.1:{port}")
    assert code == 1
    assert "run NTP" in found["clock of 127.0.0.1"][1]
    assert found["TLS"][0] == "warning"


def test_a_certificate_that_nobody_knows(doctor, tmp_path: Path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with answering(context) as port:
        code, found = doctor(public_url=f"https://localhost:{port}")
    assert (code, found["TLS"][0]) == (1, "failure")
    assert "self-signed" in found["TLS"][1] or "self signed" in found["TLS"][1]
