"""The published packages, set by their environment only, and what they are pointed at."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.authority import Authority, make_authority
from tests.interop.port import PATIENCE_S, PORT, PYTHON, clean_environment, only_user_of_the_port, unprivileged
from tests.interop.programs import Program

__all__ = ["Machine", "blocks", "tls_front"]

#: What a published program says about itself: who it is, and what came back from where.
SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")  # about versions of dill that differ
from globus_compute_sdk import Client, Executor
client = Client()
with Executor(sys.argv[1], client=client) as ex:
    future = ex.submit(os.path.join, "a", "b")
    print(json.dumps([future.result(50), client.get_endpoint_metadata(sys.argv[1])["owner"]]), flush=True)
    os._exit(0)  # their threads take their time
"""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> dict[str, list[str]]:
    """The examples on a page below docs/howto, by their kinds."""
    found: dict[str, list[str]] = {}
    for kind, text in _FENCE.findall((Path(__file__).parents[2] / "docs" / "howto" / page).read_text()):
        found.setdefault(kind, []).append(text)
    return found


class Machine:
    """An account on a machine with our command line and the published packages.

    :param home: of the account
    """

    def __init__(self, home: Path, **more: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        programs = home / "bin"
        programs.mkdir(exist_ok=True)
        theirs = [*unprivileged(), str(Path(PYTHON).parent / "globus-compute-endpoint")]
        for name, command in (("afield", [sys.executable, "-m", "afield"]), ("globus-compute-endpoint", theirs)):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            (programs / name).chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(PYTHON).parent), os.environ["PATH"]])
        self.environ = clean_environment(HOME=str(home), AFIELD_USER_DIR=str(home / "afield"), PATH=path, **more)
        self.environ.pop("SSL_CERT_FILE", None)

    def start(self, *words: str) -> Program:
        """A command of ours that goes on, once it is ready."""
        program = Program([str(self.home / "bin" / "afield"), *words], self.environ, self.home / f"{words[0]}.log")
        program.until("^Ready")
        return program

    def evaluate(self, command: str) -> dict[str, str]:
        """What a command sets in the shell that it is typed into; it is set for all that follows."""
        show = "import json, os; print(json.dumps(dict(os.environ)))"
        found = json.loads(self.run(f"{command}; {sys.executable} -c '{show}'").stdout)
        names = [name for name in found if name.startswith("GLOBUS_") or name == "SSL_CERT_FILE"]
        said = {name: found[name] for name in names}
        self.environ |= said
        return said

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Somebody types a command."""
        done = subprocess.run(["sh", "-c", command], env=self.environ, capture_output=True, text=True, cwd=self.home,
                              timeout=PATIENCE_S, check=False)  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done

    def begin(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """A published program, at which somebody may type."""
        path = self.home / "script.py"
        path.write_text(script)
        return subprocess.Popen([PYTHON, str(path), *arguments], env=self.environ, text=True, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def there_and_back(self, endpoint_id: str) -> list[str]:
        """What came back from an endpoint, and whose that is."""
        with self.begin(SCRIPT, endpoint_id) as program:
            out, err = program.communicate(timeout=PATIENCE_S)
        assert program.returncode == 0, err
        return json.loads(out)

    @contextmanager
    def started_endpoint(self, command: str) -> Iterator[str]:
        """One that was configured; its id.

        :param command: what starts it
        """
        running = Program(["sh", "-c", f"exec {command}"], self.environ, self.home / "theirs.log", terminal=True)
        try:
            found = running.until(r"[0-9a-f]{8}-[0-9a-f-]{27}")
            running.until("----> ")  # it listens, and says so each second
            yield found[0]
        finally:
            assert running.end() == 0
            running.kill()


class _Front:
    """Speaks TLS, and passes on to whoever speaks none."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context, self._port = context, port

    async def run(self, ready: Callable[[int], None], stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._meet, "localhost", 0, ssl=self._context)
        async with server:
            ready(server.sockets[0].getsockname()[1])
            await stop.wait()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, onwards = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._copy(reader, onwards), self._copy(inner, writer))

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while piece := await reader.read(1 << 16):
                writer.write(piece)
                await writer.drain()
        writer.close()


@contextmanager
def tls_front(authority: Authority, port: int) -> Iterator[str]:
    """The URL of a front with a certificate of this authority, before what listens at a port."""
    front = _Front(authority.for_server(), port)
    loop, stop, found = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    ports: list[int] = []

    def ready(got: int) -> None:
        ports.append(got)
        found.set()

    running = threading.Thread(target=loop.run_until_complete, args=(front.run(ready, stop),))
    running.start()
    try:
        assert found.wait(PATIENCE_S)
        yield f"https://localhost:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        running.join(PATIENCE_S)
        loop.run_until_complete(_ended(loop))
        loop.close()


async def _ended(loop: asyncio.AbstractEventLoop) -> None:
    others = [one for one in asyncio.all_tasks(loop) if one is not asyncio.current_task()]
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An institution that signs its own certificates."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def the_port() -> Iterator[int]:
    """To be the one who uses it, among tests that run at the same time."""
    with only_user_of_the_port():
        yield PORT
