"""Somebody logs in, lends a machine and uses it, without a token in any environment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

SCRIPT = "from afield import Executor\nwith Executor() as ex: print(ex.submit(pow, 2, 10).result())"


@pytest.mark.parametrize("by", ["a login", "a client"])
def test_an_endpoint_and_its_user(site, machine, by):
    laptop = machine("laptop")
    laptop.log_in()
    expected = site.ada.id
    if by == "a client":
        made = json.loads(laptop.run("client", "create", "beamline", "--json"))
        laptop = machine("beamline")
        expected = made["client"]["id"]
        laptop.run("login", "--client-id", expected, "--client-secret", "-", typed=made["secret"] + "\n")
    laptop.run("endpoint", "configure", "mine")
    endpoint = subprocess.Popen(
        [sys.executable, "-m", "afield", "endpoint", "start", "mine"], env=laptop.environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert any(line.startswith("Ready") for line in endpoint.stdout), endpoint.communicate()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=laptop.environ, capture_output=True, text=True, timeout=60
        )
        assert done.stdout == "1024\n", done.stderr
    finally:
        endpoint.send_signal(signal.SIGINT)
        endpoint.communicate(timeout=60)
    assert endpoint.returncode == 0
    [found] = site.call(site.store.endpoints(expected))
    assert found.name == "mine"


def test_a_login_that_has_ended_is_told_when_an_endpoint_starts(site, machine):
    laptop = machine("laptop")
    laptop.log_in()
    laptop.run("endpoint", "configure", "mine")
    site.call(site.store.people.delete_tokens(identity_id=site.ada.id))
    site.clock.advance(10)
    said = laptop.run("endpoint", "start", "mine", code=77)
    assert "has expired or was revoked" in said
    assert f"afield login --service {site.url}" in said
    assert "Traceback" not in said
