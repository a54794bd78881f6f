"""Signs of life on the disk: status files, what went wrong lately, clocks, the log."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from afield.endpoint.host import clock
from afield.endpoint.host.lock import LockLost, RunLock
from afield.endpoint.host.logs import LogFile
from afield.endpoint.host.presence import Presence
from afield.endpoint.host.remembered import LastErrors
from afield.endpoint.host.standing import Standing, without_login
from afield.endpoint.host.status import AgentStatus, ManagerStatus, read_status, write_status
from afield.endpoint.host.status_file import AgentFile, StatusFile
from afield.errors import ServiceUnreachable

ID = "0192d3a0-0000-7000-8000-00000000000c"


class Periods:
    """Sleeping that ends when the test says so."""

    def __init__(self):
        self.asked: list[float] = []
        self._next = asyncio.Queue()

    async def __call__(self, seconds):
        self.asked.append(seconds)
        await self._next.get() if seconds < 1000 else await asyncio.Event().wait()

    def over(self):
        self._next.put_nowait(None)


class Written:
    """Waits for what stands in a file, and looks whenever it was written."""

    def __init__(self, path, kind):
        self._path, self._kind, self._again = path, kind, asyncio.Event()

    def watching(self, writer):
        """A kind of status file that tells."""
        told = self._again

        class Telling(writer):
            def write(self):
                super().write()
                told.set()

        return Telling

    async def until(self, true):
        async with asyncio.timeout(30):
            while (now := read_status(self._path, self._kind)) is None or not true(now):
                self._again.clear()
                await self._again.wait()
            return now


@pytest.mark.anyio
async def test_an_endpoint_writes_how_it_is(tmp_path, monkeypatch):
    path, sleep, lost = tmp_path / "status.json", Periods(), []
    standing = Standing(ID, "amqps://who:secret@broker:5671/%2F", clock=lambda: 1000.0)

    async def ahead():
        return 20.0

    written = Written(path, ManagerStatus)
    monkeypatch.setattr("afield.endpoint.host.presence.StatusFile", written.watching(StatusFile))
    with RunLock(tmp_path / "lock", "mine") as lock:
        presence = Presence(
            lock, standing, path, "https://service", clock_ahead=ahead, on_lost=lost.append, sleep=sleep
        )
        running = asyncio.create_task(presence.run())
        first = await written.until(lambda _: True)
        assert (first.pid, first.connected, first.broker) == (os.getpid(), False, "amqps://broker:5671")
        assert b"secret" not in path.read_bytes()
        standing.connected()
        standing.child_started("uep.1", tmp_path / "uep.1", tmp_path / "log", "ada@example.org", lambda: 17)
        standing.failed("it did not start")
        now = await written.until(lambda now: now.errors and now.clock_ahead_s is not None)
        assert now.connected
        assert [(child.name, child.pid, child.user) for child in now.children] == [("uep.1", 17, "ada@example.org")]
        assert [one.text for one in now.errors] == ["it did not start"]
        assert now.clock_ahead_s == 20.0
        standing.child_ended("uep.1")
        standing.lost("the broker is away")
        now = await written.until(lambda now: not now.connected)
        assert now.why == "the broker is away"
        assert now.children == []
        (tmp_path / "lock").unlink()
        sleep.over()
        await running
        assert isinstance(lost[0], LockLost)
        assert sleep.asked.count(15.0) == 1


@pytest.mark.anyio
async def test_a_user_endpoints_file_follows_what_happens(tmp_path):
    path, errors = tmp_path / "status.json", LastErrors()
    state = {"pending_tasks": 1}
    written = Written(path, AgentStatus)
    file = written.watching(AgentFile)(path, lambda: state, errors)
    for _ in range(100):
        file.changed()  # however often: one write
    found = await written.until(lambda _: True)
    assert (found.pid, found.state) == (os.getpid(), {"pending_tasks": 1})
    file.close()


@pytest.mark.anyio
async def test_a_disk_that_takes_nothing_is_told_once(tmp_path, caplog):
    file = AgentFile(tmp_path / "nowhere" / "status.json", dict, LastErrors())
    file.write()
    file.write()
    assert [record.message for record in caplog.records if "cannot be written" in record.message] == [
        f"{tmp_path}/nowhere/status.json cannot be written, so commands show old figures: No such file or directory"
    ]


def test_a_status_of_somebody_elses_process_is_read_with_care(tmp_path):
    path = tmp_path / "status.json"
    assert read_status(path, AgentStatus) is None
    write_status(path, AgentStatus(pid=1, written_at=2.0))
    assert read_status(path, AgentStatus).pid == 1
    assert path.stat().st_mode & 0o077 == 0
    for broken in (b"", b"{", b"[]", b'{"pid": "x"}', b"[" * 100_000):
        path.write_bytes(broken)
        assert read_status(path, AgentStatus) is None
    path.unlink()
    secret = tmp_path / "secret"
    write_status(secret, AgentStatus(pid=1, written_at=2.0))
    path.symlink_to(secret)
    assert read_status(path, AgentStatus) is None, "whoever owns the directory shall not choose what is read"
    path.unlink()
    os.mkfifo(path)
    assert read_status(path, AgentStatus) is None, "and nobody waits for a pipe"


def test_warnings_are_remembered():
    errors = LastErrors()
    logger = logging.Logger("afield.test")  # noqa: LOG001 - of this test alone
    logger.addHandler(errors)
    logger.info("all is well")
    for number in range(20):
        logger.warning("warning %d", number)
    try:
        raise ValueError("what")
    except ValueError:
        logger.exception("a fault")
    said = [one.text for one in errors.said()]
    assert said[-1] == "a fault (ValueError: what)"
    assert said[0] == "warning 11"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("amqp://a:b@host/%2F", "amqp://host:5672"),
        ("amqps://a:b@host:443/v", "amqps://host:443"),
        ("amqp://a:b@[::1]:1/", "amqp://[::1]:1"),
        ("amqp://a:b@host:port/", ""),
    ],
)
def test_a_login_is_not_shown(url, seen):
    assert without_login(url) == seen


class _Service(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response_only(200)
        if self.server.date is not None:
            self.send_header("Date", self.server.date)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = HTTPServer(("127.0.0.1", 0), _Service)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.anyio
async def test_clocks_are_compared(service):
    url = f"http://127.0.0.1:{service.server_port}"
    service.date = formatdate(1_000_000_060)
    assert await clock.ahead(url, lambda: 1_000_000_000.0) == 60.5
    service.date = None
    assert await clock.ahead(url) is None
    service.date = "yesterday"
    assert await clock.ahead(url) is None
    with pytest.raises(ServiceUnreachable):
        await clock.ahead("http://127.0.0.1:9")


def test_a_wrong_clock_is_told_plainly():
    assert not clock.weighs(2)
    assert clock.weighs(-30)
    assert clock.told(60).startswith("this machine's clock is 60 s behind the service's; from 180 s on nothing starts")
    assert "200 s ahead of the service's: nothing can start" in clock.told(-200)


def test_a_long_log_is_put_aside(tmp_path):
    handler = LogFile(tmp_path / "endpoint.log", most=200)
    logger = logging.Logger("afield.test")  # noqa: LOG001 - of this test alone
    logger.addHandler(handler)
    for number in range(20):
        logger.warning("line %d of a log that grows", number)
    handler.close()
    old, new = (tmp_path / "endpoint.log.1").read_text(), (tmp_path / "endpoint.log").read_text()
    assert "line 19" in new
    assert "line 19" not in old
    assert len(old) <= 200
    assert (tmp_path / "endpoint.log").stat().st_mode & 0o077 == 0


def test_what_a_detached_process_prints_follows_its_log(tmp_path):
    code = (
        "import logging, sys, pathlib; from afield.endpoint.host.logs import LogFile\n"
        "logger = logging.Logger('x'); logger.addHandler(LogFile(pathlib.Path(sys.argv[1]), most=150))\n"
        "print('printed before', flush=True)\n"
        "logger.warning('x' * 60); logger.warning('y' * 60)\n"
        "print('printed after', flush=True)"
    )
    with (tmp_path / "endpoint.log").open("ab") as log:
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "endpoint.log")], stdout=log, stderr=log, check=True)
    assert "printed before" in (tmp_path / "endpoint.log.1").read_text()
    assert "printed after" in (tmp_path / "endpoint.log").read_text()


def test_a_full_disk_does_not_stop_the_log(tmp_path, capsys):
    (tmp_path / "endpoint.log").mkdir()
    handler = LogFile(tmp_path / "endpoint.log")
    handler.handle(logging.makeLogRecord({"msg": "lost", "levelno": 30, "created": time.time()}))
    assert capsys.readouterr().err == ""
