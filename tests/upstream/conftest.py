"""A service, people at browsers, and providers elsewhere: a certified one, one that lies, and one of GitHub's shape."""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
import shutil
import subprocess
import tempfile
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import httpx2
import pytest
from aiohttp import web
from joserfc import jws
from joserfc.jwk import RSAKey

from afield.ids import new_id
from afield.service.app import Running, Service
from afield.service.auth.oauth.clients import DEFAULT_CLIENT
from afield.service.auth.oauth.pkce import challenge_of
from afield.service.auth.oauth.scopes import COMPUTE, OPENID
from afield.service.auth.oauth.server import OAuth
from afield.service.auth.passwords import Passwords
from afield.service.clock import SystemClock
from afield.service.domain.people import AccountRecord, IdentityRecord
from afield.service.settings import ProviderSettings, Settings, SignIn
from afield.service.store.base import Store
from afield.service.store.memory import MemoryStore

PASSWORD = "four words are plenty"
VERIFIER = "v" * 43
BACK = "http://127.0.0.1:45678/back"
SECRET = "it is/ a secret+ with signs " * 2
HERE = Path(__file__).parent


#: Hashing that is as slow as it should be would take most of the time of these tests.
QUICK = SignIn(password_memory_kib=64, password_rounds=1)

_kept: list[str] = []


async def kept_password() -> str:
    """What is kept of the password that all have, made once."""
    if not _kept:
        _kept.append(await Passwords(memory_kib=64, rounds=1).hash(PASSWORD))
    return _kept[0]


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


class Form(HTMLParser):
    """The first form of a page in which a certain word is, or the first."""

    def __init__(self, page: str, word: str = "") -> None:
        super().__init__()
        self.action, self.fields = None, {}
        for part in re.findall(r"<form.*?</form>", page, re.DOTALL):
            if word in part:
                self.feed(part)
                break

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        if tag == "form":
            self.action = said["action"]
        if tag == "input":
            self.fields[said["name"]] = said.get("value", "")


class Person:
    """Somebody at a browser, which keeps cookies and goes wherever it is sent, but to the program's own address."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.AsyncClient(base_url=url, trust_env=False, verify=False)  # there is no TLS, and it costs
        self.page: httpx2.Response | None = None
        self.seen: list[str] = []

    async def get(self, path: str, **query: str) -> httpx2.Response:
        return await self._follow(await self.http.get(path, params=query or None))

    async def submit(self, word: str = "", **typed: str) -> httpx2.Response:
        form = Form(self.page.text, word)
        return await self._follow(await self.http.post(str(self.page.url.join(form.action)), data=form.fields | typed))

    async def click(self, words: str) -> httpx2.Response:
        for url, text in re.findall(r'<a [^>]*href="([^"]*)"[^>]*>(.*?)</a>', self.page.text):
            if words in text:
                return await self.get(html.unescape(url))
        raise AssertionError(f"no link {words!r} in {words_of(self.page)}")

    async def log_in(self, username: str = "ada") -> httpx2.Response:
        if self.page is None:
            await self.get("/v2/web/login")
        return await self.submit(username=username, password=PASSWORD)

    async def authorize(self, **query: str) -> httpx2.Response:
        return await self.get("/v2/oauth2/authorize", **authorization(**query))

    async def _follow(self, answer: httpx2.Response) -> httpx2.Response:
        while answer.is_redirect and not answer.headers["location"].startswith(BACK):
            url = str(answer.url.join(answer.headers["location"]))
            self.seen.append(url)
            answer = await self.http.get(url)
        self.page = answer
        return answer


def words_of(page: httpx2.Response) -> str:
    """What somebody reads."""
    body = page.text.partition("<main>")[2].partition("</main>")[0] or page.text
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))).strip()


def authorization(**query: str) -> dict[str, str]:
    """A good request for a code, changed."""
    return {
        "client_id": DEFAULT_CLIENT.id,
        "redirect_uri": BACK,
        "scope": f"{OPENID} {COMPUTE}",
        "state": "s-1",
        "response_type": "code",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    } | query


class OpenService(Service):
    """One whose authorization server a test can reach."""

    def _oauth(self, *arguments: Any) -> OAuth:
        self.oauth = super()._oauth(*arguments)
        return self.oauth


class Site:
    """The service, and who may come."""

    words = staticmethod(words_of)
    back = BACK

    def __init__(self, running: Running, oauth: OAuth, store: Store, clock: MovableClock) -> None:
        self.oauth, self.people, self.clock = oauth, store.people, clock
        self.url = running.service_url
        self._browsers: list[Person] = []

    def person(self) -> Person:
        self._browsers.append(Person(self.url))
        return self._browsers[-1]

    async def account(self, username: str, **more: Any) -> IdentityRecord:
        now = self.clock.now()
        identity = IdentityRecord(new_id(), username, username.title(), f"{username}@example.org", now)
        account = AccountRecord(identity.id, username, now, await kept_password(), **more)
        await self.people.put_account(account, identity)
        return identity

    async def userinfo(self, person: Person) -> dict[str, Any]:
        """What a program learns that somebody lets act for them; their page is the one that asks for consent."""
        answer = await person.submit(decision="allow")
        assert answer.headers["location"].startswith(BACK), words_of(answer)
        token = await self.token(parse_qs(urlsplit(answer.headers["location"]).query)["code"][0])
        answer = await person.http.get("/v2/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})
        return answer.json() | {"token": token}

    async def token(self, code: str) -> str:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=False) as http:
            said = {
                "grant_type": "authorization_code",
                "client_id": DEFAULT_CLIENT.id,
                "code": code,
                "code_verifier": VERIFIER,
                "redirect_uri": BACK,
            }
            return (await http.post("/v2/oauth2/token", data=said)).json()["access_token"]

    async def close(self) -> None:
        for person in self._browsers:
            await person.http.aclose()


@asynccontextmanager
async def serving(data_dir: Path, *providers: ProviderSettings, store: Store | None = None) -> AsyncIterator[Site]:
    clock, store = MovableClock(), store or MemoryStore()
    service = OpenService(clock, store)
    running = await service.start(Settings(data_dir=data_dir, port=0, amqp_port=0, providers=providers, sign_in=QUICK))
    site = Site(running, service.oauth, store, clock)
    try:
        yield site
    finally:
        await site.close()
        await service.stop()


@pytest.fixture
async def serve(tmp_path) -> AsyncIterator[Any]:
    """Starts a service with these providers."""
    async with AsyncExitStack() as stack:

        async def start(*providers: ProviderSettings, **more: Any) -> Site:
            return await stack.enter_async_context(serving(tmp_path / secrets.token_hex(4), *providers, **more))

        yield start


# -- the certified one -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What the provider consists of, installed once for all runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here, and the certified provider is a program for node")
    lock = HERE / "provider" / "package-lock.json"
    target = HERE.parents[1] / "build" / "provider" / sha256(lock.read_bytes()).hexdigest()[:16]
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as made:
            for each in (lock, lock.with_name("package.json")):
                shutil.copy(each, made)
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=made, capture_output=True, text=True, timeout=100,
            )  # fmt: skip
            if done.returncode:
                pytest.skip(f"npm cannot install the certified provider: {done.stderr.strip()[-300:]}")
            with suppress(OSError):  # another process was quicker
                Path(made).rename(target)
            Path(made).mkdir(exist_ok=True)
    return target


class Certified:
    """The provider's process."""

    def __init__(self, node_modules: Path) -> None:
        script = node_modules / "provider.mjs"
        shutil.copy(HERE / "provider" / "provider.mjs", script)
        self._process = subprocess.Popen(
            ["node", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.issuer = self._line()
        self.settings = settings_of(self.issuer)

    def rotate(self) -> None:
        """Sign with a key that is new."""
        self._key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": secrets.token_hex(4)})

    def set_up(self, url: str) -> None:
        """Let the service at this address ask."""
        client = {
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
            "redirect_uris": [f"{url}/login/elsewhere/callback"],
        }
        said = {"jwks": {"keys": [self._key.as_dict(private=True)]}, "client": client}
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        assert self._line() == "ready"

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _line(self) -> str:
        for line in self._process.stdout:
            if not line.startswith("oidc-provider "):  # it warns of what is fine for a test
                return line.strip()
        raise AssertionError("the provider ended")


@pytest.fixture(scope="session")
def certified(node_modules) -> Iterator[Certified]:
    provider = Certified(node_modules)
    provider.rotate()
    yield provider
    provider.close()


def settings_of(issuer: str, **more: Any) -> ProviderSettings:
    said = {"name": "elsewhere", "title": "Elsewhere", "client_id": "afield & co", "client_secret": SECRET}
    return ProviderSettings(issuer=issuer, **(said | more))


# -- the one that lies -----------------------------------------------------------------------------------------------


class Liar:
    """A provider that does as told: right in all, but for what a test changes. Whoever comes is logged in as ada."""

    key = RSAKey.generate_key(2048, {"use": "sig", "kid": "one"})

    def __init__(self) -> None:
        self.now = SystemClock().now
        self.tell_the_truth()

    def tell_the_truth(self) -> None:
        """From now on, in all."""
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.back: dict[str, Any] = {}
        self.answers: dict[str, Callable[[], web.Response]] = {}
        self.hangs = asyncio.Event()
        self.hanging: str | None = None
        self.asked: list[dict[str, str]] = []
        self.requests: list[str] = []
        self.sign = self._sign
        self._codes: dict[str, dict[str, str]] = {}

    async def start(self) -> None:
        app = web.Application(middlewares=[self._instead])
        app.router.add_get("/.well-known/openid-configuration", self._metadata)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/me", self._me)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        place = web.TCPSite(self._runner, "127.0.0.1", 0)
        await place.start()
        self.issuer = f"http://127.0.0.1:{place._server.sockets[0].getsockname()[1]}"
        self.settings = settings_of(self.issuer)

    async def close(self) -> None:
        self.hangs.set()
        await self._runner.cleanup()

    @web.middleware
    async def _instead(self, request, handler):
        name = request.path.rpartition("/")[2]
        self.requests.append(name)
        if name == self.hanging:
            await self.hangs.wait()
        return self.answers[name]() if name in self.answers else await handler(request)

    async def _metadata(self, _):
        where = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in PARTS.items()}
        said = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response(without_none(where | said | self.metadata))

    async def _authorize(self, request):
        asked = dict(request.query)
        self.asked.append(asked)
        code = secrets.token_urlsafe(8)
        self._codes[code] = asked
        back = without_none({"code": code, "state": asked["state"], "iss": self.issuer} | self.back)
        return web.Response(status=302, headers={"location": f"{asked['redirect_uri']}?{urlencode(back)}"})

    async def _token(self, request):
        form = await request.post()
        basic = b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        assert [unquote_plus(each) for each in basic.split(":")] == ["afield & co", SECRET]
        asked = self._codes.pop(form["code"], None)
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        assert challenge == asked["code_challenge"]
        now = self.now()
        claims = {
            "iss": self.issuer, "sub": "ada", "aud": "afield & co", "nonce": asked["nonce"], "iat": int(now),
            "exp": int(now) + 300, "auth_time": int(now),
        }  # fmt: skip
        tokens = {
            "access_token": "t",
            "token_type": "Bearer",
            "id_token": self.sign(without_none(claims | self.claims)),
        }
        return web.json_response(without_none(tokens))

    async def _jwks(self, _):
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    async def _me(self, request):
        assert request.headers["authorization"] == "Bearer t"
        said = {"sub": "ada", "preferred_username": "ada", "name": "Ada of Elsewhere", "email": "ada@lab.example.org"}
        return web.json_response(without_none(said | {"email_verified": True} | self.userinfo))

    def _sign(self, claims: dict[str, Any]) -> str:
        return self.signed(claims, self.key, "RS256", kid="one")

    @staticmethod
    def signed(claims: dict[str, Any], key: Any, algorithm: str, **header: str) -> str:
        said = json.dumps(claims).encode()
        return jws.serialize_compact({"alg": algorithm} | header, said, key, algorithms=[algorithm])


PARTS = {"authorization": "authorize", "token": "token", "userinfo": "me"}


def without_none(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    liar = Liar()
    await liar.start()
    yield liar
    await liar.close()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but one service may live for several tests."""
    return "asyncio"


@pytest.fixture(scope="module")
async def closed(tmp_path_factory) -> AsyncIterator[tuple[Site, Liar]]:
    """A service that nobody enters, and a provider: for tests that leave nothing behind."""
    liar = Liar()
    await liar.start()
    async with serving(tmp_path_factory.mktemp("closed") / "data", liar.settings) as site:
        liar.now = site.clock.now
        yield site, liar
    await liar.close()
