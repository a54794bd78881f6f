"""What an owner sees of an endpoint: status, logs, other login nodes; with a real service and real processes."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from afield import Executor
from afield.endpoint.cli.live import line
from afield.endpoint.cli.logs import Followed, follow, last_lines, shown
from afield.endpoint.cli.words import ago, clean, megabytes
from afield.endpoint.host.lock import PERIOD_S, Holder
from afield.errors import ConfigurationError

from .conftest import CLI, PATIENCE_S


def elsewhere(directory, age_s=0.0):
    """An endpoint of this home directory runs on another login node, or did."""
    lock = directory / "lock"
    lock.write_bytes(msgspec.json.encode(Holder(7, "login2", 0.0, "another boot", time.time() - age_s, PERIOD_S)))
    os.utime(lock, (time.time() - age_s,) * 2)


def test_one_that_runs_on_another_login_node_is_named(machine):
    machine("configure", "mine")
    place = machine.user_dir / "endpoints" / "mine"
    elsewhere(place)
    assert machine.listed()["mine"]["state"] == "running on login2"
    for command in ("start", "stop"):
        said = machine(command, "mine", code=73 if command == "start" else 70)
        assert "host login2" in said
        assert "afield endpoint stop mine --remote" in said
    said = machine("status", "mine", "--local", code=69)
    assert "on host login2, last sign of life" in said
    elsewhere(place, age_s=60)
    assert machine.listed()["mine"]["state"] == "never started", "a dead node's endpoint may start here"


def test_what_was_never_started_has_nothing_to_stop_elsewhere(machine):
    machine("configure", "mine")
    assert "was never started" in machine("stop", "mine", "--remote", code=78)


def test_status_of_what_does_not_run(machine):
    assert "afield endpoint configure" in machine("status")
    assert json.loads(machine("status", "--json")) == []
    machine("configure", "mine")
    assert "never started" in machine("status", "mine", code=69)
    found = json.loads(machine("status", "mine", "--json", code=69))
    assert (found["name"], found["state"], found["process"], found["service"]) == ("mine", "never started", None, {})
    assert "never started" in machine("status"), "asked for all, it is no failure that one does not run"
    assert "there is no endpoint other" in machine("status", "other", code=78)


def test_logs_of_what_has_not_run(machine):
    machine("configure", "mine")
    assert "There is no log yet" in machine("logs", "mine")
    assert "none has run yet" in machine("logs", "mine", "-u", "all", code=78)


def test_a_module_runs_with_this_python(machine):
    assert machine("python-exec", "afield.endpoint.cli", "version") == machine("version")
    assert "afield" in machine("version")
    assert json.loads(machine("version", "--json"))["executable"] == CLI[0]
    assert "No module named nothing_like_it" in machine("python-exec", "nothing_like_it", code=1)
    assert "usage" in machine("python-exec", "json.tool", "--help").lower()


@pytest.mark.e2e
def test_the_life_of_an_endpoint_as_its_owner_sees_it(served, monkeypatch):
    served("configure", "watched")
    line, process = served.begin("start", "watched")
    try:
        one = served.listed()["watched"]["id"]
        assert one in line
        credentials = json.loads(next((served.user_dir / "services").glob("*.json")).read_text())
        monkeypatch.setenv("AFIELD_SERVICE_URL", served.url)
        monkeypatch.setenv("AFIELD_USER_DIR", str(served.user_dir))
        assert credentials
        with Executor(endpoint_id=one) as executor:
            assert executor.submit(pow, 2, 5).result(timeout=PATIENCE_S) == 32
        found = _status_with_state(served, one)
        assert (found["name"], found["state"], found["pid"]) == ("watched", "running", process.pid)
        assert found["service"]["status"] == "online"
        assert found["process"]["memory_bytes"] > 1_000_000
        assert found["connected_since"] >= found["started_at"]
        assert abs(found["clock_ahead_s"]) < 5
        [child] = found["user_endpoints"]
        assert child["process"]["pid"] in {one.pid for one in psutil.Process(process.pid).children()}
        assert child["state"]["engine_type"] == "ProcessPoolEngine"
        said = served("status", "watched")
        assert f"process         {process.pid}, " in said
        assert "the service says online" in said
        assert "ProcessPoolEngine: " in said
        assert served.listed()["watched"]["user_endpoints"] == 1
        # what was changed since its user endpoint read it
        assert found["changed"] == []
        assert "changed since" not in said
        (served.user_dir / "endpoints" / "watched" / "user_config_template.yaml.j2").touch()
        assert "changed since   user_config_template.yaml.j2; " in served("status", "watched")
        # logs, by id, and of the user endpoint
        assert "starting for" in served("logs", one)
        assert served("logs", one, "--lines", "0") == ""
        with Path(child["log"]).open("a") as log:
            log.write("what it says\n")
        assert served("logs", "watched", "--user-endpoint", child["name"][:20], "-n", "1") == "what it says\n"
        assert "there are: uep." in served("logs", "watched", "--user-endpoint", "nobody", code=78)
        # a start from elsewhere is refused, and the service can stop it
        assert "is running already" in served("start", one, code=73)
        assert "Stopped: endpoint watched, wherever it ran" in served("stop", "watched", "--remote")
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 69
        assert served.listed()["watched"]["state"] == "stopped"
        assert "keeps this endpoint out for a while" in served("start", "watched", code=69)
        said = served("status", "watched", "--local", code=69)
        assert "the service does not let endpoint" in said
        assert psutil.pid_exists(child["process"]["pid"]) is False
    finally:
        process.kill()
        process.communicate()


@pytest.mark.e2e
def test_a_killed_endpoint_is_started_again_without_words_about_files(served):
    served("configure", "killed")
    _, process = served.begin("start", "killed")
    process.kill()
    process.communicate()
    assert served.listed()["killed"]["state"] == "stopped"
    line, process = served.begin("start", "killed")
    assert line.startswith("Ready: ")
    served("stop", "killed")
    process.communicate(timeout=PATIENCE_S)


@pytest.mark.e2e
def test_on_a_terminal_one_line_says_how_it_is(served):
    served("configure", "live")
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*CLI, "start", "live"], env=served.environment, stdin=theirs, stdout=theirs,
                               stderr=theirs, cwd=served.user_dir, start_new_session=True)  # fmt: skip
    os.close(theirs)
    try:
        shown = _read_until(ours, b"connected; 0 user endpoints; 0 tasks")
        assert b"\r\x1b[2K" in shown
        process.send_signal(signal.SIGINT)
        assert b"Stopped: endpoint live" in _read_until(ours, b"Stopped: endpoint live")
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    log = (served.user_dir / "endpoints" / "live" / "endpoint.log").read_text()
    assert "connected; 0 user endpoints" in log
    assert "\x1b" not in log


def _status_with_state(served, one):
    """How it is, once its user endpoint has said something, which may take a second."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = json.loads(served("status", one, "--json"))
        if found["user_endpoints"] and all(child["state"] for child in found["user_endpoints"]):
            return found
    raise AssertionError(found)


def _read_until(fd, wanted):
    seen = b""
    while wanted not in seen:
        assert select.select([fd], [], [], PATIENCE_S)[0], seen
        try:
            seen += os.read(fd, 4096)
        except OSError:  # the other end is closed
            break
    assert wanted in seen, seen
    return seen


def test_the_line_is_one_line():
    assert line("connected", 1, 2, "") == "connected; 1 user endpoint; 2 tasks"
    assert line("not connected: x\ny", 0, None, "bad\x1b[2Jthing") == (
        "not connected: x y; 0 user endpoints; last error: bad [2Jthing"
    )


def test_figures_are_said_for_people():
    assert [ago(seconds) for seconds in (0, 119, 121, 7300, 200_000)] == ["0 s", "119 s", "2 min", "2 h", "2 days"]
    assert [megabytes(count) for count in (1.6e6, 2.5e9)] == ["2 MB", "2.5 GB"]
    assert clean("a\x1b]0;x\x07b\n") == "a ]0;x b"


@pytest.mark.parametrize("count", [0, 1, 3, 5000, 100_000])
def test_the_last_lines_of_a_log(tmp_path, count):
    lines = [f"line {number} of many".encode() for number in range(20_000)]
    (tmp_path / "log").write_bytes(b"\n".join(lines) + b"\n")
    with (tmp_path / "log").open("rb") as file:
        assert last_lines(file, count) == lines[len(lines) - min(count, len(lines)) :]


def test_a_log_is_followed_over_its_being_put_aside(tmp_path):
    path, seen = tmp_path / "log", []
    path.write_bytes(b"old 1\nold 2\n")
    one = Followed("", path)
    assert one.begin(1) == [b"old 2"]

    def half():
        with path.open("ab") as file:
            file.write(b"new 1\nhal")

    def rest():
        with path.open("ab") as file:
            file.write(b"f\n")

    def turn():
        with path.open("ab") as file:
            file.write(b"before the turn\n")
        path.rename(tmp_path / "log.1")

    def again():
        path.write_bytes(b"after the turn\n")

    def emptied():
        path.write_bytes(b"x\n")

    steps = [half, rest, turn, again, emptied]

    def wait():
        if not steps:
            return False
        steps.pop(0)()
        return True

    follow([one], lambda _, text: seen.append(text), wait)
    one.close()
    assert seen == [b"new 1", b"half", b"before the turn", b"after the turn", b"x"]


def test_a_log_in_somebody_elses_directory_is_read_with_care(tmp_path):
    os.mkfifo(tmp_path / "pipe.log")
    with pytest.raises(ConfigurationError, match=r"pipe\.log is no log"):
        Followed("", tmp_path / "pipe.log").begin(5)
    assert shown(b"\x1b]0;title\x07\tfine \xff\r") == "?]0;title?\tfine \ufffd?".encode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what is not theirs")
def test_a_link_in_a_home_does_not_show_what_only_root_may_read(tmp_path):
    (tmp_path / "shadow").write_text("root:hash\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "agent.log").symlink_to(tmp_path / "shadow")
    os.chown(home, 12345, 12345)
    with pytest.raises(ConfigurationError, match=r"agent\.log is no log"):
        Followed("", home / "agent.log").begin(5)


def test_a_log_that_comes_later_is_followed(tmp_path):
    one = Followed("", tmp_path / "log")
    assert one.begin(5) == []
    assert one.more() == []
    (tmp_path / "log").write_bytes(b"first\n")
    assert one.more() == [b"first"]
    one.close()
