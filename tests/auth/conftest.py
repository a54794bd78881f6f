"""A service that is up, and people who sit at browsers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from tests.forms import Form

from afield.ids import new_id
from afield.service.app import Running, Service
from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.pkce import challenge_of
from afield.service.auth.oauth.scopes import COMPUTE, OPENID
from afield.service.auth.oauth.server import OAuth
from afield.service.auth.passwords import Passwords
from afield.service.auth.tokens import digest_of
from afield.service.clock import SystemClock
from afield.service.domain.people import AccountRecord, ClientRecord, IdentityRecord
from afield.service.settings import Settings, SignIn
from afield.service.store.base import Store
from afield.service.store.memory import MemoryStore

PASSWORD = "four words are plenty"
VERIFIER = "v" * 43
#: Of a native program that listens on its own machine.
LOOPBACK = "http://127.0.0.1:45678/back"
SECRET = "a secret of a program"


class MovableClock(SystemClock):
    """The machine's clock, which a test may move on; whoever sleeps then is woken."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        return super().now() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
        self._moved.set()
        self._moved.clear()

    async def sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), seconds)


class Person:
    """Somebody at a browser, which keeps cookies and follows redirects as long as they stay with the service."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.AsyncClient(base_url=url, trust_env=False, verify=False)  # there is no TLS, and it costs
        self.page: httpx2.Response | None = None
        self.form: Form | None = None  # the last one, which somebody may send again

    def form_of(self, page: str) -> dict[str, str]:
        return Form(page).fields

    async def get(self, path: str, **query: str) -> httpx2.Response:
        return await self._follow(await self.http.get(path, params=query or None))

    async def submit(self, **typed: str) -> httpx2.Response:
        """Fill in the form of the page that is shown, and send it."""
        form = self.form = Form(self.page.text) if "<form" in self.page.text else self.form
        return await self._follow(await self.http.post(form.action, data=form.fields | typed))

    async def log_in(self, username: str = "ada", password: str = PASSWORD) -> httpx2.Response:
        return await self.submit(username=username, password=password)

    async def _follow(self, answer: httpx2.Response) -> httpx2.Response:
        while answer.status_code == 303 and not answer.headers["location"].startswith("http"):
            answer = await self.http.get(answer.headers["location"])
        self.page = answer
        return answer

    async def authorize(self, **query: str) -> httpx2.Response:
        return await self.get("/v2/oauth2/authorize", **authorization(**query))

    async def code(self, **query: str) -> str:
        """From the request to the code, with whatever pages there are between."""
        answer = await self.authorize(**query)
        if 'name="password"' in answer.text:
            answer = await self.log_in()
        if answer.status_code == 200:
            answer = await self.submit(decision="allow")
        return said_back(answer)["code"]


def authorization(**query: str) -> dict[str, str]:
    """A good request for a code, changed; None leaves something out."""
    said = {
        "client_id": DEFAULT_CLIENT.id,
        "redirect_uri": LOOPBACK,
        "scope": f"{OPENID} {COMPUTE}",
        "state": "s-1",
        "response_type": "code",
        "access_type": "offline",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    } | query
    return {name: value for name, value in said.items() if value is not None}


def said_back(answer: httpx2.Response) -> dict[str, str]:
    """What the program is told at its address."""
    assert answer.status_code == 303, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: value for name, [value] in query.items()}


def words(page: httpx2.Response) -> str:
    """What somebody reads."""
    body = page.text.partition("<main>")[2].partition("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).strip()


class Site:
    """The service, and who may come. (Tests cannot import this file, so it hands out what they need.)"""

    password, verifier, loopback, secret = PASSWORD, VERIFIER, LOOPBACK, SECRET
    said_back, words, authorization = staticmethod(said_back), staticmethod(words), staticmethod(authorization)

    def __init__(self, running: Running, oauth: OAuth, clock: MovableClock) -> None:
        self.running, self.oauth, self.clock = running, oauth, clock
        self.store = oauth  # it has the people, whichever store it is
        self.service_tokens = oauth.tokens
        self.url = running.service_url
        self.http = httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=False)
        self.people: list[Person] = []

    def person(self) -> Person:
        self.people.append(Person(self.url))
        return self.people[-1]

    async def account(self, username: str, password: str | None = PASSWORD, **more: Any) -> IdentityRecord:
        linked = {name: more.pop(name) for name in ("person_id", "provider") if name in more}
        now = self.clock.now()
        identity = IdentityRecord(new_id(), username, username.title(), f"{username}@example.org", now, **linked)
        await self.store.people.put_identity(identity)
        kept = None if password is None else await HASHES.hash(password)
        await self.store.people.put_account(AccountRecord(identity.id, username, now, kept, **more))
        return identity

    async def client(self, *redirect_uris: str, secret: str | None = SECRET) -> ClientRecord:
        digest = None if secret is None else digest_of(secret)
        client = ClientRecord(new_id(), "Some program", None, 1.0, digest, redirect_uris)
        await self.store.people.put_client(client)
        return client

    async def token(self, **fields: str) -> httpx2.Response:
        said = {name: value for name, value in fields.items() if value is not None}
        return await self.http.post("/v2/oauth2/token", data=said)

    async def redeem(self, code: str, **fields: str) -> httpx2.Response:
        good = {
            "grant_type": "authorization_code",
            "client_id": DEFAULT_CLIENT.id,
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": LOOPBACK,
        }
        return await self.token(**(good | fields))

    async def get(self, path: str, token: str) -> httpx2.Response:
        return await self.http.get(path, headers={"Authorization": f"Bearer {token}"})

    async def tokens(self, **query: str) -> dict[str, str]:
        """A whole login of ada's; the compute token, the identity token, and their refresh tokens."""
        document = (await self.redeem(await self.person().code(**query))).json()
        [compute] = document["other_tokens"]
        return {
            "openid": document["access_token"],
            "openid_refresh": document.get("refresh_token"),
            "compute": compute["access_token"],
            "compute_refresh": compute.get("refresh_token"),
        }


# Hashing that is as slow as it should be would take most of the time of these tests.
QUICK = {"password_memory_kib": 64, "password_rounds": 1}
HASHES = Passwords(memory_kib=64, rounds=1)


@pytest.fixture
def sign_in() -> SignIn:
    """A file of tests may have its own."""
    return SignIn(**QUICK)


class OpenService(Service):
    """One whose authorization server a test can reach."""

    def _oauth(self, *arguments: Any) -> OAuth:
        self.oauth = super()._oauth(*arguments)
        return self.oauth


@asynccontextmanager
async def serving(data_dir: Path, *, store: Store | None = None, **settings: Any) -> AsyncIterator[Site]:
    clock = MovableClock()
    settings.setdefault("sign_in", SignIn(**QUICK))
    service = OpenService(clock, store)
    running = await service.start(Settings(data_dir=data_dir, port=0, amqp_port=0, **settings))
    site = Site(running, service.oauth, clock)
    if await service.oauth.people.account("ada") is None:
        await site.account("ada")
    yield site
    for person in site.people:
        await person.http.aclose()
    await site.http.aclose()
    await service.stop()


@pytest.fixture
async def site(tmp_path, sign_in) -> AsyncIterator[Site]:
    async with serving(tmp_path / "data", store=MemoryStore(), sign_in=sign_in) as site:
        yield site


@pytest.fixture
async def secure_site(tmp_path) -> AsyncIterator[Site]:
    """One behind a front that speaks https."""
    async with serving(tmp_path / "data", store=MemoryStore(), public_url="https://compute.example.org/") as site:
        yield site


@pytest.fixture
def on_disk(tmp_path) -> Callable[[], AbstractAsyncContextManager[Site]]:
    """One with a database, which starts again where it stopped."""
    return lambda: serving(tmp_path / "data")
