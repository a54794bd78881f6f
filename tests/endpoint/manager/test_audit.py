"""The audit log says what happened to every task, and who said so."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from afield.endpoint.agent.audit import Audit
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.accounts import Account, Tenant
from afield.endpoint.manager.audit import AuditLog, AuditPipe, Audits, check_audit, stamp
from afield.endpoint.settings import ManagerSettings
from afield.errors import ConfigurationError
from afield.wire.commands import StartCommand, StartOptions
from afield.wire.messages import ErrorDetails, Result, Task, Transition

pytestmark = pytest.mark.anyio

TASK = Task("task-1", "function-1", b"", b"")
STAMP = stamp(uid=1000, pid=42, user_endpoint_id="uep-1", user="alice@example.org")


def clock():
    return 1_000_000_000.25


def result(error=None, **details):
    return Result("task-1", b"", error, statuses=(Transition(10**18, "execution-start", "worker"),), details=details)


@pytest.fixture
def log(tmp_path):
    log = AuditLog(tmp_path / "logs" / "audit.log", clock)
    yield log
    log.close()


@pytest.fixture
def written(tmp_path):
    return lambda: (tmp_path / "logs" / "audit.log").read_text().splitlines()


def connected(log, failed=None):
    pipe = AuditPipe(log, failed or pytest.fail)
    audit = Audit(os.dup(pipe.writer))
    pipe.start(STAMP)
    return pipe, audit


async def test_a_tasks_way_is_four_lines(log, written):
    pipe, audit = connected(log)
    audit.received([TASK])
    audit.handed([TASK])
    audit.ended([result(hostname="node7", worker_pid=9, cpu_s=0.5, peak_memory=1 << 20, job_id="812", block_id="3")])
    audit.close()
    pipe.close()
    begin = "2001-09-09T01:46:40.250000+00:00 uid=1000 pid=42 uep=uep-1 user=alice@example.org"
    ids = "fid=function-1 tid=task-1"
    assert written() == [
        f"{begin} STARTED",
        f"{begin} RECEIVED {ids} bid=- jid=-",
        f"{begin} EXEC_START {ids} bid=- jid=-",
        f"{begin} RUNNING {ids} bid=3 jid=812 at=2001-09-09T01:46:40+00:00",
        f"{begin} EXEC_END {ids} bid=3 jid=812 outcome=ok host=node7 wpid=9 cpu_s=0.5 mem=1048576",
        f"{begin} ENDED",
    ]


async def test_a_failure_says_which(log, written):
    pipe, audit = connected(log)
    audit.handed([TASK])
    audit.ended([Result("task-1", b"", ErrorDetails("WorkerLost", "killed"))])
    audit.close()
    pipe.close()
    assert written()[-2].endswith("EXEC_END fid=function-1 tid=task-1 bid=- jid=- outcome=WorkerLost")


async def test_more_than_a_pipe_holds_arrives_whole_and_nobody_waits(log, written):
    pipe, audit = connected(log)
    tasks = [Task(f"task-{n}", "f", b"", b"") for n in range(5000)]
    audit.received(tasks)  # some 300 kB, and nothing reads before this test waits
    audit.handed(tasks)
    while len(written()) < 10_001:
        await asyncio.sleep(0)
    lines = written()[1:]
    audit.close()
    pipe.close()
    assert [line.split("tid=")[1].split()[0] for line in lines] == [task.task_id for task in tasks] * 2


async def test_nobody_can_look_like_another(log, written):
    pipe = AuditPipe(log, pytest.fail)
    os.write(pipe.writer, b"EXEC_END\r\x1b[2Ktid=x\x00\n" + b"y" * 5000 + b"\n")
    pipe.start(STAMP)
    pipe.close()
    _, first, second, _ = written()
    assert first.endswith("user=alice@example.org EXEC_END??[2Ktid=x?")
    assert second.endswith(" " + "y" * 2000)


async def test_it_is_put_aside_when_it_is_long(tmp_path):
    log = AuditLog(tmp_path / "audit.log", clock, largest=300, kept=2)
    for number in range(12):
        log.write("uid=1", [f"{number} {'x' * 50}"])
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.log", "audit.log.1", "audit.log.2"]
    kept = [name.read_text() for name in (tmp_path / "audit.log.2", tmp_path / "audit.log.1", tmp_path / "audit.log")]
    numbers = [int(line.split()[2]) for text in kept for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 12))
    assert all(len(text) <= 300 for text in kept)
    assert oct((tmp_path / "audit.log").stat().st_mode)[-3:] == "600"


def speaking(audits, uid, command):
    """The pipe of a user endpoint that runs as an account, and what its process holds."""
    child = SimpleNamespace(pid=uid, audit=None, started=None)
    pipe = audits.listen(child, command, Tenant(Account(f"a{uid}", uid, uid, "/", "/bin/sh"), "id"))
    audit = Audit(os.dup(child.audit))
    child.started()
    return pipe, audit


async def test_who_writes_much_pushes_out_nobody_elses_history(tmp_path, parts):
    command = StartCommand(StartOptions("u", {}, parts.credentials_for("amqp://h")), "ada", "id", [])
    audits = Audits(tmp_path / "audit.log", clock, pytest.fail, account_largest=2000)
    quiet, quiets = speaking(audits, 1001, command)
    quiets.received([TASK])
    quiets.close()
    quiet.close()
    loud, louds = speaking(audits, 1002, command)
    second, _ = speaking(audits, 1002, command)
    second.close()  # the file stays open for the first
    for _ in range(1000):
        louds.handed([TASK])
        await asyncio.sleep(0)  # the other end reads
    louds.close()
    loud.close()
    audits.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[:2] == ["audit.log", "audit.uid-1001.log"]
    assert len(names) == 2 + 21, "the file, and the 20 that are kept"
    assert all(path.stat().st_size <= 2000 for path in tmp_path.glob("audit.uid-1002.log*"))
    kept = (tmp_path / "audit.uid-1001.log").read_text().splitlines()
    assert [line.split()[5] for line in kept] == ["STARTED", "RECEIVED", "ENDED"]
    own = [line.split() for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(line[1], line[5]) for line in own] == [
        ("uid=1001", "STARTED"), ("uid=1001", "ENDED"), ("uid=1002", "STARTED"), ("uid=1002", "STARTED"),
        ("uid=1002", "ENDED"), ("uid=1002", "ENDED"),
    ]  # fmt: skip


async def test_an_accounts_log_that_cannot_be_written_is_told(tmp_path, parts):
    command = StartCommand(StartOptions("u", {}, parts.credentials_for("amqp://h")), "ada", "id", [])
    told = []
    audits = Audits(tmp_path / "audit.log", clock, told.append)
    (tmp_path / "audit.uid-1001.log").mkdir()
    with pytest.raises(ConfigurationError, match=r"audit\.uid-1001\.log cannot be written"):
        speaking(audits, 1001, command)
    assert len(told) == 1
    audits.close()


async def test_without_it_the_endpoint_does_not_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"the audit log .* cannot be written: .*does not run without"):
        AuditLog(tmp_path / "file" / "audit.log", clock)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        AuditLog(tmp_path / "link", clock)


async def test_nor_with_a_file_that_somebody_else_has_put_there(tmp_path):
    (tmp_path / "theirs").write_text("")
    os.link(tmp_path / "theirs", tmp_path / "audit.log")
    os.mkfifo(tmp_path / "pipe")
    for name in ("audit.log", "pipe"):
        with pytest.raises(ConfigurationError, match="cannot be written"):
            AuditLog(tmp_path / name, clock)


async def test_the_names_of_the_service_are_one_word_each():
    told = stamp(uid=1, pid=2, user_endpoint_id="u\n2001 uid=0", user="eve\nuid=0 tid=x")
    assert told == "uid=1 pid=2 uep=u_2001_uid=0 user=eve_uid=0_tid=x"


#: Writes lines into the descriptor that it is told, for ever.
FLOOD = "import os, sys\nwhile True: os.write(int(sys.argv[1]), b'EXEC_START tid=lie\\n' * 1000)"


async def test_who_keeps_the_pipe_and_writes_on_keeps_nobody_waiting(log, written):
    pipe = AuditPipe(log, pytest.fail)
    daemon = subprocess.Popen([sys.executable, "-c", FLOOD, str(pipe.writer)], pass_fds=[pipe.writer])
    try:
        pipe.start(STAMP)
        while len(written()) < 2:
            await asyncio.sleep(0)
        signal.alarm(20)  # what is tested does not let go of the event loop if it fails
        pipe.close()
        signal.alarm(0)
        assert written()[-1].endswith(" ENDED")
    finally:
        daemon.kill()
        daemon.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
async def test_a_full_disk_is_told_at_once(tmp_path):
    log = AuditLog(tmp_path / "audit.log", clock)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file)
    os.close(full)
    told = []
    pipe, audit = connected(log, told.append)
    audit.received([TASK])
    while not told:
        await asyncio.sleep(0)
    assert "No space left on device" in str(told[0])
    audit.close()
    pipe.close()


def descriptors(path):
    """What this process has open of a file."""
    return [each for each in Path("/proc/self/fd").iterdir() if os.path.realpath(each) == str(path)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
async def test_a_disk_that_took_less_than_it_said_is_told_and_keeps_nothing_open(tmp_path, parts):
    command = StartCommand(StartOptions("u", {}, parts.credentials_for("amqp://h")), "ada", "id", [])
    told = []
    audits = Audits(tmp_path / "audit.log", clock, told.append)
    pipe, audit = speaking(audits, 1001, command)
    [file] = descriptors(tmp_path / "audit.uid-1001.log")
    [own] = descriptors(tmp_path / "audit.log")
    null = os.open(os.devnull, os.O_WRONLY)  # takes whatever it is given, and cannot have it on a disk
    os.dup2(null, int(file.name))
    os.dup2(null, int(own.name))
    os.close(null)
    audit.close()
    pipe.close()
    assert "audit.uid-1001.log cannot be written" in str(told[0])
    audits.close()
    assert "audit.log cannot be written" in str(told[1])
    assert not file.is_symlink()
    assert not own.is_symlink()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
async def test_one_that_cannot_be_listened_to_keeps_its_accounts_log_open_for_nobody(tmp_path, parts):
    command = StartCommand(StartOptions("u", {}, parts.credentials_for("amqp://h")), "ada", "id", [])
    audits = Audits(tmp_path / "audit.log", clock, pytest.fail)
    pipe, audit = speaking(audits, 1001, command)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) - 1, most[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            speaking(audits, 1001, command)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    audit.close()
    pipe.close()
    assert descriptors(tmp_path / "audit.uid-1001.log") == []
    audits.close()


#: Looks whether a log can be written; at the moment at which it first touches that, the endpoint begins to write it.
MEETING = """
import sys, time
from pathlib import Path
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.audit import AuditLog, check_audit
from afield.endpoint.settings import ManagerSettings
place, logs = Path(sys.argv[1]), []
def met(event, arguments):
    if event == "open" and str(arguments[0]) == str(place / "audit.log") and not logs:
        logs.append(None)
        logs.append(AuditLog(place / "audit.log", time.time))
sys.addaudithook(met)
check_audit(EndpointDirectory("mine", place), ManagerSettings(high_assurance=True))
logs[1].write("uid=1", ["STARTED"])
"""


def test_whoever_looks_takes_nothing_from_whoever_writes(tmp_path):
    subprocess.run([sys.executable, "-c", MEETING, str(tmp_path)], check=True)
    assert (tmp_path / "audit.log").read_text().endswith(" uid=1 STARTED\n")


def test_whoever_looks_leaves_nothing_behind_and_says_what_is_wrong(tmp_path):
    directory = EndpointDirectory("mine", tmp_path)
    assert check_audit(directory, ManagerSettings()) is None
    found = check_audit(directory, ManagerSettings(audit_log_path="logs/audit.log"))
    assert found == tmp_path / "logs" / "audit.log"
    assert list(found.parent.iterdir()) == []
    for wrong in ("x" * 300, "."):
        with pytest.raises(ConfigurationError, match=r"the audit log .* cannot be written"):
            check_audit(directory, ManagerSettings(audit_log_path=wrong))
