"""Other versions of the published SDK, on other Pythons, against this service and an endpoint of ours.

AFIELD_TEST_PUBLISHED_PYTHONS names their interpreters, as PATH names folders. What held when they were tried is in
docs/reference/published-versions.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.interop.deployments import Deployment
from tests.interop.port import PATIENCE_S

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PYTHONS = [one for one in os.environ.get("AFIELD_TEST_PUBLISHED_PYTHONS", "").split(os.pathsep) if one]

WORKERS = "{}.{}".format(*sys.version_info)

#: It is read by Python 3.8 and later, and by SDKs from 2.0.0 on, whose calls have had other forms.
SCRIPT = """
import inspect, json, os, sys, warnings
warnings.simplefilter("ignore")  # about what is deprecated, and versions of dill that differ
from globus_compute_sdk import Client, Executor, __version__
from globus_compute_sdk.errors import TaskPending

endpoint = os.environ["ENDPOINT"]
version = tuple(int(part) for part in __version__.split(".")[:2])
options = {}
if os.environ["WORKERS"] != "%d.%d" % sys.version_info[:2] and version >= (2, 4):
    from globus_compute_sdk.serialize import DillCodeSource  # the first SDKs send source anyway
    options["code_serialization_strategy"] = DillCodeSource()

def double(x):
    return 2 * x

def refuse(x):
    raise ValueError("not %s" % x)

def minor():
    import sys
    return "%d.%d" % sys.version_info[:2]

def executor(client):
    takes = inspect.signature(Executor.__init__).parameters
    return Executor(endpoint_id=endpoint, **{"client" if "client" in takes else "funcx_client": client})

def run(calls):
    batch = client.create_batch()
    flat = "endpoint_id" in inspect.signature(batch.add).parameters
    for function_id, x in calls:
        batch.add(function_id, *([endpoint] if flat else []), (x,))
    if flat:
        return client.batch_run(batch)
    return [task_id for ids in client.batch_run(endpoint, batch)["tasks"].values() for task_id in ids]

def result(task_id):
    while True:
        try:
            return client.get_result(task_id)
        except TaskPending:
            pass
        except Exception as error:
            return type(error).__name__ + ": " + str(error)

client = Client(**options)
client.version_check()
said = {"version": __version__, "status": client.get_endpoint_status(endpoint)["status"]}
doubling, refusing = client.register_function(double), client.register_function(refuse)
said["results"] = [result(one) for one in run([(doubling, 1), (doubling, 2), (refusing, 3)])]
first = executor(client)
said["workers"] = first.submit(minor).result(50)
said["error"] = str(first.submit(refuse, 4).exception(50))
said["many"] = [one.result(50) for one in [first.submit(double, x) for x in range(200)]]
said["large"] = len(first.submit(double, "a" * 1000000).result(50))
group = first.task_group_id
first.shutdown()
if version != (2, 3):  # which compares what it is told, a text, with an object
    later = executor(client)
    later.task_group_id = group
    said["again"] = sorted(one.exception(50) is None for one in later.reload_tasks())
    later.shutdown()
if version >= (2, 25):
    from globus_compute_sdk import ShellFunction
    shell = executor(Client())  # a command goes by name: as source, its class would go instead
    answer = shell.submit(ShellFunction("echo hello {who}; exit 3"), who="you").result(50)
    said["shell"] = [answer.returncode, answer.stdout.strip()]
    shell.shutdown()
print(json.dumps(said))
"""


@pytest.fixture(scope="module", params=PYTHONS or [None], ids=lambda one: one and Path(one).parent.parent.name)
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter with a published SDK."""
    if request.param is None:
        pytest.skip("AFIELD_TEST_PUBLISHED_PYTHONS names no interpreters with globus-compute-sdk")
    return str(request.param)


@pytest.fixture
def surroundings(deployment: Deployment, tmp_path: Path) -> dict[str, str]:
    """What the script is told."""
    here = {"HOME": str(tmp_path), "GLOBUS_COMPUTE_USER_DIR": str(tmp_path / "user"), "WORKERS": WORKERS}
    env = deployment.scripts("theirs").environment() | here | {"ENDPOINT": deployment.endpoint("ours").id}
    # The first SDKs know only these names.
    env["FUNCX_SDK_ENVIRONMENT"] = "local"
    env |= {f"FUNCX_SDK_CLIENT_{one}": env[f"GLOBUS_COMPUTE_CLIENT_{one}"] for one in ("ID", "SECRET")}
    return env


# What differs between versions are the requests and the form of results: with what they are kept plays no part.
@pytest.mark.parametrize("deployment", ["embedded"], indirect=True)
def test_another_version(python, surroundings, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [python, str(script)], env=surroundings, text=True, capture_output=True, timeout=2 * PATIENCE_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["status"] == "online"
    *doubled, refused = said["results"]
    assert sorted(doubled) == [2, 4]
    assert "ValueError: not 3" in refused
    assert said["workers"] == WORKERS
    assert "ValueError: not 4" in said["error"]
    assert said["many"] == [2 * x for x in range(200)]
    assert said["large"] == 2_000_000
    assert said.get("shell", [3, "hello you"]) == [3, "hello you"]
    if "again" in said:
        assert said["again"].count(False) == 1
        assert len(said["again"]) >= 203
