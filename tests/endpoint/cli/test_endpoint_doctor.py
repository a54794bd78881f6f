"""The doctor, with what is wrong made wrong for real; and starting with the machine."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from tests.authority import make_authority

from afield.broker.tls import CA_FILE
from afield.endpoint.cli.checks.machine import wanted_commands
from afield.endpoint.cli.checks.network import network_findings, reach
from afield.endpoint.host import systemd
from afield.endpoint.settings import ManagerSettings
from afield.errors import ConfigurationError

from .conftest import PATIENCE_S


def levels(found, about):
    return [one["level"] for one in found if one["about"] == about]


def todo(found, about):
    return " ".join(one["todo"] for one in found if one["about"] == about)


@pytest.mark.e2e
def test_all_is_well_and_a_task_goes_through(served):
    served("configure", "well")
    _, process = served.begin("start", "well")
    try:
        found = json.loads(served("doctor", "well", "--json"))
        assert {one["level"] for one in found} <= {"ok", "warning"}, found
        for about in (
            "version",
            "files",
            "disk",
            "locks",
            "template",
            "service",
            "clock",
            "login",
            "queues",
            "endpoint",
        ):
            assert "ok" in levels(found, about), about
        [task] = [one for one in found if one["about"] == "task"]
        assert task["text"].startswith("a task went through and back in ")
        report = served.user_dir / "report.txt.gz"
        said = served("doctor", "well", "--no-task", "--report", str(report), AFIELD_SOMETHING="hush-hush")
        assert "ok       queues     logged in at " in said
        assert "a task went through" not in said
        text = gzip.decompress(report.read_bytes()).decode()
        assert "AFIELD_SOMETHING" in text
        assert "hush-hush" not in text
        assert "starting for" in text, "the log"
        assert "msgspec==" in text
    finally:
        served("stop", "well")
        process.communicate(timeout=PATIENCE_S)


def test_what_is_wrong_here_is_told_with_what_to_do(machine):
    machine("configure", "ill")
    place = machine.user_dir / "endpoints" / "ill"
    template = place / "user_config_template.yaml.j2"
    template.write_text(template.read_text() + "\n# x: provider\n{# SlurmProvider #}\n")
    found = json.loads(machine("doctor", "ill", "--json", code=69))
    assert levels(found, "commands") == [], "what is only remarked upon is not needed"
    assert levels(found, "service") == ["failed"]
    assert todo(found, "service")
    template.write_text("engine:\n  type: GlobusComputeEngine\n  provider:\n    type: SlurmProvider\n")
    empty = machine.user_dir / "empty"
    empty.mkdir()
    found = json.loads(machine("doctor", "ill", "--json", code=69, PATH=str(empty)))
    assert levels(found, "commands") == ["failed"]
    assert "login node" in todo(found, "commands")
    (place / "config.yaml").write_text("audit_log_path: audit.log\n")
    assert levels(json.loads(machine("doctor", "ill", "--json", code=69)), "audit log") == ["ok"]
    assert not (place / "audit.log").exists()
    (place / "config.yaml").write_text("audit_log_path: .\n")
    found = json.loads(machine("doctor", "ill", "--json", code=69))
    assert levels(found, "audit log") == ["failed"]
    assert "refuse until then" in todo(found, "audit log")
    (place / "config.yaml").write_text("publick: true\n")
    said = machine("doctor", "ill", code=69)
    assert "failed   files      " in said
    assert "did you mean public?" in said


def test_the_doctor_tries_the_template_as_far_as_that_goes_without_options(machine):
    machine("configure", "ill")
    place = machine.user_dir / "endpoints" / "ill"
    template = place / "user_config_template.yaml.j2"

    def template_is(text):
        template.write_text(text)
        found = json.loads(machine("doctor", "ill", "--json", code=69))  # there is no service
        return levels(found, "template"), str([one for one in found if one["about"] == "template"])

    level, said = template_is("engine:\n  max_wokers: 4\n")
    assert level == ["failed"]
    assert "line 2" in said
    assert "did you mean max_workers?" in said
    assert "afield endpoint render ill" in said
    assert template_is("engine:\n  max_workers: {{ _GC.user_runtime.python.version_tuple[0] }}\n")[0] == ["ok"]
    level, said = template_is("engine:\n  max_workers: {{ n }}\n")
    assert level == ["ok"]
    assert "need options" in said
    (place / "user_config_schema.json").write_text('{"required": ["n"]}')
    assert template_is("engine: {% if n is defined %}{}{% else %}[]{% endif %}\n")[0] == ["ok"]


@pytest.mark.anyio
async def test_where_an_endpoint_is_registered_is_told_if_no_service_is_known_any_more(tmp_path, monkeypatch):
    monkeypatch.setenv("AFIELD_USER_DIR", str(tmp_path))
    monkeypatch.delenv("AFIELD_SERVICE_URL", raising=False)
    [finding] = [one async for one in network_findings(ManagerSettings(), "http://127.0.0.1:5001")]
    assert finding.level == "failed"
    assert "registered at http://127.0.0.1:5001: does that service run?" in finding.todo
    [finding] = [one async for one in network_findings(ManagerSettings())]
    assert "registered" not in finding.todo


def test_nobody_there_is_told(machine):
    machine("configure", "ill")
    nobody = {"AFIELD_SERVICE_URL": "http://127.0.0.1:9", "AFIELD_TOKEN": "x"}
    found = json.loads(machine("doctor", "ill", "--json", code=69, **nobody))
    assert "failed" in levels(found, "service")
    assert "127.0.0.1:9 cannot be reached" in str(found)


@pytest.mark.e2e
def test_a_wrong_login_is_told(served):
    served("configure", "stranger")
    found = json.loads(served("doctor", "stranger", "--json", code=69, AFIELD_TOKEN="wrong"))
    assert levels(found, "login") == ["failed"]
    assert "afield login" in todo(found, "login")


@pytest.fixture(scope="module")
def front(tmp_path_factory, served):
    """A TLS front before the service, with a certificate that an institution signed itself: its port, and the root."""
    authority = make_authority(tmp_path_factory.mktemp("front"))
    behind = int(served.url.rpartition(":")[2])

    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def pass_on(reader, writer):
        back, there = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(pump(reader, there), pump(back, writer))

    ready = Queue()

    async def serve():
        stop = asyncio.Event()
        context = authority.for_server()
        server = await asyncio.start_server(pass_on, "localhost", 0, ssl=context, family=socket.AF_INET)
        ready.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, loop, stop = ready.get(timeout=PATIENCE_S)
    yield port, authority.root
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.mark.e2e
def test_an_endpoint_believes_an_institutions_own_root(served, front):
    port, root = front
    url = f"https://localhost:{port}"
    token = json.loads(next((served.user_dir / "services").glob("*.json")).read_text())["token"]
    served("configure", "private", "--service-url", url)
    said = served("start", "private", code=75, AFIELD_TOKEN=token)
    assert "AFIELD_CA_FILE=/path/to/ca.pem" in said
    found = json.loads(served("doctor", "private", "--json", code=69, AFIELD_TOKEN=token))
    assert levels(found, "service") == ["failed", "failed"]
    assert "AFIELD_CA_FILE" in todo(found, "service")
    with_root = {"AFIELD_TOKEN": token, CA_FILE: str(root)}
    try:
        assert "Ready: endpoint private is" in served("start", "private", "--detach", **with_root)
        found = json.loads(served("doctor", "private", "--json", **with_root))
        text = " ".join(one["text"] for one in found)
        assert f"localhost:{port} answers in" in text
        assert "its certificate ends in" in text
        assert levels(found, "task") == ["ok"]
    finally:
        served("stop", "private")


@pytest.mark.anyio
async def test_ports_are_told_apart():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert (await reach("x", "127.0.0.1", port, tls=False)).level == "ok"
    closed = await reach("x", "127.0.0.1", port, tls=False)
    assert closed.level == "failed"
    assert "cannot be reached" in closed.text
    nowhere = await reach("x", "nowhere.invalid", 443, tls=False)
    assert (nowhere.level, bool(nowhere.todo)) == ("failed", True)

    async def plain(_, writer):
        writer.write(b"AMQP\0\0\x09\x01" * 10)
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        seen = await reach("x", "127.0.0.1", server.sockets[0].getsockname()[1], tls=True)
    assert seen.level == "failed"
    assert "speaks no TLS" in seen.text


def test_commands_that_a_template_needs():
    template = "provider:\n  type: SlurmProvider\n  launcher:\n    type: SrunLauncher\ncontainer_type: podman\n"
    assert [(name, everywhere) for name, _, everywhere in wanted_commands(template)] == [
        ("SlurmProvider", True), ("SrunLauncher", False), ("container_type podman", False)]  # fmt: skip
    assert wanted_commands("# type: SlurmProvider\n{# type: LSFProvider #}") == []


# With the machine


def test_a_unit_says_what_it_should(machine):
    machine("configure", "mine")
    text = machine("enable-on-boot", "mine", "--user", "--print", AFIELD_TOKEN="secret", AFIELD_CA_FILE="/a b/ca%.pem")
    assert f"ExecStart={sys.executable} -m afield.endpoint.cli start mine" in text
    assert f"Environment=AFIELD_USER_DIR={machine.user_dir}" in text
    assert 'Environment="AFIELD_CA_FILE=/a b/ca%%.pem"' in text
    assert "secret" not in text
    assert "Restart=on-failure" in text
    assert "WantedBy=default.target" in text
    text = machine("enable-on-boot", "mine", "--system", "--run-as", "nobody", "--print")
    assert "User=nobody" in text
    assert "WantedBy=multi-user.target" in text
    assert "leave --run-as away" in machine("enable-on-boot", "mine", "--user", "--run-as", "x", "--print", code=78)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("system", [True, False])
def test_systemd_takes_the_unit(tmp_path, monkeypatch, system):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    environ = {"AFIELD_USER_DIR": "/home/a b/$x/100%", "HTTPS_PROXY": 'http://a:"b"@proxy:3128'}
    where = systemd.place(system=system)
    text = systemd.unit_text("m+1.x", where, user="root", secrets=Path("/home/a b/service.env"), environ=environ)
    name = systemd.unit_name("m+1.x")
    assert systemd.complaints(text, name, tmp_path, system=system) == ""
    broken = text.replace("Restart=on-failure", "Restart=sometimes").replace("ExecStart=", "ExecStart=nothing/")
    assert "nothing/" in systemd.complaints(broken, name, tmp_path, system=system)


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs here")
def test_a_machine_without_systemd_is_told(machine):
    machine("configure", "mine")
    said = machine("enable-on-boot", "mine", "--user", code=78, XDG_CONFIG_HOME=str(machine.user_dir / "config"))
    assert "does not run systemd" in said
    assert "@reboot" in said
    assert not list(machine.user_dir.glob("config/systemd/user/*")), "nothing half-done"
    said = machine("disable-on-boot", "mine", "--user", XDG_CONFIG_HOME=str(machine.user_dir / "config"))
    assert "is not started with the machine" in said


def test_where_units_go(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert systemd.place(system=False).directory == tmp_path / "systemd" / "user"
    assert systemd.place(system=True, root=tmp_path).directory == tmp_path / "etc/systemd/system"
    if not Path("/run/systemd/system").is_dir():
        with pytest.raises(ConfigurationError, match="does not run systemd"):
            systemd.systemctl(["daemon-reload"], system=os.geteuid() == 0)
