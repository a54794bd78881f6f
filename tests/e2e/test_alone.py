"""Service and endpoint each on their own, as on two machines: only addresses and a token in common."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e


def test_serve_and_an_endpoint_elsewhere(tmp_path, fresh_environment):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    environment = fresh_environment | {"AFIELD_USER_DIR": str(here)}
    service = subprocess.Popen(
        [sys.executable, "-m", "afield", "serve", "--port", "0", "--amqp-port", "0", "--ready-file",
         str(tmp_path / "ready.json")],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    endpoint = None
    try:
        assert service.stdout is not None
        said = next(line for line in service.stdout if line.startswith("Ready"))
        ready = json.loads((tmp_path / "ready.json").read_text())
        assert ready["service_url"] in said
        [known] = (here / "services").glob("*.json")
        assert known.stat().st_mode & 0o777 == 0o600
        token = json.loads(known.read_text())["token"]

        elsewhere = fresh_environment | {
            "AFIELD_USER_DIR": str(there), "AFIELD_SERVICE_URL": ready["service_url"], "AFIELD_TOKEN": token,
        }  # fmt: skip

        def afield(*words: str) -> str:
            return subprocess.run([sys.executable, "-m", "afield", *words], env=elsewhere, check=True,
                                  capture_output=True, text=True, timeout=60).stdout  # fmt: skip

        afield("endpoint", "configure", "mine")
        endpoint = subprocess.Popen([sys.executable, "-m", "afield", "endpoint", "start", "mine"], env=elsewhere,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert endpoint.stdout is not None
        next(line for line in endpoint.stdout if line.startswith("Ready"))
        script = "from afield import Executor\nwith Executor() as ex: print(ex.submit(pow, 2, 10).result())"
        done = subprocess.run([sys.executable, "-c", script], env=elsewhere, check=True, capture_output=True, text=True,
                              timeout=60)  # fmt: skip
        assert done.stdout == "1024\n"
    finally:
        for process in filter(None, (endpoint, service)):
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert (endpoint.returncode, service.returncode) == (0, 0)
    assert not list((here / "services").glob("*.json"))
