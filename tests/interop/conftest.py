"""A service of ours on the one address that published clients know, and the published packages beside it.

Published clients without a patch reach a service of one's own only at http://localhost:5000 (reference: wire contract
section 1.1). So these tests share one service, and need that port.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")
HERE = Path(__file__).parent
PORT = 5000
#: Nothing here takes longer than this; it only bounds a hang.
PATIENCE_S = 60

#: What each script of a published client begins with. A script may send as often as it likes.
PRELUDE = """
import json, os, sys, uuid, warnings
warnings.simplefilter("ignore")  # about versions of dill that differ
import globus_sdk
from globus_compute_sdk import Client, Executor, ShellFunction
from globus_compute_sdk.serialize import *
client = Client(authorizer=globus_sdk.AccessTokenAuthorizer(os.environ["TOKEN"]), local_compute_services=True)
endpoint = os.environ["ENDPOINT"]
def executor(**options):
    return Executor(endpoint, client, api_burst_limit=1000, **options)
def outcome(future):
    error = future.exception(50)
    return future.result() if error is None else f"{type(error).__name__}: {error}"
def said(value):
    print(json.dumps(value), flush=True)
"""

TEMPLATE = """\
engine:
  type: ThreadPoolEngine
  max_workers: {{ workers | default(2) }}
heartbeat_period: 5
"""
SCHEMA = {"type": "object", "properties": {"workers": {"type": "integer", "minimum": 1}}}


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}
    return kept | more


@dataclass
class Service:
    """`afield up` on port 5000, or whatever else serves there."""

    place: Path
    command: tuple[str, ...] = ("up", "--port", str(PORT), "--amqp-port", "0")
    process: subprocess.Popen[str] | None = None
    #: what a client of this machine finds in its file
    known: dict[str, Any] = field(default_factory=dict)
    #: an endpoint of ours that is no part of the service
    endpoint: subprocess.Popen[str] | None = None

    def start(self) -> Service:
        self.process = self._begin(self.command, AFIELD_USER_DIR=str(self.place))
        (file,) = (self.place / "services").glob("*.json")
        self.known |= {name: value for name, value in json.loads(file.read_text()).items() if value is not None}
        return self

    def start_endpoint(self) -> None:
        place = {
            "AFIELD_USER_DIR": str(self.place / "machine"),
            "AFIELD_SERVICE_URL": f"http://127.0.0.1:{PORT}",
            "AFIELD_TOKEN": self.known["token"],
        }
        subprocess.run([sys.executable, "-m", "afield", "endpoint", "configure", "ours"], env=environment(**place),
                       check=True, capture_output=True, timeout=PATIENCE_S)  # fmt: skip
        self.endpoint = self._begin(("endpoint", "start", "ours"), **place)
        (one,) = self.ask("GET", "/v2/endpoints")
        self.known["endpoint_id"] = one["uuid"]

    def end_endpoint(self) -> None:
        if self.endpoint is not None:
            self.endpoint.terminate()
            self.endpoint.communicate(timeout=PATIENCE_S)

    def _begin(self, command: tuple[str, ...], **more: str) -> subprocess.Popen[str]:
        """Start a command of ours, until it says that it is ready."""
        path = self.place / f"{command[0]}.log"
        with path.open("a") as log:
            process = subprocess.Popen([sys.executable, "-m", "afield", *command], env=environment(**more), stderr=log,
                                       stdout=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
        assert process.stdout is not None
        if not any(line.startswith("Ready") for line in process.stdout):
            pytest.fail(f"afield {command[0]} ended with {process.wait()}:\n{path.read_text()[-3000:]}")
        return process

    def end(self, number: int = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}{path}", None if body is None else json.dumps(body).encode(), method=method,
            headers={"Authorization": f"Bearer {self.known['token']}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def theirs(self, script: str, *arguments: str, endpoint: str | None = None) -> list[Any]:
        """Run a script of a published client; what it ``said``."""
        path = self.place / "theirs.py"
        path.write_text(PRELUDE + textwrap.dedent(script))
        return self._run(PYTHON, path, arguments, endpoint, GLOBUS_SDK_ENVIRONMENT="local")

    def ours(self, script: str, *arguments: str, endpoint: str | None = None) -> list[Any]:
        """Run a script of a client of ours; what it printed, as JSON."""
        path = self.place / "ours.py"
        path.write_text(textwrap.dedent(script))
        return self._run(sys.executable, path, arguments, endpoint, AFIELD_USER_DIR=str(self.place))

    @contextmanager
    def theirs_beside(self, script: str, endpoint: str | None = None) -> Iterator[subprocess.Popen[str]]:
        """A script of a published client that one talks with by lines."""
        path = self.place / "beside.py"
        path.write_text(PRELUDE + textwrap.dedent(script))
        env = self._environment(endpoint, GLOBUS_SDK_ENVIRONMENT="local")
        with subprocess.Popen([PYTHON, str(path)], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def _environment(self, endpoint: str | None, **more: str) -> dict[str, str]:
        named = {"TOKEN": self.known["token"], "ENDPOINT": endpoint or self.known["endpoint_id"]}
        return environment(GLOBUS_COMPUTE_USER_DIR=str(self.place / "globus"), **named, **more)

    def _run(self, python: str, path: Path, arguments: tuple[str, ...], endpoint: str | None, **more: str) -> list[Any]:
        done = subprocess.run([python, str(path), *arguments], env=self._environment(endpoint, **more), text=True,
                              capture_output=True, timeout=PATIENCE_S)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@dataclass
class PublishedEndpoint:
    """One endpoint of the published package."""

    service: Service
    place: Path
    auth_url: str
    wrapper: tuple[str, ...]
    id: str = ""
    process: subprocess.Popen[str] | None = None

    def configure(self) -> None:
        """Make its files. It gets its id beforehand, so that tasks can be sent before it is up."""
        files = {"core": "heartbeat_period: 5\n", "template": TEMPLATE, "schema": json.dumps(SCHEMA)}
        options = []
        for name, text in files.items():
            (self.place / name).write_text(text)
            options += [f"--{name}-config", str(self.place / name)]
        done = self.run("configure", "theirs", *options)
        assert done.returncode == 0, done.stderr
        registered = self.service.ask("POST", "/v3/endpoints", {"endpoint_name": "theirs"})
        self.id = registered["endpoint_id"]
        (self.place / "globus" / "theirs" / "endpoint.json").write_text(json.dumps({"endpoint_id": self.id}))

    def start(self) -> None:
        with (self.place / "start.log").open("w") as log:
            self.process = subprocess.Popen(self._command("start", "theirs"), env=self._environment(), stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip

    def stop(self) -> None:
        """Press Ctrl-C, and wait until it has ended, and all that it started."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(*arguments), env=self._environment(), capture_output=True, text=True,
                              timeout=PATIENCE_S)  # fmt: skip

    def _command(self, *arguments: str) -> list[str]:
        # Beside the interpreter as it was named: what it may be a link to knows nothing of the packages.
        return [*self.wrapper, str(Path(PYTHON).parent / "globus-compute-endpoint"), *arguments]

    def _environment(self) -> dict[str, str]:
        return environment(
            PATH=os.pathsep.join([str(Path(PYTHON).parent), os.environ.get("PATH", "")]),
            HOME=str(self.place),
            GLOBUS_COMPUTE_USER_DIR=str(self.place / "globus"),
            GLOBUS_SDK_ENVIRONMENT="local",
            GLOBUS_SDK_SERVICE_URL_AUTH=self.auth_url,
            GLOBUS_COMPUTE_CLIENT_ID="11111111-1111-4111-8111-111111111111",
            GLOBUS_COMPUTE_CLIENT_SECRET="any",
        )


class Held:
    """Two tasks that say that they run, and end when they are let go."""

    script = """
        def mark(place, i):
            with open(place + "/marks", "w") as marks:
                marks.write(str(i))
            open(place + "/gate").close()  # until somebody opens its other end
            return i
        ex = executor()
        place = sys.stdin.readline().strip()
        futures = [ex.submit(mark, place, i) for i in range(2)]
        while not all(f.task_id for f in futures):
            os.sched_yield()
        said("accepted")
        sys.stdin.readline()
        said([outcome(f) for f in futures])
        said(ex.submit(pow, 2, 3).result(50))
        os._exit(0)
    """

    def __init__(self, place: Path) -> None:
        self.place, self._gate = place, -1
        os.mkfifo(place / "gate")
        os.mkfifo(place / "marks")
        self._marks = os.open(place / "marks", os.O_RDWR)

    def wait_until_they_run(self, client: subprocess.Popen[str]) -> None:
        """And until the client has been told that they were accepted: else it would send them again, as new ones."""
        assert client.stdout is not None
        assert client.stdout.readline() == '"accepted"\n'
        running = ""
        while len(running) < 2:
            running += os.read(self._marks, 100).decode()
        assert sorted(running) == ["0", "1"]

    def let_go(self) -> None:
        if self._gate < 0:
            self._gate = os.open(self.place / "gate", os.O_RDWR)

    def ran_again(self) -> str:
        os.set_blocking(self._marks, False)
        try:
            return os.read(self._marks, 100).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        os.close(self._marks)
        os.close(self._gate)

    @staticmethod
    def tell(client: subprocess.Popen[str], line: object) -> None:
        assert client.stdin is not None
        client.stdin.write(f"{line}\n")
        client.stdin.flush()


@pytest.fixture(scope="module")
def the_port() -> Iterator[None]:
    """To be the one who uses it, among tests that run at the same time."""
    if not PYTHON:
        pytest.skip("AFIELD_TEST_PUBLISHED_PYTHON names no interpreter with globus-compute-sdk and -endpoint")
    with (Path(tempfile.gettempdir()) / f"afield-test-port-{PORT}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", PORT))
            except OSError:
                pytest.skip(f"port {PORT} is another program's, and published clients know no other")
        yield


@pytest.fixture(scope="module")
def make_service(the_port: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Service]:
    """Makes one that is still to be started."""
    return lambda **how: Service(tmp_path_factory.mktemp("interop"), **how)


@pytest.fixture(scope="module")
def service(make_service: Callable[..., Service]) -> Iterator[Service]:
    """Ours, with an endpoint of ours."""
    one = make_service().start()
    yield one
    assert one.end() == 0


@pytest.fixture(scope="module")
def published_endpoint(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishedEndpoint]:
    """Theirs, running."""
    wrapper = _unprivileged()
    place = tmp_path_factory.mktemp("published")
    owner = service.ask("GET", f"/v2/endpoints/{service.known['endpoint_id']}")["owner"]
    with subprocess.Popen([sys.executable, str(HERE / "auth_stand_in.py")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as auth:  # fmt: skip
        assert auth.stdin is not None
        assert auth.stdout is not None
        auth.stdin.write(json.dumps({"token": service.known["token"], "identity_id": owner}) + "\n")
        auth.stdin.flush()
        one = PublishedEndpoint(service, place, auth.stdout.readline().strip(), wrapper)
        one.configure()
        one.start()
        try:
            yield one
        finally:
            one.stop()
            auth.stdin.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    one = Held(tmp_path)
    yield one
    one.let_go()
    one.close()


def _unprivileged() -> tuple[str, ...]:
    """What to put before a command so that it is not run by root: for root, the published endpoint serves many users,
    and wants a map of them.
    """
    if os.getuid():
        return ()
    nobody = pwd.getpwnam("nobody")
    unshare = shutil.which("unshare") or "unshare"
    wrapper = (unshare, "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}")
    try:
        subprocess.run([*wrapper, "true"], check=True, capture_output=True, timeout=PATIENCE_S)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this is root, and `unshare --user` does not work, so the published endpoint cannot run: {error}")
    return wrapper
