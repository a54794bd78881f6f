"""Real accounts, made and removed, and a Python that they may run."""

from __future__ import annotations

import asyncio
import ctypes.util
import json
import os
import pwd
import secrets
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import afield
from afield.broker.amqp import AmqpConnector
from afield.endpoint.host.defaults import write_defaults
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.host.registration import Registered
from afield.endpoint.manager.loop import Manager
from afield.endpoint.manager.owner import read_settings
from afield.wire.commands import ReadQueue, StartCommand, StartOptions, user_endpoint_name
from afield.wire.rest import EndpointRegistered

CEP = "0192d3a0-0000-7000-8000-00000000000c"
ADA = "0192d3a0-0000-7000-8000-0000000000aa"

PAM_SERVICES = Path("/etc/pam.d")

NEEDS_ROOT = "making accounts and becoming them needs root on Linux, with useradd"


def can_make_accounts():
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("useradd") is not None


#: Reads what was made, and removes it when nobody can make more: also if the tests were killed.
GUARDIAN = """
import os, pwd, signal, subprocess, sys
os.setsid()
made = [line.split() for line in sys.stdin]
for kind, name in reversed(made):
    if kind == "file":
        if os.path.exists(name):
            os.unlink(name)
    elif kind == "group":
        subprocess.run(["groupdel", "-f", name], capture_output=True)
    else:
        uid = pwd.getpwnam(name).pw_uid
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}").st_uid == uid:
                    os.kill(int(pid), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass
        subprocess.run(["userdel", "--remove", "--force", name], capture_output=True)
"""


@pytest.fixture(scope="session")
def guardian():
    """Tells somebody who outlives the tests what there is to remove."""
    if not can_make_accounts():
        pytest.skip(NEEDS_ROOT)
    process = subprocess.Popen([sys.executable, "-c", GUARDIAN], stdin=subprocess.PIPE, text=True)

    def note(kind, name):
        process.stdin.write(f"{kind} {name}\n")
        process.stdin.flush()

    yield note
    process.stdin.close()
    assert process.wait(60) == 0


@pytest.fixture(scope="session")
def make_account(guardian):
    """Makes accounts with random names; at the end they are gone, with all that they run and own."""

    def make(*more, home=True):
        name = f"af{secrets.token_hex(4)}"
        where = "--create-home" if home else "--no-create-home"
        subprocess.run(["useradd", where, "--shell", "/bin/sh", *more, name], check=True)
        guardian("user", name)
        return pwd.getpwnam(name)

    return make


@pytest.fixture(scope="session")
def ada(make_account, guardian):
    """An account that is in a group beside its own."""
    group = f"ag{secrets.token_hex(4)}"
    subprocess.run(["groupadd", group], check=True)
    guardian("group", group)
    return make_account("--groups", group)


@pytest.fixture(scope="session")
def bob(make_account):
    return make_account()


@pytest.fixture(scope="session")
def public_place(make_account):
    """A directory that every account can enter, which the usual temporary ones are not."""
    with tempfile.TemporaryDirectory(prefix="afield-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@pytest.fixture(scope="session")
def python(public_place, ada):
    """A Python with Afield in it that every account may execute, which the one of these tests need not be."""
    here = Path(os.path.realpath(sys.executable))
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for base in (here, Path("/usr/bin") / wanted, Path("/usr/local/bin") / wanted):
        if not base.exists():
            continue
        place = public_place / "python"
        subprocess.run([base, "-m", "venv", "--without-pip", "--clear", place], check=False, capture_output=True)
        lib = place / "lib" / wanted / "site-packages"
        if not lib.exists():
            continue
        others = [*site.getsitepackages(), sysconfig.get_path("purelib"), str(Path(afield.__file__).parents[1])]
        (lib / "others.pth").write_text("\n".join(others) + "\n")
        # By a shell, because what the account may not execute is then no error of ours.
        probe = f"{place}/bin/python -I -c 'import afield.endpoint.manager.seat, afield.endpoint.agent.loop'"
        tried = subprocess.run(
            ["/bin/sh", "-c", probe], user=ada.pw_uid, group=ada.pw_gid, extra_groups=[], cwd="/", env={},
            capture_output=True,
        )  # fmt: skip
        if tried.returncode == 0:
            return str(place / "bin" / "python")
    pytest.skip(f"no {wanted} on this machine that other accounts may execute, or they may not read these sources")


@pytest.fixture
def pam_service(guardian):
    """Makes PAM services; they are gone afterwards."""
    if ctypes.util.find_library("pam") is None or not PAM_SERVICES.is_dir():
        pytest.skip("libpam is not installed here")
    made = []

    def make(*lines):
        path = PAM_SERVICES / f"afield-{secrets.token_hex(4)}"
        guardian("file", path)
        path.write_text("\n".join(lines) + "\n")
        made.append(path)
        return path.name

    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def mine(public_place, ada, bob):
    """An administrator's endpoint that maps by username, to accounts called so, fresh ones."""
    for account in (ada, bob):
        shutil.rmtree(Path(account.pw_dir, ".afield"), ignore_errors=True)
    directory = EndpointDirectory("mine", public_place / secrets.token_hex(4))
    write_defaults(directory, display_name=None, service_url=None)
    directory.config.write_text("email: root@example.org\nidentity_mapping_config_path: mapping.json\n")
    map_by(directory, {"source": "{username}", "match": r"(.*)@example\.org", "output": "{0}"})
    return directory


def map_by(directory, *mappings):
    """Write the rules, as an editor does: whole."""
    documents = [{"DATA_TYPE": "expression_identity_mapping#1.0.0", "mappings": mappings}]
    write_rules(directory, documents)


def write_rules(directory, documents):
    part = directory.path / "mapping.new"
    part.write_text(json.dumps(documents) if not isinstance(documents, str) else documents)
    part.replace(directory.path / "mapping.json")


def identity(username, number=ADA, **more):
    return {"sub": number, "id": number, "username": username, "email": username, "status": "used", **more}


def start(service, *identities, **options):
    credentials = service.credentials
    name = user_endpoint_name(CEP, credentials.endpoint_id)
    first = identities[0]
    return StartCommand(StartOptions(name, options, credentials), first["username"], first["id"], list(identities))


@pytest.fixture
def many():
    """What tests make things of."""
    return SimpleNamespace(ADA=ADA, CEP=CEP, identity=identity, map_by=map_by, start=start, write_rules=write_rules)


@pytest.fixture
def running(mine, parts, python):
    """Run a manager as root in the background; leaving stops it."""

    @asynccontextmanager
    async def run(service):
        url = service.credentials.task_queue_info.connection_url.replace(f"uep.{parts.UEP}.1", "cep.1")
        await service.command_queue(CEP)
        beats = parts.credentials_for(url, CEP).heartbeat_queue_info
        queues = EndpointRegistered(CEP, ReadQueue(url, "commands", f"{CEP}.commands"), beats, beats)
        registered = Registered(CEP, queues, frozenset({"nobody in these tests"}))
        settings, _ = read_settings(mine)
        command = (python, "-m", "afield.endpoint.agent")
        manager = Manager(mine, settings, registered, AmqpConnector(), command=command)
        stop = asyncio.Event()
        work = asyncio.create_task(manager.run(stop))
        try:
            async with asyncio.timeout(parts.PATIENCE_S):
                await manager.ready.wait()
                yield manager
                stop.set()
                await work
        finally:
            work.cancel()
            await asyncio.wait([work])

    return run
