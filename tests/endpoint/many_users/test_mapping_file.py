"""The mapping file as it changes, and the programs that it names."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import time
from contextlib import suppress

import psutil
import pytest

from afield.endpoint.manager.mapping import IdentityMapper
from afield.errors import ConfigurationError

pytestmark = pytest.mark.anyio

ADA = {"id": "a1", "username": "ada@example.org", "status": "used"}
BOB = {"id": "b2", "username": "bob@example.org", "status": "used"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mapping.json"


def rule(match, output="{0}"):
    mapping = {"source": "{username}", "match": match, "output": output}
    return {"DATA_TYPE": "expression_identity_mapping#1.0.0", "mappings": [mapping]}


def program(tmp_path, text, name="map"):
    """A mapping document with a Python program."""
    path = tmp_path / name
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{text}\n")
    path.chmod(0o755)
    return {"DATA_TYPE": "external_identity_mapping#1.0.0", "command": [str(path), "--flag"]}


def put(file, *documents):
    part = file.with_suffix(".new")
    part.write_text(json.dumps(documents))
    part.replace(file)


async def account(mapper, *identities):
    match = await mapper.match(identities or (ADA,))
    return match and match.account


async def test_a_change_holds_at_once_and_a_broken_one_never(file, caplog):
    put(file, rule(r"(.*)@example\.org"))
    mapper = IdentityMapper(file, "e")
    assert await account(mapper) == "ada"
    put(file, rule(r"(.*)@example\.org", "team"))
    assert await account(mapper) == "team"
    file.write_text("[{")
    assert await account(mapper) == "team"
    assert await account(mapper) == "team"
    assert caplog.text.count("the identity mapping stays as it was") == 1, "told once, not at each command"
    file.unlink()
    assert await account(mapper) == "team"
    put(file, rule("nobody", "x"))
    assert await account(mapper) is None


async def test_a_file_that_cannot_be_used_is_told_at_the_start(file):
    with pytest.raises(ConfigurationError, match=r"mapping\.json, the identity mapping, cannot be read"):
        IdentityMapper(file, "e")
    file.write_text("{}")
    with pytest.raises(ConfigurationError, match="a list of mapping documents"):
        IdentityMapper(file, "e")


async def test_a_file_that_others_may_write_is_not_believed(file, caplog):
    put(file, rule(r"(.*)@example\.org"))
    mapper = IdentityMapper(file, "e")
    put(file, rule(r"(.*)@example\.org", "evil"))
    file.chmod(0o666)
    assert await account(mapper) == "ada"
    assert "can be changed by others than root" in caplog.text
    with pytest.raises(ConfigurationError, match="can be changed by others"):
        IdentityMapper(file, "e")
    file.chmod(0o600)
    file.parent.chmod(stat.S_IMODE(file.parent.stat().st_mode) | 0o020)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        IdentityMapper(file, "e")


async def test_documents_are_asked_in_their_order(file, tmp_path):
    says_nobody = program(tmp_path, "pass", "nobody")
    put(file, says_nobody, rule(r"(ada)@.*"), rule(r"(.*)@.*", "guest"))
    mapper = IdentityMapper(file, "e")
    assert await account(mapper, BOB, ADA) == "ada"
    assert await account(mapper, BOB) == "guest"
    match = await mapper.match([BOB, ADA])
    assert match.candidates == ([], [{"a1": ["ada"]}])
    assert match.identity == "a1"


async def test_a_program_hears_the_identities_and_nothing_of_ours(file, tmp_path, monkeypatch):
    monkeypatch.setenv("AFIELD_TOKEN", "secret")
    said = tmp_path / "said"
    put(
        file,
        program(
            tmp_path,
            f"""
asked = json.load(sys.stdin)
json.dump([sys.argv[1:], asked, dict(os.environ), os.getcwd()], open({str(said)!r}, "w"))
one = asked["identities"][-1]
print(json.dumps({{"DATA_TYPE": "identity_mapping_output#1.0.0", "result": [
    {{"id": one["id"], "output": one["username"].split("@")[0]}}]}}))""",
        ),
    )
    assert await account(IdentityMapper(file, "the-endpoint"), ADA, BOB) == "bob"
    arguments, asked, environment, directory = json.loads(said.read_text())
    assert arguments == ["--flag", "-c", "145812c8-decc-41f1-83cf-bb2a85a2a70b", "-s", "the-endpoint", "-a"]
    assert asked == {"DATA_TYPE": "identity_mapping_input#1.0.0", "identities": [ADA, BOB]}
    assert "AFIELD_TOKEN" not in environment
    assert directory == "/"


async def test_a_crowd_of_commands_is_no_crowd_of_programs(file, tmp_path):
    text = f"""
import time
places = {str(tmp_path)!r} + "/in." + str(os.getpid())
open(places, "w").close()
time.sleep(0.2)
here = len([name for name in os.listdir({str(tmp_path)!r}) if name.startswith("in.")])
open({str(tmp_path)!r} + "/seen." + str(os.getpid()), "w").write(str(here))
os.unlink(places)"""
    put(file, program(tmp_path, text))
    mapper = IdentityMapper(file, "e")
    assert await asyncio.gather(*(account(mapper) for _ in range(20))) == [None] * 20
    seen = [int(path.read_text()) for path in tmp_path.glob("seen.*")]
    assert len(seen) == 20
    assert max(seen) <= 8


async def test_a_program_that_others_may_write_is_not_run(file, tmp_path):
    ran = tmp_path / "ran"
    rules = program(tmp_path, f"open({str(ran)!r}, 'w')")
    put(file, rules)
    mapper = IdentityMapper(file, "e")
    (tmp_path / "map").chmod(0o777)
    with pytest.raises(ConfigurationError, match=r"map can be changed by others than root"):
        await account(mapper)
    put(file, {**rules, "command": [sys.executable, rules["command"][0]]})
    with pytest.raises(ConfigurationError, match=r"map can be changed by others than root"):
        await account(mapper)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sys.exit(3)", "it ended with exit status 3"),
        ("print('ada')", "something that is not JSON"),
        ("print('x' * 2_000_000)", "it answered more than"),
        ("""print('{"result": [{"id": "c3", "output": "root"}]}')""", "an identity that it was not asked about"),
    ],
)
async def test_a_program_that_fails_maps_nobody_and_nothing_after_it_does(file, tmp_path, text, told):
    put(file, program(tmp_path, text), rule(r"(.*)@.*", "somebody-else"))
    with pytest.raises(ConfigurationError, match="says whose account is whose here, failed") as caught:
        await account(IdentityMapper(file, "e"))
    assert told in str(caught.value)


async def test_a_program_that_is_not_there_is_told(file):
    put(file, {"DATA_TYPE": "external_identity_mapping#1.0.0", "command": ["/nowhere/map"]})
    with pytest.raises(ConfigurationError, match="No such file"):
        await account(IdentityMapper(file, "e"))


async def test_a_program_that_does_not_answer_is_ended_with_what_it_started(file, tmp_path, monkeypatch):
    monkeypatch.setattr("afield.endpoint.manager.mapping._PROGRAM_S", 0.3)
    pid = tmp_path / "pid"
    put(
        file,
        program(
            tmp_path,
            f"""
import subprocess
child = subprocess.Popen(["sleep", "600"])
open({str(pid)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
child.wait()""",
        ),
    )
    with pytest.raises(ConfigurationError, match="did not answer within"):
        await account(IdentityMapper(file, "e"))
    if pid.exists():  # else it had not come so far
        for one in map(int, pid.read_text().split()):
            until_dead(one)


def until_dead(pid):
    """A signal that was sent is on its way."""
    deadline = time.monotonic() + 20
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            os.sched_yield()
