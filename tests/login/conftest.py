"""A service that is up in a thread of its own, with a clock that is moved by hand; people at browsers and terminals."""

from __future__ import annotations

import asyncio
import os
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests import commands
from tests.forms import Form

from afield.ids import new_id
from afield.sdk.login.interactive import Way, log_in
from afield.sdk.login.questions import Questions
from afield.sdk.login.source import BearerToken
from afield.sdk.login.stored import StoredLogin
from afield.service.app import Service
from afield.service.auth.passwords import Passwords
from afield.service.clock import SystemClock
from afield.service.domain.people import AccountRecord, IdentityRecord
from afield.service.settings import Settings, SignIn
from afield.service.store.memory import MemoryStore

PASSWORD = "four words are plenty"
#: Hashing that is as slow as it should be would take most of the time of these tests.
QUICK = {"password_memory_kib": 64, "password_rounds": 1}
HASHES = Passwords(memory_kib=64, rounds=1)
#: Nothing here takes longer than this; it only bounds a hang.
PATIENCE_S = 60


@cache
def hash_of(password: str) -> str:
    """Made once."""
    return asyncio.run(HASHES.hash(password))


class MovableClock(SystemClock):
    """The machine's clock, which a test may move on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


class Browser:
    """A browser, and somebody who fills in what it shows."""

    def __init__(self, url: str, username: str = "ada", password: str = PASSWORD) -> None:
        self.url, self.username, self.password = url, username, password
        self.decision = "allow"
        self.http = httpx2.Client(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_S)
        self.page: httpx2.Response | None = None

    def visit(self, address: str) -> httpx2.Response:
        """Open an address, log in and consent, until no form of these is left."""
        self._follow(self.http.get(address))
        while self.page.status_code == 200 and "<form" in self.page.text:
            if 'name="password"' in self.page.text:
                self.submit(username=self.username, password=self.password)
            elif 'name="user_code"' in self.page.text:
                self.submit()
            elif 'name="decision"' in self.page.text:
                self.submit(decision=self.decision)
            else:
                break
        return self.page

    def submit(self, **typed: str) -> httpx2.Response:
        form = Form(self.page.text)
        return self._follow(self.http.post(form.action, data=form.fields | typed))

    def _follow(self, answer: httpx2.Response) -> httpx2.Response:
        while answer.status_code == 303:
            answer = self.http.get(answer.headers["location"])
        self.page = answer
        return answer


class Played:
    """Somebody who logs in, at a terminal whose words are kept."""

    def __init__(self, browser: Browser) -> None:
        self.browser, self.told = browser, []
        self.has_browser = True
        self.threads: list[threading.Thread] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def open(self, url: str) -> bool:
        if self.has_browser:
            self.threads.append(threading.Thread(target=self.browser.visit, args=(url,)))
            self.threads[-1].start()
        return self.has_browser

    def ask(self, prompt: str) -> str:
        return pasted(self.browser, self.words)

    def confirm(self, _seconds: float) -> None:
        """What somebody does while the device waits: they open the address that has the code in it."""
        self.browser.visit(addresses(self.words)[-1])

    @property
    def words(self) -> str:
        return "\n".join(self.told)


def addresses(text: str) -> list[str]:
    return re.findall(r"https?://\S+", text)


def pasted(browser: Browser, text: str) -> str:
    """The code that a page shows for the address in a text."""
    page = browser.visit(addresses(text)[-1]).text
    [code] = re.findall(r"<output[^>]*>([\w-]+)</output>", page)
    return code


class Site:
    """The service, and who may come."""

    password = PASSWORD
    pasted, addresses = staticmethod(pasted), staticmethod(addresses)

    def __init__(self, place: Path, sign_in: SignIn) -> None:
        self.clock, self.store = MovableClock(), MemoryStore()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._service = Service(self.clock, self.store)
        settings = Settings(data_dir=place / "data", port=0, amqp_port=0, sign_in=sign_in)
        self.running = self.call(self._service.start(settings))
        self.url = self.running.service_url
        self.environ = {"AFIELD_USER_DIR": str(place / "home")}
        self._browsers: list[Browser] = []
        self._played: list[Played] = []

    def call(self, waiting: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(waiting, self._loop).result(PATIENCE_S)

    def stop(self) -> None:
        for one in self._played:
            for thread in one.threads:
                thread.join(PATIENCE_S)
        for one in self._browsers:
            one.http.close()
        self.call(self._service.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def account(self, username: str, password: str | None = PASSWORD, **more: Any) -> IdentityRecord:
        now = self.clock.now()
        identity = IdentityRecord(
            new_id(), username, username.title(), f"{username}@example.org", now, person_id=more.pop("person_id", None)
        )
        kept = None if password is None else hash_of(password)
        self.call(self.store.people.put_identity(identity))
        self.call(self.store.people.put_account(AccountRecord(identity.id, username, now, kept, **more)))
        return identity

    def browser(self, username: str = "ada", password: str = PASSWORD) -> Browser:
        self._browsers.append(Browser(self.url, username, password))
        return self._browsers[-1]

    def person(self, username: str = "ada") -> Played:
        self._played.append(Played(self.browser(username)))
        return self._played[-1]

    def log_in(self, username: str = "ada", way: Way = Way.PASTE, **more: Any) -> StoredLogin:
        more = {"environ": self.environ, "now": self.clock.now} | more
        return log_in(self.url, self.person(username), way, **more)

    def asking(self, username: str | None = None) -> Questions:
        """What somebody who has logged in may ask; without a name, whoever runs the service."""
        if username is None:
            return Questions(self.url, BearerToken(self.running.token), environ={})
        login = self.log_in(username, environ={"AFIELD_USER_DIR": f"{self.environ['AFIELD_USER_DIR']}-{username}"})
        return Questions(self.url, BearerToken(login.compute.access_token), environ={})

    def tokens(self, identity_id: str) -> list[Any]:
        return self.call(self.store.people.tokens_of(identity_id))


@pytest.fixture
def sign_in() -> SignIn:
    """A file of tests may have its own."""
    return SignIn(**QUICK)


@pytest.fixture
def site(tmp_path, sign_in) -> Iterator[Site]:
    site = Site(tmp_path, sign_in)
    site.ada = site.account("ada")
    yield site
    site.stop()


class Typed:
    """One `afield …` that runs, at which somebody may type."""

    def __init__(self, *arguments: str, environ: dict[str, str]) -> None:
        self.process = commands.begin(*arguments, environ=environ)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.said = ""

    def _read(self) -> None:
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put("")

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until it has said something."""
        while (found := re.search(pattern, self.said)) is None:
            line = self._lines.get(timeout=PATIENCE_S)
            assert line, f"it never said {pattern}: {self.said}"
            self.said += line
        return found

    def finish(self, typed: str = "") -> tuple[int, str, str]:
        self.process.stdin.write(typed)
        self.process.stdin.close()
        out = self.process.stdout.read()
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        with suppress(queue.Empty):
            while True:
                self.said += self._lines.get_nowait()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, out, self.said


class Machine:
    """A user's account on some machine."""

    def __init__(self, home: Path, site: Site) -> None:
        self.home, self.site = home, site
        home.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AFIELD_", "GLOBUS_", "FUNCX_"))}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "SSH_CONNECTION", "SSH_TTY"):
            kept.pop(name, None)
        self.environ = kept | {"AFIELD_USER_DIR": str(home), "AFIELD_SERVICE_URL": site.url, "TERM": "dumb"}

    def start(self, *arguments: str, **environ: str) -> Typed:
        return Typed(*arguments, environ=self.environ | environ)

    def run(self, *arguments: str, typed: str = "", code: int = 0, **environ: str) -> str:
        """Run `afield …`; what it printed, and what else it said if it failed as expected."""
        ended, out, said = self.start(*arguments, **environ).finish(typed)
        assert ended == code, f"{arguments} ended with {ended}\n{out}\n{said}"
        return out if code == 0 else out + said

    def log_in(self, username: str = "ada", *arguments: str) -> str:
        typing = self.start("login", "--no-browser", *arguments)
        typing.until(r"http\S+\n")
        code, out, said = typing.finish(pasted(self.site.browser(username), typing.said) + "\n")
        assert code == 0, said
        return out


@pytest.fixture
def machine(tmp_path, site) -> Callable[[str], Machine]:
    """Machines by name, each with a home of its own."""
    return lambda name: Machine(tmp_path / name, site)
