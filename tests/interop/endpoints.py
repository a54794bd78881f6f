"""Endpoints, ours and theirs, from the same three files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.port import PATIENCE_S, PYTHON, URL, clean_environment, unprivileged
from tests.interop.programs import Program

__all__ = ["Endpoint", "Files"]

_TEMPLATE = """\
engine:
{% if processes is defined %}
  type: GlobusComputeEngine
  max_workers_per_node: {{ processes }}
  address: 127.0.0.1
  # So often theirs looks after its workers.
  heartbeat_period: 1
  heartbeat_threshold: 10
  max_retries_on_system_failure: 0
  provider:
    type: LocalProvider
    init_blocks: 1
    min_blocks: 1
    max_blocks: 1
{% elif mpi is defined %}
  type: GlobusMPIEngine
  mpi_launcher: mpiexec
  max_workers_per_block: 1
  address: 127.0.0.1
  provider:
    type: LocalProvider
    init_blocks: 1
    min_blocks: 1
    max_blocks: 1
    worker_init: export PBS_NODEFILE=@PLACE@/nodes PATH=@PLACE@:$PATH
    launcher:
      type: SimpleLauncher
{% elif broken is defined %}
  type: NoSuchEngine
{% else %}
  type: ThreadPoolEngine
  max_workers: {{ workers | default(8) }}
{% endif %}
heartbeat_period: 5
"""
_SCHEMA = {
    "type": "object",
    "properties": {
        "workers": {"type": "integer", "minimum": 1},
        "processes": {"type": "integer", "minimum": 1},
        "mpi": {"type": "boolean"},
        "broken": {"type": "boolean"},
    },
    "additionalProperties": False,
}
#: What the MPI engine takes for a launcher: it runs the command once for each rank.
_MPIEXEC = """\
#!/bin/bash
[[ "$1 $3 $5" == "-n -ppn -hosts" ]] || { echo "unexpected: $*"; exit 2; }
for ((rank = 0; rank < $2; rank++)); do "${@:7}"; done
"""


@dataclass(frozen=True, slots=True)
class Files:
    """What an endpoint is configured with.

    By ``user_endpoint_config`` its users choose: nothing or ``{"workers": 2}`` is a ThreadPoolEngine,
    ``{"processes": 1}`` a GlobusComputeEngine, ``{"mpi": True}`` a GlobusMPIEngine with one node and a launcher of the
    test's, ``{"broken": True}`` nothing that could start. In the template ``@PLACE@`` is a directory of the endpoint's.
    """

    manager: str = "heartbeat_period: 5\n"
    template: str = _TEMPLATE
    schema: str = field(default=json.dumps(_SCHEMA))


class Endpoint:
    """An endpoint that runs, or did.

    :param whose: ``ours`` or ``theirs``
    :param name: of it
    :param place: a directory of its own
    :param credentials: the client's id and secret as which it acts
    :param files: what it is configured with
    """

    def __init__(
        self, whose: str, name: str, place: Path, credentials: tuple[str, str], files: Files | None = None
    ) -> None:
        self.whose, self.name, self.place = whose, name, place
        self.id = ""
        self.program: Program | None = None
        self._credentials, self._files = credentials, files or Files()

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.place / ("user/endpoints" if self.whose == "ours" else "user") / self.name

    def configure(self) -> None:
        """Make its files."""
        self.place.mkdir(parents=True, exist_ok=True)
        (self.place / "nodes").write_text("localhost\n")
        (self.place / "mpiexec").write_text(_MPIEXEC)
        (self.place / "mpiexec").chmod(0o755)
        files = {"core": self._files.manager, "template": self._files.template, "schema": self._files.schema}
        options = []
        for name, text in files.items():
            (self.place / name).write_text(text.replace("@PLACE@", str(self.place)))
            options += [f"--{name}-config", str(self.place / name)]
        done = self.run("configure", self.name, *options)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *options: str) -> None:
        """Have it run when this returns; again, after an end, under the same id."""
        # Theirs says its id to a terminal only, and in colour.
        self.program = Program(self._command("start", self.name, *options), self.environment(), self.place / "log",
                               terminal=self.whose == "theirs")  # fmt: skip
        said = (
            "Ready: endpoint .* is ([0-9a-f-]{36})" if self.whose == "ours" else r"Endpoint ID: \S*?([0-9a-f-]{36})\b"
        )
        self.id = self.program.until(said)[1]

    def stop(self) -> int:
        """Press Ctrl-C, and wait until it has ended; its exit status."""
        assert self.program is not None
        return self.program.end(signal.SIGINT)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this package's endpoint."""
        return subprocess.run(self._command(*arguments), env=self.environment(), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE_S)  # fmt: skip

    def _command(self, *arguments: str) -> list[str]:
        if self.whose == "ours":
            return [sys.executable, "-m", "afield", "endpoint", *arguments]
        # Beside the interpreter as it was named: what it may be a link to knows nothing of the packages.
        return [*unprivileged(), str(Path(PYTHON).parent / "globus-compute-endpoint"), *arguments]

    def environment(self) -> dict[str, str]:
        """All that it is told, beside its files."""
        user, (client_id, secret) = str(self.place / "user"), self._credentials
        if self.whose == "ours":
            return clean_environment(
                AFIELD_USER_DIR=user, AFIELD_SERVICE_URL=URL, AFIELD_CLIENT_ID=client_id, AFIELD_CLIENT_SECRET=secret
            )
        return clean_environment(
            PATH=os.pathsep.join([str(Path(PYTHON).parent), os.environ.get("PATH", "")]),
            HOME=str(self.place),
            GLOBUS_COMPUTE_USER_DIR=user,
            GLOBUS_SDK_ENVIRONMENT="local",
            GLOBUS_SDK_SERVICE_URL_AUTH=f"{URL}/",
            GLOBUS_COMPUTE_CLIENT_ID=client_id,
            GLOBUS_COMPUTE_CLIENT_SECRET=secret,
        )
