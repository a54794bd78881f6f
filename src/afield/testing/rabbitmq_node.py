"""A RabbitMQ of a test's own: its own name, ports, data and plugins, gone afterwards.

Nothing that is installed or running is touched: RabbitMQ's own starting script is run with everything of it below one
directory, beside an ``epmd`` of its own. It is up in some five seconds.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import HTTPBasicAuthHandler, HTTPPasswordMgrWithDefaultRealm, build_opener

from afield.errors import ConfigurationError

__all__ = ["RabbitNode", "rabbitmq_is_installed", "rabbitmq_node"]

#: Where distributions put the script itself; what lies in the path may be a wrapper that changes users.
_PLACES: Final = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server")

_PLUGINS: Final = ("rabbitmq_management",)

#: How long it may take to start or to stop, in seconds.
_PATIENCE_S: Final = 60.0


def _script() -> str | None:
    return next((one for one in _PLACES if os.access(one, os.X_OK)), None) or shutil.which("rabbitmq-server")


def rabbitmq_is_installed() -> bool:
    """Whether a node can be started here."""
    return _script() is not None and shutil.which("epmd") is not None


@dataclass
class RabbitNode:
    """A node that is up, or was.

    :param directory: everything of it is there, and outlives :meth:`stop`
    :param port: for AMQP
    :param api_port: of the management API
    """

    directory: Path
    port: int
    api_port: int
    _environment: dict[str, str]
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """For AMQP, with a login that may everything."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def api(self) -> str:
        """Of the management API, with the same login."""
        return f"http://guest:guest@127.0.0.1:{self.api_port}"

    @property
    def log(self) -> str:
        """What it has written so far."""
        paths = [*sorted(self.directory.glob("log/*.log")), self.directory / "output"]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def unacknowledged(self) -> dict[str, int]:
        """How many messages consumers have and have not acknowledged, of each queue, at this moment."""
        script = _script()
        assert script is not None, "ask rabbitmq_is_installed first"
        command = [
            str(Path(script).with_name("rabbitmqctl")),
            "--silent",
            "list_queues",
            "name",
            "messages_unacknowledged",
        ]
        said = subprocess.run(command, env=self._environment, check=True, capture_output=True, text=True).stdout
        return {name: int(count) for name, count in (line.split("\t") for line in said.splitlines())}

    def start(self) -> None:
        """Be up when this returns; once more after :meth:`stop` or :meth:`kill`, with all that was durable.

        :raises ConfigurationError: it did not start
        """
        script = _script()
        assert script is not None, "ask rabbitmq_is_installed first"
        with (self.directory / "output").open("ab") as output:
            for command in (["epmd", "-port", self._environment["ERL_EPMD_PORT"], "-address", "127.0.0.1"], [script]):
                self._processes.append(
                    subprocess.Popen(
                        command, env=self._environment, stdout=output, stderr=output, start_new_session=True
                    )
                )
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._processes[-1].poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ConfigurationError(f"RabbitMQ did not start:\n{self.log[-4000:]}")
            with suppress(subprocess.TimeoutExpired):
                self._processes[-1].wait(0.1)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()

    def _answers(self) -> bool:
        # Both: the management API listens earlier than AMQP.
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        passwords = HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, f"http://127.0.0.1:{self.api_port}/", "guest", "guest")
        try:
            with build_opener(HTTPBasicAuthHandler(passwords)).open(
                f"http://127.0.0.1:{self.api_port}/api/overview", timeout=5
            ) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def rabbitmq_node(
    directory: Path, *, plugins: Iterable[str] = (), configuration: Iterable[str] = ()
) -> Iterator[RabbitNode]:
    """A node for the length of a ``with`` block.

    :param directory: for all of its files; short, for it is part of names that the system bounds
    :param plugins: to switch on besides the management API
    :param configuration: further lines of ``rabbitmq.conf``
    """
    port, api_port, distribution_port, epmd_port = _free_ports(4)
    for name in ("data", "log"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "plugins").write_text(f"[{','.join((*_PLUGINS, *plugins))}].\n")
    lines = [
        f"listeners.tcp.1 = 127.0.0.1:{port}",
        "management.tcp.ip = 127.0.0.1",
        f"management.tcp.port = {api_port}",
        "log.file = node.log",
        "log.console = false",
        "collect_statistics_interval = 1000",
        *configuration,
    ]
    (directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    environment |= {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": f"afield-{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_CRASH_DUMP": str(directory / "erl_crash.dump"),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    node = RabbitNode(directory, port, api_port, environment)
    node.start()
    try:
        yield node
    finally:
        node.kill()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
