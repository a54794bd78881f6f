"""A person logs in, in a real browser, and not by a client's id and secret."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from tests.interop.clients import Scripts
from tests.interop.endpoints import Endpoint
from tests.interop.port import PATIENCE_S, PYTHON
from tests.interop.web_browser import web_browser

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PASSWORD = "four words are plenty"
NOBODY = ("", "")


class Terminal:
    """A command at a terminal, and what is said and typed there."""

    def __init__(self, command, environment):
        self._own, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.said = ""

    def until(self, pattern):
        while (found := re.search(pattern, self.said)) is None:
            assert select.select([self._own], [], [], PATIENCE_S)[0], self.said
            self._read()
        return found

    def type(self, text):
        os.write(self._own, f"{text}\n".encode())

    def end(self):
        """Wait until it has ended; its exit status."""
        try:
            while True:
                self._read()
        except OSError:  # the other end of a terminal is gone
            pass
        os.close(self._own)
        return self.process.wait(PATIENCE_S)

    def _read(self):
        self.said += os.read(self._own, 4096).decode(errors="replace")


class Person:
    """Somebody with an account, a browser, and a home directory without any credentials in it."""

    def __init__(self, deployment, whose, browser, place):
        self.whose, self.browser, self.name = whose, browser, f"{whose}-{deployment.kind}"
        self.scripts = Scripts(whose, place, NOBODY)
        self.endpoint = Endpoint(whose, "personal", place, NOBODY)
        self._known = False
        link = deployment.owners_command("admin", "user", "create", self.name)["link"]
        browser.go(link)
        browser.fill("#new", PASSWORD)
        browser.fill("#again", PASSWORD)
        browser.press("form button")

    def log_in(self, *command):
        """Run a command that asks for a code; what it has said."""
        terminal = Terminal(command, self.scripts.environment())
        self.browser.go(terminal.until(r"https?://\S+/v2/oauth2/authorize\S+\s")[0].strip())
        if self.browser.has("#password"):
            self.browser.fill("#username", self.name)
            self.browser.fill("#password", PASSWORD)
            self.browser.press("form button")
        if self.browser.has("button[value=allow]"):
            self.browser.press("button[value=allow]")
        terminal.type(self.browser.text("output.code"))
        assert terminal.end() == 0, terminal.said
        return terminal.said


@pytest.fixture
def person(deployment, whose_client, tmp_path):
    with web_browser(tmp_path) as browser:
        one = Person(deployment, whose_client, browser, tmp_path / "person")
        yield one
        one.scripts.close()
        if one.endpoint.program is not None:
            one.endpoint.stop()


def test_a_person_logs_in(person):
    """a person logs in on the pages, in a browser, and pastes a code: endpoint, tasks, renewal, `whoami`, `logout`"""
    if person.whose == "ours":
        person.log_in(sys.executable, "-m", "afield", "login", "--no-browser")
    else:
        # As a script asks for it. That is enough for their command, too, which wants to be let do more.
        script = person.scripts.place / "script.py"
        script.write_text("from globus_compute_sdk import Client\nprint('in', len(Client().get_endpoints()))\n")
        assert "in 0" in person.log_in(PYTHON, str(script))
    who = ("afield", "whoami") if person.whose == "ours" else ("globus-compute-endpoint", "whoami")
    assert person.name in person.scripts.command(*who).stdout
    person.endpoint.configure()
    person.endpoint.start()
    run = "with Executor(endpoint) as ex: said(ex.submit(pow, 2, 5).result(50))"
    assert person.scripts.run(run, ENDPOINT=person.endpoint.id) == [32]
    before = tokens_of(person)
    expire(person)
    assert person.scripts.run(run, ENDPOINT=person.endpoint.id) == [32]
    assert tokens_of(person) - before  # of those that were needed
    person.endpoint.stop()
    out = ("afield", "logout") if person.whose == "ours" else ("globus-compute-endpoint", "logout")
    done = person.scripts.command(*out)
    assert done.returncode == 0, done.stderr
    assert not tokens_of(person)
    assert person.name not in person.scripts.command(*who).stdout
    with pytest.raises(AssertionError, match=r"no login is known|CommandLineLoginFlowEOFError"):
        person.scripts.run(run, ENDPOINT=person.endpoint.id)


def tokens_of(person):
    """The access tokens that a package has stored."""
    found = [stored(text) for _, text in texts(person)]
    return {token["access_token"] for one in found for token in one}


def expire(person):
    """Have the package believe that its tokens are old."""
    for key, kept in texts(person):
        text = re.sub(r'("expires_at(?:_seconds)?": ?)[0-9.]+', r"\g<1>1000000000", kept)
        assert text != kept
        if person.whose == "ours":
            key.write_text(text)
        else:
            with closing(sqlite3.connect(storage(person))) as found:
                found.execute("update token_storage set token_data_json = ? where rowid = ?", (text, key))
                found.commit()


def texts(person):
    """What a package has stored, each with where."""
    if person.whose == "ours":
        return [(path, path.read_text()) for path in (person.scripts.place / "user" / "logins").glob("*.json")]
    with closing(sqlite3.connect(storage(person))) as found:
        return found.execute("select rowid, token_data_json from token_storage").fetchall()


def stored(text):
    """The tokens in there."""
    found = json.loads(text)
    return list(found["tokens"].values()) if "tokens" in found else [found]


def storage(person):
    return person.scripts.place / "user" / "storage.db"
