"""An endpoint's directory, its lock, its identity, and its way into the background."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from afield.endpoint.host.credentials import one_url, publication, with_port, with_port_everywhere
from afield.endpoint.host.daemon import start_detached
from afield.endpoint.host.directory import EndpointDirectory, Identity, all_endpoints, endpoint_directory
from afield.endpoint.host.lock import RunLock, holder
from afield.endpoint.host.report import facts, local_identity
from afield.errors import ComputeError, ConfigurationError, VersionMismatch

ID = "0192d3a0-0000-7000-8000-00000000000c"


def test_endpoints_are_found_by_their_files(tmp_path):
    for name in ("b", "a", "empty", ".hidden"):
        (tmp_path / "endpoints" / name).mkdir(parents=True)
        if name != "empty":
            (tmp_path / "endpoints" / name / "config.yaml").touch()
    assert [directory.name for directory in all_endpoints(tmp_path)] == ["a", "b"]
    assert all_endpoints(tmp_path / "nowhere") == []


def test_an_identity_is_kept_whole(tmp_path):
    directory = endpoint_directory("mine", tmp_path)
    assert directory.identity() is None
    with pytest.raises(ConfigurationError, match=r"endpoint\.json cannot be written"):
        directory.keep_identity(Identity(ID))
    directory.path.mkdir(parents=True)
    directory.keep_identity(Identity(ID, "http://x"))
    assert directory.identity() == Identity(ID, "http://x")
    (directory.path / "endpoint.json").write_text(f'{{"endpoint_id": "{ID}"}}')
    assert directory.identity() == Identity(ID)
    (directory.path / "endpoint.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"endpoint\.json cannot be read.*Remove it"):
        directory.identity()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "uep .x"])
def test_a_service_cannot_name_a_directory_elsewhere(tmp_path, name):
    with pytest.raises(ConfigurationError, match="cannot be a directory's name"):
        EndpointDirectory("mine", tmp_path).child(name)


def test_a_lock_is_for_one(tmp_path):
    path = tmp_path / "lock"
    assert holder(path) is None
    with RunLock(path, "the endpoint mine"):
        found = holder(path)
        assert (found.pid, found.hostname, found.here) == (os.getpid(), os.uname().nodename, True)
        with pytest.raises(ConfigurationError, match=f"the endpoint mine is running already, as process {os.getpid()}"):
            RunLock(path, "the endpoint mine").__enter__()
    assert holder(path) is None
    with RunLock(path, "the endpoint mine"):
        pass


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys, pathlib; from afield.endpoint.host.lock import RunLock\n"
        "with RunLock(pathlib.Path(sys.argv[1]), 'x'): print('has it', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"has it\n"
        assert holder(tmp_path / "lock").pid == process.pid
        process.kill()
        process.wait()
    assert holder(tmp_path / "lock") is None


def test_a_lock_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file"):
        RunLock(tmp_path / "nowhere" / "lock", "x").__enter__()


def test_a_detached_process_says_when_it_is_ready(tmp_path):
    code = (
        "from afield.endpoint.host.daemon import say_ready; import time; say_ready('at your service'); time.sleep(60)"
    )
    pid, said = start_detached([sys.executable, "-c", code], tmp_path / "log")
    process = psutil.Process(pid)
    try:
        assert said == "at your service"
        assert os.getsid(pid) == pid
        assert process.is_running()
    finally:
        process.kill()
        os.waitpid(pid, 0)


def test_a_detached_process_that_fails_tells_why(tmp_path):
    (tmp_path / "log").write_text("an older story\n")
    with pytest.raises(ComputeError) as caught:
        start_detached([sys.executable, "-c", "raise SystemExit('afield: the port is taken')"], tmp_path / "log")
    assert str(caught.value) == "the port is taken"
    with pytest.raises(ComputeError, match="exit status 3"):
        start_detached([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")


def test_ports_may_be_changed(parts):
    assert with_port("amqp://a:b@host/%2F", 443) == "amqp://a:b@host:443/%2F"
    assert with_port("amqps://a:b@host:5671/v?x=y", 443) == "amqps://a:b@host:443/v?x=y"
    assert with_port("amqp://[::1]:5672/%2F", 1) == "amqp://[::1]:1/%2F"
    assert with_port("amqp://host/%2F", None) == "amqp://host/%2F"
    changed = with_port_everywhere(parts.credentials_for("amqp://a:b@host/%2F"), 443)
    assert {
        changed.task_queue_info.connection_url,
        changed.result_queue_info.connection_url,
        changed.heartbeat_queue_info.connection_url,
    } == {"amqp://a:b@host:443/%2F"}


def test_one_login_serves_all_queues(parts):
    assert one_url("amqp://a", "amqp://a") == "amqp://a"
    with pytest.raises(VersionMismatch, match="several logins"):
        one_url("amqp://a", "amqp://b")
    message = publication(parts.credentials_for("amqp://a").result_queue_info, b"x")
    assert (message.exchange, message.routing_key) == ("results", f"{parts.UEP}.results")
    assert (message.mandatory, message.properties.delivery_mode) == (True, 2)


def test_a_machine_says_who_it_is():
    said = facts()
    assert said["hostname"] == os.uname().nodename
    assert said["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert {"local_user", "endpoint_version", "sdk_version"} <= set(said)
    assert local_identity()["uid"] == os.getuid()
