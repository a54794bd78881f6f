"""The commands as people type them: real processes, against a real service."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
import typer.testing

from afield.cli.main import build
from afield.cli.options import columns
from afield.sdk.login import known
from afield.sdk.login.known import KnownService
from afield.service.settings import SignIn

pytestmark = pytest.mark.e2e

#: A browser that logs in as ada: what $BROWSER names is given an address.
BROWSER = """
import re, sys, httpx2
from html.parser import HTMLParser

class Form(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)
    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        if tag == "form":
            self.action = self.action or said["action"]
        elif tag == "input" and "name" in said:
            self.fields[said["name"]] = said.get("value", "")

site = re.match("https?://[^/]+", sys.argv[1])[0]
http = httpx2.Client(base_url=site, trust_env=False, verify=False, follow_redirects=True)
page = http.get(sys.argv[1])
while "<form" in page.text:
    form = Form(page.text)
    more = {"decision": "allow"}
    if "password" in form.fields:
        more = {"username": "ada", "password": "four words are plenty"}
    page = http.post(form.action, data=form.fields | more)
"""


@pytest.fixture
def sign_in():
    # A device asks once a second, as long as somebody is waiting for it here.
    return SignIn(device_interval_s=1.0, password_memory_kib=64, password_rounds=1)


@pytest.fixture
def ada(machine):
    return machine("laptop")


def publish(site, machine):
    """As if the service had been started by the user of this machine."""
    service = KnownService(service_url=site.url, token=site.running.token, pid=os.getpid(), started_at=time.time())
    known.publish(service, machine.home)


def test_from_logging_in_to_logging_out(site, ada):
    assert f"run `afield login --service {site.url}`" in ada.run("whoami", code=1)
    assert ada.log_in() == f"Logged in at {site.url} as ada (Ada).\n"
    assert "logged in at" in ada.run("login")
    shown = ada.run("whoami")
    for each in ("ada", "Ada", site.ada.id, site.url, "afield login", "then renewed"):
        assert each in shown
    said = json.loads(ada.run("whoami", "--json"))
    assert said["identity"]["username"] == "ada"
    assert (said["service"], said["source"], said["is_admin"]) == (site.url, "afield login", False)

    token = ada.run("token", "create", "nightly run").strip()
    elsewhere = ada.run("whoami", "--json", AFIELD_USER_DIR=f"{ada.home}-2", AFIELD_TOKEN=token)
    assert json.loads(elsewhere)["source"] == "AFIELD_TOKEN"
    listed = ada.run("token", "list")
    assert token not in listed
    rows = [line.split() for line in listed.splitlines()]
    assert rows[0] == ["ID", "KIND", "SINCE", "UNTIL", "LABEL"]
    assert [row[1] for row in rows[1:]] == ["login", "personal"]
    assert ada.run("token", "revoke", rows[2][0]) == f"Revoked {rows[2][0]}.\n"
    refused = ada.run("whoami", code=1, AFIELD_TOKEN=token)
    assert "does not take your token" in refused
    assert "`unset AFIELD_TOKEN`" in refused  # as long as it is set, a login changes nothing
    assert "Traceback" not in refused
    assert "You have no token" in ada.run("token", "revoke", rows[2][0], code=1)

    assert ada.run("logout") == f"Logged out at {site.url}.\n"
    assert site.tokens(site.ada.id) == []
    assert "not logged in" in ada.run("logout")
    assert "afield login" in ada.run("token", "list", code=1)


def test_a_terminal_without_a_browser_shows_a_code(site, ada):
    waiting = ada.start("login", "--json")
    address = waiting.until(r"Or open (\S+)\n")[1]
    assert "type this code:\n\n  " in waiting.said
    site.browser().visit(address)
    code, out, said = waiting.finish()
    assert code == 0, said
    assert json.loads(out)["username"] == "ada"
    assert json.loads(out)["renews"]


def test_a_browser_of_this_machine(site, ada, tmp_path):
    script = tmp_path / "browse.py"
    script.write_text(BROWSER)
    out = ada.run("login", "--browser", BROWSER=f"{sys.executable} {script} %s")
    assert out == f"Logged in at {site.url} as ada (Ada).\n"
    assert json.loads(ada.run("token", "list", "--json"))[0]["kind"] == "login"


def test_a_pasted_code_that_is_wrong(site, ada):
    said = ada.run("login", "--no-browser", code=1, typed="mistyped\n")
    assert "This code is not known" in said
    assert "Traceback" not in said
    assert "nobody is here to paste the code" in ada.run("login", "--no-browser", code=1)


def test_who_started_the_service_needs_no_login(site, ada):
    publish(site, ada)
    assert "You have started" in ada.run("login")
    shown = ada.run("whoami")
    assert "having started the service" in shown
    assert "administrate" in shown


def test_a_login_that_the_environment_overrules_is_told(site, ada):
    typing = ada.start("login", "--no-browser", AFIELD_TOKEN="x")
    typing.until(r"http\S+\n")
    code, _, said = typing.finish(site.pasted(site.browser(), typing.said) + "\n")
    assert code == 0
    assert "AFIELD_TOKEN is set here and goes before this login" in said


def test_a_login_as_a_service_asks_for_it(site, ada):
    """The command of a refusal is one that works."""
    ada.log_in("ada", "--prompt", "login", "--session-required-identity", site.ada.id)
    typing = ada.start("login", "--no-browser", "--session-required-single-domain", "example.org")
    typing.until(r"http\S+\n")
    browser = site.browser()
    browser._follow(browser.http.get(site.addresses(typing.said)[-1]))
    browser.submit(username="ada", password=site.password)
    assert "an account of example.org" in browser.page.text
    typing.process.kill()
    typing.finish()


def test_clients(site, ada, machine):
    ada.log_in()
    assert "You have no clients" in ada.run("client", "list")
    made = dict(line.split("=") for line in ada.run("client", "create", "beamline 7").split())
    assert made.keys() == {"AFIELD_CLIENT_ID", "AFIELD_CLIENT_SECRET"}
    listed = ada.run("client", "list")
    assert made["AFIELD_CLIENT_ID"] in listed
    assert made["AFIELD_CLIENT_SECRET"] not in listed
    beamline = machine("beamline")
    assert "client credentials" in beamline.run("whoami", **made)
    arguments = ("login", "--client-id", made["AFIELD_CLIENT_ID"], "--client-secret")
    assert "gives --client-id" in beamline.run(*arguments, "-", code=1, typed="wrong\n")
    out = beamline.run(*arguments, "-", typed=made["AFIELD_CLIENT_SECRET"] + "\n")
    assert "(beamline 7)" in out
    assert json.loads(beamline.run("whoami", "--json"))["identity"]["id"] == made["AFIELD_CLIENT_ID"]
    assert "Only somebody who has logged in" in beamline.run("token", "create", "x", code=1)
    assert ada.run("client", "delete", made["AFIELD_CLIENT_ID"]) == f"Removed {made['AFIELD_CLIENT_ID']}.\n"
    assert "gives your login" in beamline.run("whoami", code=1)
    assert "not a client id" in ada.run("client", "delete", "x", code=1)
    native = json.loads(ada.run("client", "create", "app", "--native", "--json"))
    assert native["secret"] is None


def test_a_token_instead_of_a_login(site, ada, machine):
    ada.log_in()
    token = json.loads(ada.run("token", "create", "x", "--days", "7", "--json"))["token"]
    cluster = machine("cluster")
    assert "does not take your token" in cluster.run("login", "--token", "-", code=1, typed="wrong\n")
    assert "as ada (Ada)" in cluster.run("login", "--token", "-", typed=f"{token}\n")
    assert json.loads(cluster.run("whoami", "--json"))["token"]["kind"] == "personal"
    assert "Logged out" in cluster.run("logout")
    # It was made elsewhere, and may be in use there.
    assert "ada" in cluster.run("whoami", AFIELD_TOKEN=token)


def test_groups(site, ada, machine):
    site.account("bob")
    bob = machine("bobs")
    ada.log_in()
    bob.log_in("bob")
    assert "You are in no group" in ada.run("group", "list")
    made = json.loads(ada.run("group", "create", "physics", "--description", "who measure", "--json"))
    twin = ada.start("group", "create", "Physics", "--json")
    ended, out, said = twin.finish("")
    assert (ended, f"called Physics already: {made['id']}. Name both by their ids" in said) == (0, True)
    ada.run("group", "delete", json.loads(out)["id"])
    code = ada.run("group", "invite", "physics").strip()
    link = f"{site.url}/afield/v1/invitations/{code}"
    assert bob.run("group", "join", link) == "You are in group physics as a member.\n"
    assert "There is no such invitation" in bob.run("group", "join", code, code=1)
    shown = bob.run("group", "show", made["id"])
    assert "who measure" in shown
    assert [line.split()[0] for line in shown.splitlines()[3:]] == ["USERNAME", "ada", "bob"]
    assert "Only a manager" in bob.run("group", "remove", "physics", "ada", code=1)
    assert "no members of group" in ada.run("group", "remove", "physics", "eve", code=1)
    assert ada.run("group", "remove", "physics", "Bob") == "Removed bob from group physics.\n"
    assert "you are in no group called 'physics'" in bob.run("group", "show", "physics", code=1)
    code = ada.run("group", "invite", "physics", "--username", "bob", "--manager").strip()
    assert bob.run("group", "join", code) == "You are in group physics as a manager.\n"
    assert ada.run("group", "leave", "physics") == "You have left group physics.\n"
    assert json.loads(ada.run("group", "list", "--json")) == []
    assert "without a manager" in bob.run("group", "leave", "physics", code=1)
    assert bob.run("group", "delete", "physics") == "Removed group physics.\n"
    assert "You are in no group" in bob.run("group", "list")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("login", "--device", "--browser"), "exclude each other"),
        (("login", "--client-secret", "s"), "goes with --client-id"),
        (("login", "--token", "-"), "--token is empty"),
        (("token", "create"), "Missing argument"),
        (("token", "create", "x", "--days", "0"), "greater than or equal"),
        (("admin", "user", "create", "x", "--ask-password", "--password-stdin"), "exclude each other"),
    ],
)
def test_commands_that_are_written_wrongly(ada, arguments, says):
    said = ada.run(*arguments, code=2)
    assert says in said
    assert "Traceback" not in said


def test_a_service_that_is_away_or_none(ada):
    said = ada.run("whoami", code=1, AFIELD_SERVICE_URL="http://127.0.0.1:9", AFIELD_TOKEN="x")
    assert "cannot be reached" in said
    assert "is not the address of a service" in ada.run("login", "--service", "compute.example.org", code=1)
    del ada.environ["AFIELD_SERVICE_URL"]
    assert "no service is known" in ada.run("login", code=1)


def test_what_others_call_their_groups_does_nothing_to_a_terminal(capsys):
    columns(("ID", "NAME"), ("1", "a\x1b[31mb\r\nc\u202e"))
    assert capsys.readouterr().out == "ID  NAME\n1   a?[31mb??c?\n"


def test_every_command_explains_itself():
    groups = {
        "token": ("create", "list", "revoke"),
        "client": ("create", "list", "delete"),
        "group": ("create", "list", "show", "invite", "join", "leave", "remove", "delete"),
    }
    runner, app = typer.testing.CliRunner(), build()
    names = [("login",), ("logout",), ("whoami",)]
    names += [(group, command) for group, commands in groups.items() for command in commands]
    users = ("create", "list", "disable", "enable", "reset-password", "make-admin")
    names += [("admin", "user", command) for command in users]
    for words in names:
        said = runner.invoke(app, [*words, "--help"])
        assert said.exit_code == 0, words
        assert f"afield {' '.join(words)}" in said.output, words
        assert "--json" in said.output, words


def test_a_command_that_is_made_ready_alone_is_as_it_is_among_all():
    runner, app = typer.testing.CliRunner(), build()
    asked = (
        ("endpoint", "start", "--help"), ("admin", "user", "list", "--help"), ("admin", "doctor", "--help"),
        ("endpoint",), ("endpoint", "strat"), ("admin", "usr"), ("nope",), ("whoami", "--nope"), ("--help",), (),
    )  # fmt: skip
    for words in asked:
        alone, among_all = runner.invoke(build(words), words), runner.invoke(app, words)
        assert alone.output, words
        assert (alone.exit_code, alone.output) == (among_all.exit_code, among_all.output), words
    assert len(build(("endpoint", "start")).registered_groups) == 1
