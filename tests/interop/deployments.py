"""A service of ours on port 5000, as one person runs it and as an institution does, with endpoints attached to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.databases import for_processes
from tests.interop.clients import Scripts
from tests.interop.endpoints import Endpoint, Files
from tests.interop.port import PATIENCE_S, PORT, URL, clean_environment
from tests.interop.programs import Program
from tests.rabbitmq import own_node

from afield.ids import new_id
from afield.sdk.login.client_credentials import ClientCredentials
from afield.testing.rabbitmq_node import RabbitNode

__all__ = ["KINDS", "Deployment", "deployed"]

KINDS = ("embedded", "production")


class Deployment:
    """A service that runs, or did, and everything that was attached to it.

    :param kind: ``embedded`` or ``production``
    :param place: a directory of its own
    :param command: of ``afield`` that starts it
    :param node: the RabbitMQ of the production one
    """

    def __init__(self, kind: str, place: Path, command: tuple[str, ...], node: RabbitNode | None = None) -> None:
        self.kind, self.place, self.node = kind, place, node
        self.program: Program | None = None
        #: of the client as which all programs act, made by `afield client create`
        self.credentials = ("", "")
        self._login: ClientCredentials | None = None
        self._command = command
        self._endpoints: dict[str, Endpoint] = {}
        self._scripts: dict[str, Scripts] = {}
        self._others: list[Endpoint | Scripts] = []

    def start(self, program: tuple[str, ...] = ("-m", "afield"), **environment: str) -> None:
        """Have it run when this returns; again, after an end, with all that it kept.

        :param program: what Python is to run, with the same arguments
        """
        self.program = Program([sys.executable, *program, *self._command], self.owners_environment() | environment,
                               self.place / "service.log")  # fmt: skip
        self.program.until("^Ready")

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it a signal, and wait for its end; its exit status."""
        assert self.program is not None
        return self.program.end(number)

    def close(self) -> None:
        """Have nothing left running."""
        for one in [*self._endpoints.values(), *self._scripts.values(), *self._others]:
            if isinstance(one, Scripts):
                one.close()
            elif one.program is not None:
                one.program.end()

    def owners_environment(self) -> dict[str, str]:
        """Of the person who runs the service on this machine."""
        return clean_environment(AFIELD_USER_DIR=str(self.place))

    def owners_command(self, *arguments: str) -> Any:
        """Run a command of ``afield`` as that person; its JSON."""
        done = subprocess.run([sys.executable, "-m", "afield", *arguments, "--json"], env=self.owners_environment(),
                              capture_output=True, text=True, timeout=PATIENCE_S)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def make_client(self, name: str) -> tuple[str, str]:
        """Another one of ``afield client create``: its id and its secret."""
        made = self.owners_command("client", "create", name)
        return made["client"]["id"], made["secret"]

    def endpoint(self, whose: str) -> Endpoint:
        """The endpoint of this package that all scenarios share; it is started when the first asks for it, and once
        more after a scenario in which it had to end.
        """
        if whose not in self._endpoints:
            self._endpoints[whose] = Endpoint(whose, "shared", self.place / f"endpoint-{whose}", self.credentials)
            self._endpoints[whose].configure()
        one = self._endpoints[whose]
        if one.program is None or not one.program.runs:
            one.start()
            self.until_online(one)
        return one

    def until_online(self, endpoint: Endpoint) -> None:
        """Wait for its first report: nobody is told, so this asks. A submit before that is accepted, whatever comes."""
        began = time.monotonic()
        while self.ask("GET", f"/v2/endpoints/{endpoint.id}/status")["status"] != "online":
            assert time.monotonic() - began < PATIENCE_S, (endpoint.directory / "endpoint.log").read_text()

    def without_their_endpoint(self) -> None:
        """End the shared one of theirs: it ends by itself when a service is gone three times within ten seconds."""
        if (one := self._endpoints.get("theirs")) is not None:
            one.stop()

    def new_endpoint(
        self,
        whose: str,
        files: Files | None = None,
        name: str = "another",
        credentials: tuple[str, str] | None = None,
    ) -> Endpoint:
        """An endpoint of a scenario's own, neither configured nor started yet. It is ended with the deployment.

        :param credentials: of the client as which it acts; None: the shared one
        """
        one = Endpoint(whose, name, self.place / f"endpoint-{new_id()}", credentials or self.credentials, files)
        self._others.append(one)
        return one

    def scripts(self, whose: str, credentials: tuple[str, str] | None = None) -> Scripts:
        """The user's side with one of the packages, as the shared client, or as another one."""
        if credentials is not None:
            one = Scripts(whose, self.place / f"scripts-{new_id()}", credentials)
            self._others.append(one)
            return one
        if whose not in self._scripts:
            self._scripts[whose] = Scripts(whose, self.place / f"scripts-{whose}", self.credentials)
        return self._scripts[whose]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Of the REST API, as the shared client."""
        self._login = self._login or ClientCredentials(URL, *self.credentials)
        header = self._login.get_authorization_header()
        request = urllib.request.Request(
            f"{URL}{path}", None if body is None else json.dumps(body).encode(), method=method,
            headers={"Authorization": header, "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace"))
            raise


@contextmanager
def deployed(kind: str, place: Path) -> Iterator[Deployment]:
    """One that runs, as long as somebody is in here."""
    with _embedded(place) if kind == "embedded" else _production(place) as one:
        one.start()
        try:
            one.credentials = one.make_client("interop")
            yield one
        finally:
            try:
                one.close()
            finally:
                status = one.end()
        assert status == 0


@contextmanager
def _embedded(place: Path) -> Iterator[Deployment]:
    yield Deployment("embedded", place, ("up", "--port", str(PORT), "--amqp-port", "0"))


@contextmanager
def _production(place: Path) -> Iterator[Deployment]:
    with own_node() as node, for_processes() as url:
        where = ("--database", url, "--broker", node.url, "--broker-api", node.api, "--database-connections", "3")
        command = ("serve", "--data", str(place / "data"), "--port", str(PORT), *where)
        yield Deployment("production", place, command, node)
