"""A pickle is a program. Real processes write down here which of them run one: a task's worker and its submitter do,
the service, the manager and the agent never.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Up
from .test_published_scripts import token

pytestmark = pytest.mark.e2e

#: Every Python of this test begins with it.
HOOK = """
import os, sys

def note(event, args):
    if event == "pickle.find_class":
        what = "unpickled " + ".".join(args[:2])
    elif event == "import" and args[0].partition(".")[0] in ("dill", "cloudpickle"):
        what = "imported " + args[0]
    elif event == "began":
        what = event
    else:
        return
    with open(os.environ["NOTES"], "a") as file:
        file.write(repr((what, sys.orig_argv[1:])) + "\\n")

sys.addaudithook(note)
sys.audit("began")
"""

#: Whoever unpickles one of its bombs writes down who that is. Packed as the published SDK does (strategies 01 and 00);
#: once by way of our envelope, once by way of the published one, whose result is left where it is kept.
SCRIPT = """
import json, os, sys, urllib.request
from afield import Executor
from afield.serialize import ComputeSerializer

bombs, service, endpoint = sys.argv[1:]

class Bomb:
    def __reduce__(self):
        return eval, ("open(%r, 'a').write(repr(__import__('sys').orig_argv[1:]) + chr(10))" % bombs,)

def returns(bomb):
    return Bomb()

def raises(bomb):
    raise ValueError(Bomb())

with Executor() as ex:
    ex.submit(returns, Bomb()).result(60)
    assert isinstance(ex.submit(raises, Bomb()).exception(60), ValueError)

def ask(path, **body):
    headers = {"Authorization": "Bearer " + os.environ["COMPUTE_TOKEN"], "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(service + path, data, headers)) as answer:
        return json.load(answer)

serializer = ComputeSerializer()
for function in (returns, raises):
    code = serializer.pack_buffers([serializer.serialize(function)])
    made = ask("/v3/functions", function_name="f", function_code=code, serialized=True)["function_uuid"]
    packed = serializer.pack_buffers([serializer.serialize((Bomb(),)), serializer.serialize({})])
    accepted = ask(f"/v3/endpoints/{endpoint}/submit", tasks={made: [packed]}, create_queue=True)
    [task_id] = accepted["tasks"][made]
    while (ended := ask("/v2/tasks/" + task_id))["status"] not in ("success", "failed"):
        pass
    print(ended["status"])
"""


class Watched(Up):
    """Every process of it, and of its scripts, writes down what it unpickles."""

    @property
    def notes(self) -> Path:
        return self.user_dir / "notes"

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"PYTHONPATH": str(self.user_dir / "hook"), "NOTES": str(self.notes)}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    running = Watched(tmp_path, tmp_path / "data").start()
    yield running
    assert running.interrupt() == 0


def test_only_the_worker_and_the_submitter_do(watched, tmp_path):
    ready, bombs = watched.ready, tmp_path / "bombs"
    arguments = (str(bombs), ready["service_url"], ready["endpoint_id"])
    assert watched.script(SCRIPT, *arguments, COMPUTE_TOKEN=token(watched)) == "success\nfailed\n"
    notes = [ast.literal_eval(line) for line in watched.notes.read_text().splitlines()]
    who = {what: {program(arguments) for said, arguments in notes if said == what} for what, _ in notes}
    # Those whom this is about were looked at; and what is looked for is seen where it happens.
    began = who.pop("began")
    assert began == {"service and manager", "agent", "worker", "submitter"}
    assert who["unpickled builtins.eval"] == {"worker", "submitter"}
    assert set().union(*who.values()) == {"worker", "submitter"}
    assert {program(ast.literal_eval(line)) for line in bombs.read_text().splitlines()} == {"worker", "submitter"}


def program(arguments: list[str]) -> str:
    """Which part of all this a process is."""
    if arguments[0].endswith("script.py"):
        return "submitter"
    module = arguments[arguments.index("-m") + 1]
    return {"afield": "service and manager", "afield.endpoint.agent": "agent", "afield.worker": "worker"}[module]
