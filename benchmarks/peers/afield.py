"""Afield as a user gets it: `afield up` (service, durable store, queues, an endpoint with worker processes) and an
Executor. Everything is on; every task is on disk before it counts as accepted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.protocol import Adapter, main

TITLE = "Afield"
REQUIRES: tuple[str, ...] = ()

#: A start or an end that takes longer is a failure.
PATIENCE_S = 60


class Afield(Adapter):
    """``afield up`` in a directory of its own."""

    def start(self, workers: int) -> None:
        """Start it, and load the SDK while it does."""
        self.directory = Path(tempfile.mkdtemp(prefix="bench-afield-"))
        os.environ["AFIELD_USER_DIR"] = str(self.directory)
        ready = self.directory / "ready.json"
        command = ["up", "--data", str(self.directory / "data"), "--ready-file", str(ready)]
        ports = ["--port", "0", "--amqp-port", "0"]
        self.process = subprocess.Popen([sys.executable, "-m", "afield", *command, *ports], stdout=sys.stderr)
        try:
            from afield import Executor

            Executor.submit  # noqa: B018 - names resolve lazily; this loads what is behind it
            facts = self.wait(ready)
            self.executor = Executor(facts["endpoint_id"], user_endpoint_config={"max_workers": workers})
        except BaseException:
            self.stop()
            raise

    def wait(self, ready: Path) -> Any:
        """What it says once everything runs."""
        patience = time.monotonic() + PATIENCE_S
        while time.monotonic() < patience:
            if self.process.poll() is not None:
                raise SystemExit(f"afield up ended with {self.process.returncode}")
            if ready.exists():
                return json.loads(ready.read_text())
            time.sleep(0.002)
        raise SystemExit(f"afield up was not ready after {PATIENCE_S} s")

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """One future."""
        return self.executor.submit(function, argument)

    def submit_all(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Sequence[Any]:
        """The same call as for one: what waits goes out together by itself."""
        submit = self.executor.submit
        return [submit(function, argument) for argument in arguments]

    def stop(self) -> None:
        """Ctrl-C, and everything is gone."""
        try:
            if hasattr(self, "executor"):
                self.executor.shutdown()
        finally:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)
            shutil.rmtree(self.directory, ignore_errors=True)

    def version(self) -> str:
        """Afield's."""
        return f"afield {version('afield')}"


if __name__ == "__main__":
    main(Afield())
