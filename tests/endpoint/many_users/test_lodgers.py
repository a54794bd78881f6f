"""A manager that is root, real accounts, and attempts of what runs as them to get more than theirs."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from afield.endpoint.manager.accounts import Tenant, find_account
from afield.endpoint.manager.errand import Errand, Seated
from afield.endpoint.manager.lodger import Become, Lodger
from afield.endpoint.manager.owner import read_settings
from afield.endpoint.manager.tenancy import Tenancy
from afield.endpoint.settings import PamSettings, UserLimits, UserSettings
from afield.errors import ConfigurationError

pytestmark = pytest.mark.anyio

PROBE = """
def f(manager, secret, setuid, theirs):
    import ctypes, os, resource, signal, subprocess
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
    agent = next(
        int(pid) for pid in os.listdir("/proc") if pid.isdigit() and os.stat(f"/proc/{pid}").st_uid == os.getuid()
        and b"afield.endpoint.agent" in open(f"/proc/{pid}/cmdline", "rb").read()
    )
    def attempt(call):
        try:
            return repr(call())
        except OSError as error:
            return type(error).__name__
    def trace():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, manager, 0, 0):
            raise OSError(ctypes.get_errno(), "ptrace")
        return "attached"
    return {
        "ids": [os.getresuid(), os.getresgid(), sorted(os.getgroups())],
        "umask": os.umask(0o77),
        "environment": dict(os.environ),
        "agent_environment": open(f"/proc/{agent}/environ").read(),
        "agent_arguments": open(f"/proc/{agent}/cmdline").read(),
        "agent_files": [os.readlink(f"/proc/{agent}/fd/{fd}") for fd in os.listdir(f"/proc/{agent}/fd")],
        "agent_session": [os.getsid(agent), agent],
        "capabilities": [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
        "no_new_privs": status["NoNewPrivs"].strip(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "read": attempt(lambda: open(secret).read()),
        "environ": attempt(lambda: open(f"/proc/{manager}/environ").read()),
        "memory": attempt(lambda: open(f"/proc/{manager}/mem", "rb").read(1)),
        "files": attempt(lambda: os.listdir(f"/proc/{manager}/fd")),
        "signal": attempt(lambda: os.kill(manager, signal.SIGTERM)),
        "trace": attempt(trace),
        "setuid": subprocess.run([setuid, "-u"], capture_output=True, text=True).stdout.strip(),
        "setid": attempt(lambda: os.setresuid(0, 0, 0)),
        "write": attempt(lambda: open(os.path.join(theirs, "x"), "w")),
        "home": os.path.expanduser("~"),
        "cwd": os.getcwd(),
    }
"""


@pytest.fixture
def setuid_root(public_place):
    """A program that makes everybody root who may gain rights."""
    program = public_place / "setuid-id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    return program


async def test_a_task_runs_as_the_account_and_gets_no_further(
    running, many, mine, parts, ada, bob, setuid_root, monkeypatch
):
    monkeypatch.setenv("AFIELD_TOKEN", "secret-token")
    monkeypatch.setenv("COLOUR", "red")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/site.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://cluster:password@proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", "example.org")
    mine.environment.write_text("SITE: here\nNO_PROXY: example.net\n")
    mine.config.write_text(mine.config.read_text() + "user_limits: {nofile: 512}\n")
    mine.path.chmod(0o700)
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(f"{ada.pw_name}@example.org"), max_workers=1))
        await service.until(lambda: service.said_by(parts.UEP))
        [state] = service.said_by(parts.UEP)
        assert state.get("active") is True, state
        assert state["local_user"] == ada.pw_name
        assert state["globus_matched_identity"] == many.ADA
        assert state["globus_candidate_identities"] == [[{many.ADA: [ada.pw_name]}]]
        await service.send(parts.call("t", PROBE, os.getpid(), str(mine.config), str(setuid_root), bob.pw_dir))
        await service.until(lambda: "t" in service.results)
        seen = parts.value(service.results["t"])
    uid, gid = ada.pw_uid, ada.pw_gid
    groups = sorted(os.getgrouplist(ada.pw_name, gid))
    assert len(groups) == 2
    assert seen["ids"] == [(uid,) * 3, (gid,) * 3, groups]
    assert seen["umask"] == 0o77
    environment = seen["environment"]
    assert "AFIELD_TOKEN" not in environment
    assert "COLOUR" not in environment
    assert "HTTPS_PROXY" not in environment, "there is a login in it"
    assert environment["SSL_CERT_FILE"] == "/etc/site.pem"
    assert environment["NO_PROXY"] == "example.net"
    expected = {"HOME": ada.pw_dir, "USER": ada.pw_name, "LOGNAME": ada.pw_name, "SHELL": "/bin/sh", "SITE": "here"}
    assert expected.items() <= environment.items()
    secret = service.credentials.task_queue_info.connection_url.split(":")[2].split("@")[0]
    assert secret == "secret"
    for public in (seen["agent_environment"], seen["agent_arguments"], *environment.values()):
        assert secret not in public
    own = f"{ada.pw_dir}/.afield/"
    for file in seen["agent_files"]:
        assert file.startswith(
            ("pipe:", "socket:", "anon_inode:", "/dev/null", "/dev/urandom", own, "/memfd", "/dev/shm")
        )
    assert seen["agent_session"][0] == seen["agent_session"][1]
    assert [int(mask, 16) for mask in seen["capabilities"]] == [0] * 5
    assert seen["no_new_privs"] == "1"
    assert seen["core"] == (0, 0)
    assert seen["nofile"] == (512, 512)
    refused = ("read", "environ", "memory", "files", "signal", "trace", "setid")
    assert {what: seen[what] for what in refused} == dict.fromkeys(refused, "PermissionError")
    assert seen["write"] == "PermissionError"
    assert seen["setuid"] == str(uid), "the program was executed, and gave nothing"
    assert seen["home"] == ada.pw_dir


async def test_what_it_keeps_is_the_accounts_and_private(running, many, parts, ada):
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(f"{ada.pw_name}@example.org"), max_workers=1))
        await service.until(lambda: service.said_by(parts.UEP))
    top = Path(ada.pw_dir) / ".afield"
    places = [top, *top.rglob("*")]
    assert {place.name for place in places} >= {"agent.log", "begun"}
    for place in places:
        state = place.lstat()
        assert (state.st_uid, state.st_gid) == (ada.pw_uid, ada.pw_gid), place
        assert not stat.S_IMODE(state.st_mode) & 0o077, place


@pytest.mark.parametrize(
    ("username", "told"),
    [
        ("ada@elsewhere.example.com", "no account on this machine belongs to ada@elsewhere.example.com"),
        ("root@example.org", "leads to root, which is root"),
        ("daemon@example.org", "its shell is /usr/sbin/nologin"),
        ("nobody-of-that-name@example.org", "there is no account 'nobody-of-that-name'"),
        ("../../etc@example.org", "there is no account"),
        ("\ud83d@example.org".encode("utf-16", "surrogatepass").decode("utf-16", "replace"), "there is no account"),
        ("@example.org", "no account on this machine belongs to"),
    ],
)
async def test_who_has_no_account_here_is_told_so(running, many, parts, username, told):
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(username)))
        await service.until(lambda: service.said_by(parts.UEP))
        [state] = service.said_by(parts.UEP)
    assert told in state["error"]
    assert "root@example.org" in state["error"] or "no account" not in state["error"] or "there is" in state["error"]


async def test_a_name_service_that_hangs_stops_nobody_else(running, many, parts, ada, monkeypatch):
    found, answers = pwd.getpwnam, threading.Event()
    lost = many.identity("lost@example.org")
    monkeypatch.setattr("afield.endpoint.manager.tenancy._ACCOUNTS_S", 0.5)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: answers.wait() if name == "lost" else found(name))
    try:
        async with parts.over_sockets() as service, running(service):
            await service.command(many.CEP, many.start(service, lost))
            await service.until(lambda: service.said_by(parts.UEP))
            assert "list of accounts did not answer within" in service.said_by(parts.UEP)[0]["error"]
            whom = many.identity(f"{ada.pw_name}@example.org")
            await service.command(many.CEP, many.start(service, whom, max_workers=1))
            await service.until(lambda: any(state.get("active") for state in service.said_by(parts.UEP)))
    finally:
        answers.set()


async def test_an_account_that_has_expired_is_refused(running, many, parts, make_account):
    gone = make_account("--expiredate", "2001-01-01")
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(f"{gone.pw_name}@example.org")))
        await service.until(lambda: service.said_by(parts.UEP))
        assert "has expired" in service.said_by(parts.UEP)[0]["error"]


async def test_an_account_without_a_home_is_told_so(running, many, parts, make_account):
    homeless = make_account("--home-dir", "/nowhere/at/all", home=False)
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(f"{homeless.pw_name}@example.org")))
        await service.until(lambda: service.said_by(parts.UEP))
        assert "/nowhere/at/all, the home directory of" in service.said_by(parts.UEP)[0]["error"]


async def test_a_template_reads_with_the_accounts_rights(running, many, mine, parts, ada):
    mine.path.chmod(0o755)
    secret = mine.path / "secret.j2"
    secret.write_text("display_name: the secret\n")
    secret.chmod(0o600)
    shared = mine.path / "shared.j2"
    shared.write_text("engine: {type: ThreadPoolEngine}\n")
    mine.template.write_text("{% include 'secret.j2' %}\n")
    async with parts.over_sockets() as service, running(service):
        ask = many.start(service, many.identity(f"{ada.pw_name}@example.org"))
        await service.command(many.CEP, ask)
        await service.until(lambda: service.said_by(parts.UEP))
        error = service.said_by(parts.UEP)[0]["error"]
        assert "cannot be rendered" in error
        assert "secret.j2" in error
        assert "the secret" not in error
        mine.template.write_text("{% include 'shared.j2' %}\ndisplay_name: {{ mapped_identity.local.uname }}\n")
        await service.command(many.CEP, ask)
        await service.until(lambda: len(service.said_by(parts.UEP)) == 2)
        assert service.said_by(parts.UEP)[1]["engine_type"] == "ThreadPoolEngine"


async def test_a_mapping_that_changes_holds_at_the_next_command(running, many, mine, parts, ada, bob):
    who = many.identity("ada@example.org")
    async with parts.over_sockets() as service, running(service):
        many.map_by(mine, {"source": "{username}", "match": r"ada@example\.org", "output": ada.pw_name})
        await service.command(many.CEP, many.start(service, who, max_workers=1))
        await service.until(lambda: service.said_by(parts.UEP))
        many.map_by(mine, {"source": "{username}", "match": r"ada@example\.org", "output": bob.pw_name})
        await service.command(many.CEP, many.start(service, who, max_workers=1))
        said = service.said_by
        await service.until(lambda: any("error" in state for state in said(parts.UEP)))
        await service.until(lambda: any(state.get("active") is False for state in said(parts.UEP)))
        [told] = [state["error"] for state in said(parts.UEP) if "error" in state]
        assert f"now leads to {bob.pw_name}" in told
        assert not [one for one in psutil.process_iter(["uids"]) if one.info["uids"].real == bob.pw_uid]


async def test_links_in_a_home_lead_nobody_astray(running, many, mine, parts, bob):
    """The account's directory and log are links to what only root may write and read."""
    target = mine.path / "roots"
    target.mkdir(mode=0o700)
    (target / "shadow").write_text("root:hash\n")
    top = Path(bob.pw_dir) / ".afield"
    top.mkdir()
    name = f"uep.{many.CEP}.{parts.UEP}"
    (top / name).symlink_to(target)
    os.chown(top, bob.pw_uid, bob.pw_gid)
    async with parts.over_sockets() as service, running(service):
        ask = many.start(service, many.identity(f"{bob.pw_name}@example.org"))
        await service.command(many.CEP, ask)
        await service.until(lambda: service.said_by(parts.UEP))
        assert "Permission denied" in service.said_by(parts.UEP)[0]["error"]
        (top / name).unlink()
        (top / name).mkdir(mode=0o700)
        os.chown(top / name, bob.pw_uid, bob.pw_gid)
        (top / name / "agent.log").symlink_to(target / "shadow")
        await service.command(many.CEP, ask)
        await service.until(lambda: len(service.said_by(parts.UEP)) == 2)
        assert "Permission denied" in service.said_by(parts.UEP)[1]["error"]
    assert [file.name for file in target.iterdir()] == ["shadow"]
    assert (target / "shadow").read_text() == "root:hash\n"


async def test_the_end_of_a_log_is_told_but_not_of_what_it_became_a_link_to(running, many, mine, parts, ada):
    secret = mine.path / "shadow"
    secret.write_text("root:hash\n")
    secret.chmod(0o600)
    log = f"{ada.pw_dir}/.afield/uep.{many.CEP}.{parts.UEP}/agent.log"
    mine.template.write_text("endpoint_setup: |\n  echo the licence server is away >&2\n  exit 4\n")
    async with parts.over_sockets() as service, running(service):
        ask = many.start(service, many.identity(f"{ada.pw_name}@example.org"))
        await service.command(many.CEP, ask)
        await service.until(lambda: service.said_by(parts.UEP))
        assert "the licence server is away" in service.said_by(parts.UEP)[0]["error"]
        mine.template.write_text(f"endpoint_setup: |\n  ln -sf {secret} {log}\n  exit 4\n")
        await service.command(many.CEP, ask)
        await service.until(lambda: len(service.said_by(parts.UEP)) == 2)
        error = service.said_by(parts.UEP)[1]["error"]
        assert "exit status 78" in error
        assert "hash" not in error
    Path(log).unlink()


async def test_who_never_takes_the_seat_is_not_waited_for(ada, many, parts, python):
    """Their log is a pipe that nobody reads, and so opening it never ends."""
    home = Path(ada.pw_dir)
    shutil.rmtree(home / ".afield", ignore_errors=True)
    place = home / ".afield" / "slow"
    place.mkdir(parents=True)
    os.mkfifo(place / "agent.log")
    for path in (place.parent, place, place / "agent.log"):
        os.chown(path, ada.pw_uid, ada.pw_gid)
    account = find_account(ada.pw_name)
    errand = Errand("slow", "engine: {type: ThreadPoolEngine}", "template", None, {}, {}, {}, {})
    lodger = Lodger(Become.of(account, {}, UserLimits(), PamSettings()), errand, pytest.fail, answer_within_s=3)
    with pytest.raises(ConfigurationError, match=rf"{ada.pw_name} was not ready .* within 3 s: can .*{ada.pw_dir}"):
        await lodger.run({}, (python,))
    assert not psutil.pid_exists(lodger.pid)
    shutil.rmtree(home / ".afield")


def test_an_account_cannot_flood_the_managers_log(mine, many, parts, ada, caplog):
    settings, _ = read_settings(mine)
    tenancy = Tenancy.of(mine, settings, many.CEP, time.time)
    service = SimpleNamespace(credentials=parts.credentials_for("memory:"))
    command = many.start(service, many.identity(f"{ada.pw_name}@example.org"))
    lodger = tenancy.lodger(command, Tenant(find_account(ada.pw_name), many.ADA))
    lodger._start_of(Seated("/", UserSettings(), {}, {}, ["w" * 5000] * 5000, 0))
    assert 1 <= len(caplog.records) <= 20
    assert len(caplog.text) < 20_000


#: Leaves somebody behind who holds the pipes between a user endpoint and its manager, and writes into them for ever.
LEFT_BEHIND = """
def f():
    import os, sys
    held = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
    held = [fd for fd in held if os.path.exists(f"/proc/self/fd/{fd}")]
    held = [os.dup(fd) for fd in held if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")]
    for fd in held:
        os.set_inheritable(fd, True)
    code = "import os, sys" + chr(10) + "while True:" + chr(10) + " for fd in map(int, sys.argv[1:]):" + chr(10)
    code += "  try: os.write(fd, (b'EXEC_START tid=lie' + bytes([10])) * 2000)" + chr(10) + "  except OSError: pass"
    reading, writing = os.pipe()
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        os.write(writing, str(os.getpid()).encode())
        os.execve(sys.executable, [sys.executable, "-c", code, *map(str, held)], {})
    return int(os.read(reading, 20)), len(held)
"""


async def test_what_a_task_leaves_behind_keeps_nobody_waiting(running, many, mine, parts, ada):
    mine.config.write_text(mine.config.read_text() + "audit_log_path: audit.log\n")
    mine.template.write_text("engine: {type: ThreadPoolEngine}\n")  # tasks run in the user endpoint's own process
    async with parts.over_sockets() as service, asyncio.timeout(60), running(service):
        whom = many.identity(f"{ada.pw_name}@example.org")
        await service.command(many.CEP, many.start(service, whom))
        await service.until(lambda: service.said_by(parts.UEP))
        await service.send(parts.call("t", LEFT_BEHIND))
        await service.until(lambda: "t" in service.results)
        left, held = parts.value(service.results["t"])
        # From outside the event loop, which nothing may block, or this test never ends.
        end = threading.Timer(10, os.kill, (left, signal.SIGKILL))
        end.start()
        assert held >= 2, "its orders, and the audit log"
    lines = (mine.path / f"audit.uid-{ada.pw_uid}.log").read_text().splitlines()
    assert any("tid=lie" in line for line in lines)
    assert lines[-1].endswith(" ENDED")
    assert end.is_alive(), "the manager ended while somebody else held its pipes, and wrote on"
    end.cancel()
    assert psutil.Process(left).status() != psutil.STATUS_ZOMBIE
    os.kill(left, signal.SIGKILL)
