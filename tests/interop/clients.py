"""Scripts of a user, run with our package and with theirs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.interop.port import PATIENCE_S, PYTHON, URL, clean_environment

__all__ = ["Scripts"]

HERE = Path(__file__).parent

#: What each script begins with. ``{sdk}`` is the only word in a script that differs.
_PRELUDE = """\
import json, os, sys, time, warnings
warnings.simplefilter("ignore")  # about versions that differ, and about options that have no effect here
from {sdk} import Client, Executor, MPIFunction, ShellFunction
endpoint = os.environ.get("ENDPOINT")
def said(value):
    print(json.dumps(value), flush=True)
def outcome(future):
    error = future.exception(50)
    return future.result() if error is None else f"{type(error).__name__}: {error}"
"""
_PACKAGES = {"ours": "afield", "theirs": "globus_compute_sdk"}


class Scripts:
    """The user's side with one of the packages. All that says which service, and as whom, is the environment.

    :param whose: ``ours`` or ``theirs``
    :param place: a directory of its own
    :param credentials: the client's id and secret as which the scripts act
    """

    def __init__(self, whose: str, place: Path, credentials: tuple[str, str]) -> None:
        self.whose, self.place = whose, place
        place.mkdir(parents=True, exist_ok=True)
        self._python = sys.executable if whose == "ours" else PYTHON
        self._credentials = credentials
        self._number = 0
        self._forks: subprocess.Popen[bytes] | None = None

    def run(self, script: str, *arguments: str, **environment: str) -> list[Any]:
        """Run a script to its end in a process of its own; what it ``said``.

        :raises AssertionError: it failed, or does not end
        """
        path, out, err = self._write(script)
        request = {"script": str(path), "arguments": arguments, "environment": environment, "out": str(out),
                   "err": str(err)}  # fmt: skip
        forks = self._running()
        assert forks.stdin is not None
        forks.stdin.write(json.dumps(request).encode() + b"\n")
        forks.stdin.flush()
        child = self._answer()["pid"]
        try:
            status = self._answer()["status"]
        except TimeoutError:
            os.kill(child, signal.SIGABRT)
            self._answer()
            raise AssertionError(f"it did not end; it said {out.read_text()}, and\n{err.read_text()}") from None
        assert status == 0, err.read_text() + out.read_text()
        return [json.loads(line) for line in out.read_text().splitlines()]

    @contextmanager
    def beside(self, script: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Run a script that one talks with by lines, as ``python script`` would."""
        path, _, err = self._write(script)
        with err.open("w") as log, subprocess.Popen(
            [self._python, str(path), *arguments], env=self.environment() | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the package's, by the interpreter's folder."""
        found = str(Path(self._python).parent / arguments[0])
        # Theirs cuts tables to the width of the terminal.
        return subprocess.run([found, *arguments[1:]], env=self.environment() | {"COLUMNS": "300"}, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S)  # fmt: skip

    def environment(self) -> dict[str, str]:
        """All that a script is told."""
        client_id, secret = self._credentials
        if self.whose == "ours":
            return clean_environment(
                AFIELD_USER_DIR=str(self.place / "user"),
                AFIELD_SERVICE_URL=URL,
                AFIELD_CLIENT_ID=client_id,
                AFIELD_CLIENT_SECRET=secret,
            )
        return clean_environment(
            GLOBUS_COMPUTE_USER_DIR=str(self.place / "user"),
            GLOBUS_SDK_ENVIRONMENT="local",
            GLOBUS_SDK_SERVICE_URL_AUTH=f"{URL}/",
            GLOBUS_COMPUTE_CLIENT_ID=client_id,
            GLOBUS_COMPUTE_CLIENT_SECRET=secret,
        )

    def close(self) -> None:
        """Have nothing left running."""
        if self._forks is not None:
            with suppress(BrokenPipeError):
                self._forks.communicate(timeout=PATIENCE_S)

    def _write(self, script: str) -> tuple[Path, Path, Path]:
        self._number += 1
        path = self.place / f"script_{self._number}.py"
        path.write_text((_PRELUDE + textwrap.dedent(script)).replace("{sdk}", _PACKAGES[self.whose]))
        return path, path.with_suffix(".out"), path.with_suffix(".err")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._forks is None:
            with (self.place / "forks.err").open("w") as log:
                self._forks = subprocess.Popen(
                    [self._python, str(HERE / "forked_scripts.py"), _PACKAGES[self.whose]], env=self.environment(),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0,
                )  # fmt: skip
        return self._forks

    def _answer(self) -> dict[str, int]:
        assert self._forks is not None
        assert self._forks.stdout is not None
        if not select.select([self._forks.stdout], [], [], PATIENCE_S)[0]:
            raise TimeoutError
        line = self._forks.stdout.readline()
        assert line, (self.place / "forks.err").read_text()
        found: dict[str, int] = json.loads(line)
        return found
