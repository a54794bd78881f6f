"""Which service and as whom, from files and variables that are handed in."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from afield.errors import ConfigurationError
from afield.sdk.login import known
from afield.sdk.login.known import KnownService
from afield.sdk.login.source import authorization, find_token, find_url, forget_token, keep_token


@pytest.fixture
def environ(tmp_path):
    return {"AFIELD_USER_DIR": str(tmp_path)}


def running(url="http://127.0.0.1:5000", **changes):
    return KnownService(**{"service_url": url, "token": "secret", "pid": os.getpid(), "started_at": 1.0} | changes)


def ended_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_running_service_is_found_and_a_stopped_one_is_not(tmp_path):
    path = known.publish(running(), tmp_path)
    assert path == tmp_path / "services" / "127.0.0.1_5000.json"
    (found,) = known.live(tmp_path)
    assert found.token == "secret"
    known.forget("http://localhost:5000", tmp_path)
    known.forget("http://localhost:5000", tmp_path)
    assert known.live(tmp_path) == []


def test_the_file_is_for_its_owner_only(tmp_path):
    path = known.publish(running(), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_a_crash_left_is_not_listed(tmp_path):
    known.publish(running(pid=ended_pid()), tmp_path)
    (tmp_path / "services" / "broken.json").write_text("{")
    assert known.live(tmp_path) == []


def test_the_service_of_another_machine_that_shares_the_home_is_not_listed(tmp_path):
    known.publish(running(hostname="elsewhere"), tmp_path)
    assert known.live(tmp_path) == []


def test_who_stops_removes_only_its_own_file(tmp_path):
    known.publish(running(), tmp_path)
    known.forget("http://127.0.0.1:5000", tmp_path, pid=os.getpid() + 1)
    assert known.live(tmp_path)
    known.forget("http://127.0.0.1:5000", tmp_path, pid=os.getpid())
    assert not known.live(tmp_path)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "services").write_text("a file")
    with pytest.raises(ConfigurationError, match="AFIELD_USER_DIR"):
        known.publish(running(), tmp_path)


def test_localhost_is_its_address():
    assert known.same_service("http://localhost:5000/", "http://127.0.0.1:5000")
    assert known.same_service("https://example.org", "https://example.org:443")
    assert not known.same_service("http://127.0.0.1:5000", "http://127.0.0.1:5001")


def test_the_address(environ, tmp_path):
    with pytest.raises(ConfigurationError, match="afield up"):
        find_url(environ=environ)
    known.publish(running(), tmp_path)
    assert find_url(environ=environ) == "http://127.0.0.1:5000"
    known.publish(running("http://127.0.0.1:5001"), tmp_path)
    with pytest.raises(ConfigurationError, match=r"several.*500[01].*500[01]"):
        find_url(environ=environ)
    assert find_url(environ=environ | {"AFIELD_SERVICE_URL": "https://x"}) == "https://x"
    assert find_url("local", environ=environ) == find_url(local=True, environ=environ) == "http://127.0.0.1:5000"


def test_the_token(environ, tmp_path):
    url = "http://localhost:5000"
    assert find_token(url, environ) is None
    known.publish(running(), tmp_path)
    assert find_token(url, environ) == "secret"
    path = keep_token(url, "kept", environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_token(url, environ) == "kept"
    assert find_token("http://localhost:5001", environ) is None
    assert find_token(url, environ | {"AFIELD_TOKEN": "given"}) == "given"
    assert forget_token(url, environ)
    assert not forget_token(url, environ)
    assert find_token(url, environ) == "secret"


@pytest.mark.anyio
async def test_the_header():
    class Given:
        def get_authorization_header(self):
            return "Bearer from an object"

    assert await authorization("t", None)() == "Bearer t"
    assert await authorization(None, None)() is None
    assert await authorization("t", Given())() == "Bearer from an object"
