"""An endpoint's directory, its lock, its identity, and its way into the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from afield.endpoint.host.credentials import one_url, publication, with_port, with_port_everywhere
from afield.endpoint.host.daemon import start_detached
from afield.endpoint.host.directory import EndpointDirectory, Identity, all_endpoints, endpoint_directory, find_endpoint
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
    for broken in ("{", "[]", '{"endpoint_id": "nope"}', '{"endpoint_id": 5}'):
        (directory.path / "endpoint.json").write_text(broken)
        with pytest.raises(ConfigurationError, match=r"endpoint\.json cannot be read.*Remove it"):
            directory.identity()


def test_an_endpoint_is_found_by_its_name_or_id(tmp_path):
    for name, one in (("mine", ID), ("other", ID.replace("0c", "0d"))):
        directory = endpoint_directory(name, tmp_path)
        directory.path.mkdir(parents=True)
        directory.config.touch()
        directory.keep_identity(Identity(one))
    assert find_endpoint("other", tmp_path).name == "other"
    assert find_endpoint(ID, tmp_path).name == "mine"
    assert find_endpoint(ID.upper(), tmp_path).name == "mine"
    assert find_endpoint("new", tmp_path).path == tmp_path / "endpoints" / "new"
    with pytest.raises(ConfigurationError, match=r"has the id 0192d3a0.*afield endpoint list"):
        find_endpoint(ID.replace("0c", "0e"), tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "uep .x"])
def test_a_service_cannot_name_a_directory_elsewhere(tmp_path, name):
    with pytest.raises(ConfigurationError, match="cannot be a directory's name"):
        EndpointDirectory("mine", tmp_path).child(name)


def test_a_detached_process_says_when_it_is_ready(tmp_path):
    code = (
        "from afield.endpoint.host.daemon import say_ready; import time; say_ready('at your service'); time.sleep(60)"
    )
    pid, said = start_detached([sys.executable, "-c", code], tmp_path / "log")
    process = psutil.Process(pid)
    try:
        assert said == "at your service"
        assert oct((tmp_path / "log").stat().st_mode)[-3:] == "600"
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


SLOW = "import sys; from afield.endpoint.host.daemon import say_ready; sys.stdin = open({pipe!r}); sys.stdin.read(); "


def test_a_detached_process_that_takes_its_time_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    slow = SLOW.format(pipe=str(tmp_path / "pipe")) + "say_ready('at last'); print('and it goes on', flush=True)"
    pid, said = start_detached((sys.executable, "-c", slow), tmp_path / "log", patience_s=0.01)
    assert said is None
    process = psutil.Process(pid)
    (tmp_path / "pipe").write_text("go on")  # nobody reads what it says now, which is no fault of its own
    process.wait(60)
    assert (tmp_path / "log").read_text() == "and it goes on\n"


@pytest.mark.parametrize("hears", [True, False])
def test_whoever_is_interrupted_while_waiting_did_not_start_anything(tmp_path, hears):
    os.mkfifo(tmp_path / "pipe")
    slow = f"import time; print('here', file=open({str(tmp_path / 'pipe')!r}, 'w'), flush=True); time.sleep(600)"
    if not hears:
        slow = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {slow}"
    code = (
        "import sys; from pathlib import Path; from afield.endpoint.host.daemon import start_detached\n"
        f"start_detached((sys.executable, '-c', sys.argv[1]), Path(sys.argv[2]), end_within_s={60 if hears else 0.01})"
    )
    with subprocess.Popen([sys.executable, "-c", code, slow, str(tmp_path / "log")], stderr=subprocess.PIPE) as starter:
        assert (tmp_path / "pipe").read_text() == "here\n"
        [daemon] = psutil.Process(starter.pid).children()
        starter.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in starter.communicate(timeout=60)[1]
    assert not daemon.is_running()


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ComputeError, match="nowhere/log cannot be used: No such file"):
        start_detached((sys.executable, "-c", ""), tmp_path / "nowhere" / "log")


def test_ports_may_be_changed(parts):
    assert with_port("amqp://a:b@host/%2F", 443) == "amqp://a:b@host:443/%2F"
    assert with_port("amqps://a:b@host:5671/v?x=y", 443) == "amqps://a:b@host:443/v?x=y"
    assert with_port("amqp://[::1]:5672/%2F", 1) == "amqp://[::1]:1/%2F"
    assert with_port("amqp://host/%2F", None) == "amqp://host/%2F"
    old = with_port_everywhere(parts.credentials_for("amqp://a:b@host/%2F"), 443)
    assert old.control_queue_info is None
    changed = with_port_everywhere(parts.credentials_for("amqp://a:b@host/%2F", control=True), 443)
    assert {
        changed.control_queue_info.connection_url,
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
    passing = publication(parts.credentials_for("amqp://a").result_queue_info, b"x", persistent=False)
    assert passing.properties.delivery_mode == 1


def test_a_machine_says_who_it_is():
    said = facts()
    assert said["hostname"] == os.uname().nodename
    assert said["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert {"local_user", "endpoint_version", "sdk_version"} <= set(said)
    assert local_identity()["uid"] == os.getuid()
