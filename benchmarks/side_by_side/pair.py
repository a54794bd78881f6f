"""A client and an endpoint of one package: what is the same for both. Needs nothing but the standard library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.protocol import Adapter

__all__ = ["Pair"]

#: A start or an end that takes longer is a failure.
PATIENCE_S = 60


class Pair(Adapter):
    """Starts the endpoint, and loads the client while it comes up."""

    executor: Any

    def connect(self, endpoint_id: str, workers: int) -> Any:
        """An executor of this package."""
        raise NotImplementedError

    def load(self) -> None:
        """Import what the client needs."""
        raise NotImplementedError

    def start(self, workers: int) -> None:
        """Both at once; the first call waits until the endpoint can take it."""
        identity = Path(os.environ["BENCH_ENDPOINT_FILE"])
        command = json.loads(os.environ["BENCH_ENDPOINT_COMMAND"])
        # In a group of its own: theirs ends the whole of the one that it is in.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
        try:
            self.load()
            self.executor = self.connect(self.registered(identity), workers)
        except BaseException:
            self.stop()
            raise

    def registered(self, identity: Path) -> str:
        """Its id. The first time, once it has registered itself."""
        patience = time.monotonic() + PATIENCE_S
        while time.monotonic() < patience:
            if self.process.poll() is not None:
                raise SystemExit(f"the endpoint ended with {self.process.returncode}")
            try:
                return str(json.loads(identity.read_text())["endpoint_id"])
            except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half of it
                time.sleep(0.01)
        raise SystemExit(f"the endpoint did not register itself within {PATIENCE_S} s")

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """One future."""
        return self.executor.submit(function, argument)

    def stop(self) -> None:
        """Ctrl-C, and everything is gone."""
        try:
            if hasattr(self, "executor"):
                self.executor.shutdown()
        finally:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)
