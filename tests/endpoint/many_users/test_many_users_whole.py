"""A service, a manager that is root, and people who are different accounts of one machine, all as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e.conftest import Up

PATIENCE_S = 60

CLIENTS = """
import sys
from afield import Client
client = Client()
for name in sys.argv[1:]:
    made = client.session().call(lambda service: service.ask("POST", "/afield/v1/clients", dict, {"name": name}))
    print(made["client"]["id"], made["secret"])
"""

RUN = """
import json, sys
from afield import Executor
def look():
    import os, pathlib
    made = pathlib.Path("made")
    made.write_text("x")
    mode = oct(made.stat().st_mode & 0o777)
    return [os.getuid(), sorted(os.getgroups()), os.umask(0o77), mode, os.path.expanduser("~")]
with Executor(sys.argv[1], user_endpoint_config={"max_workers": 1}) as ex:
    try:
        print(json.dumps(ex.submit(look).result(60)))
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def up(tmp_path, python):
    running = Up(tmp_path, tmp_path / "data").start()
    yield running
    assert running.interrupt() == 0, "".join(running.lines)


@pytest.fixture
def cluster(up, python, ada, bob, many):
    """Starts the machine's endpoint, as its administrator would; gives its id."""
    directory = up.user_dir / "endpoints" / "cluster"
    up.run(python, "-m", "afield.endpoint.cli", "configure", "cluster")
    directory.joinpath("config.yaml").write_text(
        f"email: help@example.org\nidentity_mapping_config_path: mapping.json\nservice_url: {up.ready['service_url']}\n"
        "audit_log_path: audit.log\n"
    )

    def start(mappings):
        documents = [{"DATA_TYPE": "expression_identity_mapping#1.0.0", "mappings": mappings}]
        directory.joinpath("mapping.json").write_text(json.dumps(documents))
        process = subprocess.Popen(
            [python, "-m", "afield.endpoint.cli", "start", "cluster"], env=up.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ready"):
                return json.loads(directory.joinpath("endpoint.json").read_text())["endpoint_id"]
        pytest.fail("".join(lines))

    started = []
    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said


@pytest.mark.e2e
def test_each_person_is_their_own_account(up, cluster, ada, bob):
    people = [line.split() for line in up.script(CLIENTS, "ada", "bob", "eve").splitlines()]
    mappings = [
        {"source": "{id}", "match": client_id, "output": account.pw_name}
        for (client_id, _), account in zip(people[:2], (ada, bob), strict=True)
    ]
    endpoint_id = cluster(mappings)
    script = up.user_dir / "look.py"
    script.write_text(RUN)

    def run(person):
        login = {"AFIELD_SERVICE_URL": up.ready["service_url"], "AFIELD_CLIENT_ID": person[0],
                 "AFIELD_CLIENT_SECRET": person[1]}  # fmt: skip
        return up.run("python", str(script), endpoint_id, **login).stdout

    with ThreadPoolExecutor() as pool:
        first, second, third = pool.map(run, people)
    for said, account in ((first, ada), (second, bob)):
        groups = sorted(os.getgrouplist(account.pw_name, account.pw_gid))
        assert json.loads(said) == [account.pw_uid, groups, 0o077, "0o600", account.pw_dir], said
    assert "no account on this machine belongs to" in third
    assert "ask help@example.org for one" in third
    assert "422" in third or "failed validation" in third
    logs = up.user_dir / "endpoints" / "cluster"
    assert (logs / "audit.log").stat().st_mode & 0o777 == 0o600
    steps = {uid: [] for uid in (ada.pw_uid, bob.pw_uid)}
    for line in "".join((logs / f"audit.uid-{uid}.log").read_text() for uid in steps).splitlines():
        words = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)
        steps[int(words["uid"])].append((line.split()[5], words.get("tid"), words.get("outcome")))
    for seen in steps.values():
        task_id = seen[1][1]
        states = ("RECEIVED", "EXEC_START", "RUNNING")
        assert seen[:5] == [("STARTED", None, None), *((state, task_id, None) for state in states),
                            ("EXEC_END", task_id, "ok")]  # fmt: skip
