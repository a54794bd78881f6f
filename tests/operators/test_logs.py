"""Logs hold ids and never payloads or secrets, whatever goes wrong."""

from __future__ import annotations

import io
import json
import logging
import re
import signal

import pytest

from afield.errors import ConfigurationError
from afield.service.operate.logs import Lines, log_to_stderr, new_request_id, request_id, without_secrets

pytestmark = pytest.mark.anyio

CODE = "def f(): return 'codeOfAFunction77'"
PAYLOAD = "25\npayloadOfATask1234567890x2\nkw"
SECRETS = ("codeOfAFunction77", "payloadOfATask", "resultOfATask99", "passwordOfADatabase")


def lines(*records: tuple, kind: str = "json") -> str:
    """What is written when these are logged."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(Lines(kind))
    logger = logging.getLogger("afield.test")
    logger.setLevel("INFO")
    logger.addHandler(handler)
    try:
        for message, *arguments, more in records:
            logger.info(message, *arguments, **more)
    finally:
        logger.removeHandler(handler)
    return written.getvalue()


class TestLines:
    def test_what_a_stranger_chose_begins_no_line_of_its_own(self):
        said = lines(("%s sent a task %s", "e", "x\n2026-01-01 INFO root: all is well\r\x1b[2J\u2028", {}), kind="text")
        assert said.count("\n") == 1
        assert r"x\n2026-01-01 INFO root: all is well\r\x1b[2J\u2028" in said

    def test_an_object_a_line(self):
        [line] = lines(("%d tasks of %s", 3, "x", {"extra": {"task_id": "a-b", "odd": {1, 2}.__class__}})).splitlines()
        said = json.loads(line)
        assert said["message"] == "3 tasks of x"
        assert said["level"] == "info"
        assert said["logger"] == "afield.test"
        assert said["task_id"] == "a-b"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
        assert "request_id" not in said

    def test_the_request_under_way_is_named(self):
        token = request_id.set(name := new_request_id())
        try:
            assert json.loads(lines(("x", {})))["request_id"] == name
            assert f" request_id={name}" in lines(("x", {}), kind="text")
        finally:
            request_id.reset(token)

    @pytest.mark.parametrize("kind", ["json", "text"])
    def test_what_was_raised_is_told(self, kind):
        try:
            raise ValueError("broken\nin two")
        except ValueError as error:
            written = lines(("it failed", {"exc_info": error}), kind=kind)
        assert "ValueError: broken" in written
        assert len(written.splitlines()) == 1 or kind == "text"

    def test_text_that_would_break_a_line(self):
        """One that came from outside cannot pretend to be another line."""
        [line] = lines(("%s", 'a\n{"level":"critical"}\x1b[31m', {})).splitlines()
        assert json.loads(line)["level"] == "info"

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("at postgresql://ada:pa%2Fss@db/x now", "at postgresql://ada:***@db/x now"),
            ("amqp://a:b@h:5672/ and amqps://c:d@i/", "amqp://a:***@h:5672/ and amqps://c:***@i/"),
            ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
            ("b'authorization', b'Basic YTpiYWJh='", "b'authorization', b'Basic ***'"),
            ("http://host:5000/path user@example.org", "http://host:5000/path user@example.org"),
        ],
    )
    def test_secrets_that_others_quote_are_taken_out(self, text, shown):
        assert without_secrets(text) == shown
        assert json.loads(lines((text.replace("%", "%%"), {})))["message"] == shown.replace("%", "%%")

    @pytest.mark.parametrize("said", [("loud", "text"), ("info", "xml")])
    def test_what_there_is_not(self, said):
        with pytest.raises(ConfigurationError, match="is not one of"):
            log_to_stderr(*said)


@pytest.mark.e2e
async def test_a_whole_run_at_its_most_talkative(start, lab_of, tmp_path):
    """Good requests and bad ones, results, a kill and a start: no payload, no code, no token, no password."""
    here = ["--log-level", "debug", "--log-format", "json"]
    one = start("--port", 0, "--amqp-port", 0, *here)
    secrets = {*SECRETS, one.token}
    async with one.client() as http:
        lab = lab_of(http)
        await lab.register(CODE)
        await lab.core()
        task_ids = await lab.submit(3, PAYLOAD)
        await lab.run(3, b"00\nresultOfATask99\n")
        await lab.done(task_ids[-1])
        secrets |= passwords(lab.registered)
        secrets |= {lab.credentials.task_queue_info.connection_url.split(":")[2].split("@")[0]}
        wrong = [
            await http.post("/v3/functions", content=f'{{"function_code": "{SECRETS[0]}"'),
            await http.post(f"/v3/endpoints/{lab.endpoint_id}/submit", json={"tasks": {SECRETS[1]: [SECRETS[1]]}}),
            await http.get(f"/v2/tasks/{SECRETS[2]}", headers={"Authorization": f"Bearer {SECRETS[3]}"}),
            await http.get("/afield/v1/invitations/codeOfAFunction77"),
        ]
        assert {answer.status_code for answer in wrong} <= {400, 401, 404, 422}
        await lab.close()
        named = wrong[0].headers["x-request-id"]
    assert one.end(signal.SIGTERM) == 0
    again = start("--port", 0, "--amqp-port", 0, *here)
    assert again.end(signal.SIGTERM) == 0
    logged = one.log.read_text()
    assert [secret for secret in secrets if secret in logged] == []
    said = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    submits = [one for one in said if one.get("route") == "/v3/endpoints/{endpoint_id}/submit"]
    assert {one["status"] for one in submits} == {200, wrong[1].status_code}
    assert all(one["request_id"] and one["identity_id"] for one in submits)
    assert [one["status"] for one in said if one.get("request_id") == named and "status" in one] == [400]


def passwords(registered: dict) -> set[str]:
    urls = re.findall(r"amqp://[^:]+:([^@]+)@", json.dumps(registered))
    assert urls
    return set(urls)


@pytest.mark.e2e
async def test_a_database_that_cannot_be_reached(command):
    """The command line held its password; the message does not."""
    done = command("serve", "--database", "postgresql://ada:passwordOfADatabase@127.0.0.1:1/x", check=False)
    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert "passwordOfADatabase" not in done.stderr + done.stdout
