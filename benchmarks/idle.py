"""What an endpoint costs its machine while nothing happens.

::

    python -m benchmarks.idle [--workers 2] [--seconds 60]

A service, an endpoint and one user endpoint are started as people start them; one task is run, and then nothing is done
for a while. What is printed is read from the system: memory (proportional: shared pages counted once), processor time
and how often each was woken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

__all__ = ["main"]

MB = 1024 * 1024
#: After its last task a user endpoint may take so long to come to rest.
SETTLE_S = 5.0


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """A program with all below it, ended afterwards."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(what: str, path: Path) -> None:
    """Until a file is there."""
    end = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not start within a minute")
        time.sleep(0.05)


class Share:
    """Some processes, and what they used since this was made."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self.processes = processes
        self.began, self.cpu, self.woken = time.perf_counter(), self._cpu(), self._woken()

    def _cpu(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def _woken(self) -> int:
        return sum(sum(process.num_ctx_switches()) for process in self.processes)

    def show(self, what: str) -> dict[str, Any]:
        """Print a line."""
        took = time.perf_counter() - self.began
        figures = {
            "processes": len(self.processes),
            "pss_mb": sum(process.memory_full_info().pss for process in self.processes) / MB,
            "rss_mb": sum(process.memory_info().rss for process in self.processes) / MB,
            "cpu_percent": 100 * (self._cpu() - self.cpu) / took,
            "switches_per_s": (self._woken() - self.woken) / took,
        }
        print(
            f"{what:44} {figures['processes']:3} processes  {figures['pss_mb']:7.1f} MB ({figures['rss_mb']:.1f} "
            f"resident)  {figures['cpu_percent']:6.3f} % of a core  {figures['switches_per_s']:5.1f} switches/s"
        )
        return figures


TASK = """
from afield import Executor
with Executor() as executor:
    assert executor.submit(pow, 2, 10).result(60) == 1024
"""


def ours(where: Path, workers: int, seconds: float) -> dict[str, Any]:
    """Measure Afield."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AFIELD_")}
    environment["AFIELD_USER_DIR"] = str(where)
    afield = [sys.executable, "-m", "afield"]
    ready = where / "ready.json"
    serve = [*afield, "serve", "--port", "0", "--amqp-port", "0", "--ready-file", str(ready)]
    with running(serve, environment, where / "serve.log"):
        wait_for("the service", ready)
        environment["AFIELD_SERVICE_URL"] = json.loads(ready.read_text())["service_url"]
        subprocess.run([*afield, "endpoint", "configure", "idle"], env=environment, check=True, stdout=2)
        [template] = where.rglob("user_config_template.yaml.j2")
        template.write_text(f"engine:\n  type: ProcessPoolEngine\n  max_workers: {workers}\nidle_heartbeats_soft: 0\n")
        with running([*afield, "endpoint", "start", "idle"], environment, where / "endpoint.log") as manager:
            rest(where, manager)
            share = Share([manager])
            time.sleep(seconds)
            found = {"manager": share.show("endpoint alone (manager)")}
            subprocess.run([sys.executable, "-c", TASK], env=environment, check=True)
            time.sleep(SETTLE_S)
            below = manager.children(recursive=True)
            shares = {"user_endpoint": Share(below), "manager_beside": Share([manager])}
            time.sleep(seconds)
            titles = {
                "user_endpoint": f"user endpoint with {workers} workers, in all",
                "manager_beside": "manager beside it",
            }
            return found | {name: share.show(titles[name]) for name, share in shares.items()}


def rest(where: Path, manager: psutil.Process) -> None:
    """Until the endpoint says that it runs."""
    log, end = where / "endpoint.log", time.monotonic() + 60
    while "regist" not in log.read_text(errors="replace").lower() and "ready" not in log.read_text().lower():
        if time.monotonic() > end or not manager.is_running():
            raise SystemExit(f"the endpoint did not start: {log.read_text()}")
        time.sleep(0.1)
    time.sleep(SETTLE_S)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long nothing is done")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as place:
        found = ours(Path(place), options.workers, options.seconds)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
