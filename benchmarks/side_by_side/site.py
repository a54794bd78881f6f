"""The service that both use, and the endpoints of both, configured and not yet started."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.places import System

__all__ = ["side_by_side"]

PORT = 5000
URL = f"http://localhost:{PORT}"
#: A start or an end that takes longer is a failure.
PATIENCE_S = 60

_PROCESSES = "engine:\n  type: ProcessPoolEngine\n  max_workers: {{ max_workers }}\n"
_DEFAULT = """\
engine:
  type: GlobusComputeEngine
  max_workers_per_node: {{ max_workers }}
  address: 127.0.0.1
  provider:
    type: LocalProvider
    init_blocks: 1
    min_blocks: 0
    max_blocks: 1
"""
_SCHEMA = '{"type": "object", "properties": {"max_workers": {"type": "integer"}}}'


@contextmanager
def side_by_side(python: Path) -> Iterator[list[System]]:
    """What there is to measure, while the service runs.

    :param python: has the published packages
    """
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", PORT))
        except OSError:
            raise SystemExit(f"port {PORT} is another program's, and the published packages know no other") from None
    place = Path(tempfile.mkdtemp(prefix="bench-side-"))
    environment = _clean() | {"AFIELD_USER_DIR": str(place)}
    command = [sys.executable, "-m", "afield", "serve", "--data", str(place / "data")]
    with subprocess.Popen(
        [*command, "--port", str(PORT), "--amqp-port", "0"], env=environment, stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            if not any(line.startswith("Ready") for line in service.stdout):
                raise SystemExit(f"afield serve ended with {service.wait()}")
            made = json.loads(
                _run([sys.executable, "-m", "afield", "client", "create", "bench", "--json"], environment)
            )
            credentials = (made["client"]["id"], made["secret"])
            yield [
                _ours(place / "ours", credentials),
                _theirs("published", "published, ProcessPoolEngine", _PROCESSES, python, place, credentials),
                _theirs("published_default", "published, GlobusComputeEngine", _DEFAULT, python, place, credentials),
            ]
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(PATIENCE_S)
            shutil.rmtree(place, ignore_errors=True)


def _ours(place: Path, credentials: tuple[str, str]) -> System:
    """As `configure` makes it: worker processes."""
    own = {"AFIELD_USER_DIR": str(place), "AFIELD_SERVICE_URL": URL}
    own |= dict(zip(("AFIELD_CLIENT_ID", "AFIELD_CLIENT_SECRET"), credentials, strict=True))
    command = [sys.executable, "-m", "afield", "endpoint"]
    _run([*command, "configure", "bench"], _clean() | own)
    own |= _told([*command, "start", "bench"], place / "endpoints" / "bench" / "endpoint.json")
    return System("afield", "Afield", module="benchmarks.side_by_side.ours", environment=own)


def _theirs(name: str, title: str, template: str, python: Path, place: Path, credentials: tuple[str, str]) -> System:
    place = place / name
    place.mkdir()
    own = {
        "HOME": str(place),
        "GLOBUS_COMPUTE_USER_DIR": str(place / "user"),
        "GLOBUS_SDK_ENVIRONMENT": "local",
        "GLOBUS_SDK_SERVICE_URL_AUTH": f"{URL}/",
    }
    own |= dict(zip(("GLOBUS_COMPUTE_CLIENT_ID", "GLOBUS_COMPUTE_CLIENT_SECRET"), credentials, strict=True))
    (place / "template").write_text(template)
    (place / "schema").write_text(_SCHEMA)
    command = [*_unprivileged(), str(python.parent / "globus-compute-endpoint")]
    options = ["--template-config", str(place / "template"), "--schema-config", str(place / "schema")]
    path = {"PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])}
    _run([*command, "configure", "bench", *options], _clean() | own | path)
    own |= _told([*command, "start", "bench"], place / "user" / "bench" / "endpoint.json")
    return System(name, title, module="benchmarks.side_by_side.published", python=python, environment=own)


def _told(command: Sequence[str], identity: Path) -> dict[str, str]:
    """What the process that measures is told of its endpoint."""
    return {"BENCH_ENDPOINT_COMMAND": json.dumps(list(command)), "BENCH_ENDPOINT_FILE": str(identity)}


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AFIELD_", "GLOBUS_"))}


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _unprivileged() -> list[str]:
    """What to put before a command so that it is not run by root: for root, their endpoint serves many users, and wants
    a map of them.
    """
    if os.getuid():
        return []
    nobody = pwd.getpwnam("nobody")
    wrapper = ["unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}"]
    _run([*wrapper, "true"], _clean())
    return wrapper
