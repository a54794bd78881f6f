"""`afield endpoint` as the owner of a machine meets it, with a real service."""

from __future__ import annotations

import json
import os
import signal
import uuid

import psutil
import pytest

from afield.endpoint.host.directory import endpoint_directory
from afield.endpoint.host.lock import RunLock, holder

#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 60


def test_configure_writes_files_with_words(machine):
    said = machine("configure", "mine", "--display-name", "The big one")
    assert "afield endpoint start mine" in said
    place = machine.user_dir / "endpoints" / "mine"
    for name in ("config.yaml", "user_config_template.yaml.j2", "user_config_schema.json", "user_environment.yaml"):
        assert name in said
        assert (place / name).exists()
    assert 'display_name: "The big one"' in (place / "config.yaml").read_text()
    assert place.stat().st_mode & 0o077 == 0, "nobody else's business"
    assert "is configured already" in machine("configure", "mine", code=78)


@pytest.mark.parametrize("name", ["a b", ".hidden", "a/b", "", "a'b", "x" * 129])
def test_a_name_that_cannot_be_is_told(machine, name):
    assert "cannot be an endpoint's name" in machine("configure", name, code=78)


def test_what_is_not_there_is_told(machine):
    assert "afield endpoint configure mine" in machine("start", "mine", code=78)
    assert "there is no endpoint mine" in machine("stop", "mine", code=78)
    assert "there is no endpoint mine" in machine("delete", "mine", "--yes", code=78)
    assert "afield endpoint configure" in machine("list")
    assert json.loads(machine("list", "--json")) == []


def test_wrong_usage_is_told(machine):
    assert "No such command" in machine("dance", code=2)
    assert "No such option" in machine("start", "--dance", code=2)


def test_help_has_examples(machine):
    assert "afield endpoint configure mine" in machine("--help")
    for command in (
        "configure",
        "start",
        "stop",
        "restart",
        "list",
        "status",
        "logs",
        "delete",
        "render",
        "python-exec",
        "version",
    ):
        assert f"afield endpoint {command}" in machine(command, "--help")


def test_mistakes_in_files_are_told_with_their_line(machine):
    machine("configure", "mine")
    config = machine.user_dir / "endpoints" / "mine" / "config.yaml"
    config.write_text("display_name: x\npublick: true\n")
    said = machine("start", "mine", code=78)
    assert "config.yaml, line 2: nobody knows the key publick; did you mean public?" in said


def test_one_broken_identity_hides_no_other_endpoint(machine):
    for name in ("mine", "other"):
        machine("configure", name)
    (machine.user_dir / "endpoints" / "mine" / "endpoint.json").write_text("{")
    listed = machine.listed()
    assert listed["mine"]["state"] == "broken"
    assert "endpoint.json" in listed["mine"]["why"]
    assert listed["other"]["state"] == "never started"


def test_no_service_is_told(machine):
    machine("configure", "mine")
    said = machine("start", "mine", code=78)
    assert "afield up" in said
    assert "AFIELD_SERVICE_URL" in said
    nobody = "http://127.0.0.1:9"
    said = machine("start", "mine", code=75, AFIELD_SERVICE_URL=nobody, AFIELD_TOKEN="x")
    assert nobody in said
    assert "AFIELD_SERVICE_URL" in said
    assert "no token" in machine("start", "mine", code=78, AFIELD_SERVICE_URL=nobody)


def test_a_template_can_be_tried(machine):
    machine("configure", "mine")
    assert "max_workers: 3" in machine("render", "mine", "--options", '{"max_workers": 3}')
    assert "does not fit this endpoint" in machine("render", "mine", "-o", '{"max_workers": "x"}', code=78)
    assert "--options should be JSON" in machine("render", "mine", "-o", "{", code=78)


def test_one_that_runs_here_is_not_started_twice(machine):
    machine("configure", "mine")
    directory = endpoint_directory("mine", machine.user_dir)
    with RunLock(directory.lock, "mine"):
        said = machine("start", "mine", code=73)
        assert f"is running already, as process {os.getpid()} on host {os.uname().nodename}" in said
        assert machine.listed()["mine"]["state"] == "starting"
        assert "is running as process" in machine("delete", "mine", "--yes", code=73)
    assert holder(directory.lock) is None
    assert machine.listed()["mine"]["state"] == "never started"
    assert "was not running" in machine("stop", "mine")


@pytest.mark.e2e
def test_a_wrong_token_is_told(served):
    served("configure", "token")
    said = served("start", "token", code=77, AFIELD_TOKEN="wrong")
    assert "does not take the token" in said
    assert "AFIELD_TOKEN" in said


@pytest.mark.e2e
def test_it_runs_until_ctrl_c_and_keeps_its_id(served):
    served("configure", "ctrlc")
    first, process = served.begin("start", "ctrlc")
    assert first.startswith("Ready: endpoint ctrlc is ")
    row = served.listed()["ctrlc"]
    assert row["state"] == "running"
    assert row["pid"] == process.pid
    assert row["id"] in first
    uuid.UUID(row["id"])
    assert row["id"] in served("list")
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert rest == "Stopped: endpoint ctrlc\n"
    assert served.listed()["ctrlc"]["state"] == "stopped"
    again, process = served.begin("start", "ctrlc")
    assert row["id"] in again
    assert served("stop", "ctrlc") == "Stopped: endpoint ctrlc\n"
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


@pytest.mark.e2e
def test_it_runs_detached(served):
    served("configure", "detached")
    said = served("start", "detached", "--detach")
    assert "Ready: endpoint detached is " in said
    row = served.listed()["detached"]
    process = psutil.Process(row["pid"])
    assert f"(process {process.pid})" in said
    assert process.terminal() is None
    assert "is running already" in served("start", "detached", "--detach", code=73)
    assert "Ready" in served("restart", "detached", "--detach")
    assert psutil.wait_procs([process], timeout=PATIENCE_S)[1] == []
    again = served.listed()["detached"]
    assert again["id"] == row["id"]
    assert again["pid"] != row["pid"]
    served("stop", "detached")
    assert served.listed()["detached"]["state"] == "stopped"


@pytest.mark.e2e
def test_a_restart_stops_nothing_that_could_not_start_again(served):
    served("configure", "kept")
    try:
        served("start", "kept", "--detach")
        config = served.user_dir / "endpoints" / "kept" / "config.yaml"
        good = config.read_text()
        config.write_text("debug: [\n")
        assert "config.yaml, line 2" in served("restart", "kept", "--detach", code=78)
        config.write_text(good + "audit_log_path: .\n")
        assert "the audit log" in served("restart", "kept", "--detach", code=78)
        assert served.listed()["kept"]["state"] == "running"
        config.write_text(good)
    finally:
        served("stop", "kept")


def test_it_may_have_an_id_that_is_its_owners(served):
    served("configure", "first")
    _, process = served.begin("start", "first")
    one = served.listed()["first"]["id"]
    served("stop", "first")
    process.communicate(timeout=PATIENCE_S)
    served("configure", "second")
    line, process = served.begin("start", "second", "--endpoint-uuid", one)
    assert one in line
    served("stop", "second")
    process.communicate(timeout=PATIENCE_S)
    stranger = str(uuid.uuid4())
    said = served("start", "second", "--endpoint-uuid", stranger, code=78)
    assert f"knows no endpoint {stranger}" in said
    assert "is not an endpoint id" in served("start", "second", "--endpoint-uuid", "x", code=65)


@pytest.mark.e2e
def test_delete_asks_and_removes_everywhere(served):
    served("configure", "gone")
    _, process = served.begin("start", "gone")
    one = served.listed()["gone"]["id"]
    assert "is running as process" in served("delete", "gone", "--yes", code=73)
    assert "Remove the endpoint gone" in served("delete", "gone", "--force", stdin="n\n", code=1)
    assert process.poll() is None
    assert "Removed: endpoint gone" in served("delete", "gone", "--yes", "--force")
    process.communicate(timeout=PATIENCE_S)
    assert "gone" not in served.listed()
    served("configure", "gone")
    assert f"knows no endpoint {one}" in served("start", "gone", "--endpoint-uuid", one, code=78)
    assert "Removed" in served("delete", "gone", "--yes")
