"""The published packages, unmodified, pointed at a service by what `afield env` prints and nothing else."""

from __future__ import annotations

import json
import re
import urllib.request
from types import SimpleNamespace

import pytest
from tests.interop.port import PATIENCE_S
from tests.login.conftest import Browser, Site
from tests.published.conftest import Machine, blocks

#: Another test may have the port for long.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def local(the_port, tmp_path_factory):
    """`afield up` on the port that published packages know, on the machine of whoever started it."""
    machine = Machine(tmp_path_factory.mktemp("local"))
    running = machine.start("up", "--port", str(the_port), "--amqp-port", "0")
    [known] = (machine.home / "afield" / "services").glob("*.json")
    known = json.loads(known.read_text())
    yield SimpleNamespace(machine=machine, url=known["service_url"], **{n: known[n] for n in ("token", "endpoint_id")})
    assert running.end() == 0


def asked(service, path, body=None, method="GET"):
    headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(service.url + path, body and json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def test_the_page_for_users_of_their_sdk(local):
    page = blocks("user/published-sdk.md")
    machine = Machine(local.machine.home)
    [command], [script] = page["sh"], page["py"]
    machine.evaluate(command.strip())
    with machine.begin(script) as program:
        out, err = program.communicate(timeout=PATIENCE_S)
    assert out == "1024\n", err


def test_the_page_for_those_who_keep_their_endpoint(local):
    me = asked(local, "/afield/v1/whoami")["identity"]
    page = blocks("machine/published-endpoint.md")
    machine = Machine(local.machine.home)
    [command, commands] = page["sh"]
    [template] = page["yaml"]
    (machine.home / "template.yaml").write_text(template)
    machine.evaluate(command.strip())
    assert me["username"] in machine.run("globus-compute-endpoint whoami").stdout
    configure, start = commands.splitlines()
    machine.run(configure)
    with machine.started_endpoint(start) as endpoint_id:
        assert machine.there_and_back(endpoint_id) == ["a/b", me["id"]]


#: The first thing that asks the service has somebody log in.
LOGIN = """
import warnings
warnings.simplefilter("ignore")
from globus_compute_sdk import Client
print("registered", Client().register_function(print), flush=True)
"""


def test_somebody_logs_in_in_the_browser(local, tmp_path):
    asked(local, "/afield/v1/accounts", {"username": "ada", "password": Site.password}, "POST")
    machine = Machine(tmp_path, AFIELD_SERVICE_URL=local.url)
    said = machine.evaluate('eval "$(afield env --interactive)"')
    assert said == {"GLOBUS_SDK_ENVIRONMENT": "local", "GLOBUS_SDK_SERVICE_URL_AUTH": f"{local.url}/"}
    with machine.begin(LOGIN) as program:
        shown = ""
        while not (found := re.search(r"(http\S+)\n", shown)):
            shown += program.stdout.readline()
        browser = Browser(local.url)
        code = Site.pasted(browser, found[1])
        browser.http.close()
        out, err = program.communicate(f"{code}\n", timeout=PATIENCE_S)
    assert "registered" in out, err
    # One login does for their endpoint, too.
    assert "ada" in machine.run("globus-compute-endpoint whoami").stdout
