"""Which service and as whom, from files and variables that are handed in."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import subprocess
import sys

import globus_sdk
import pytest
from aiohttp import web

from afield import Client
from afield.errors import ComputeAPIError, ConfigurationError, ServiceError, ServiceUnreachable
from afield.sdk.login import client_credentials, known
from afield.sdk.login.client_credentials import COMPUTE_SCOPE, ClientCredentials
from afield.sdk.login.known import KnownService
from afield.sdk.login.source import (
    BearerToken,
    authorization,
    authorizer_of_app,
    find_authorizer,
    find_token,
    find_url,
    forget_token,
    keep_token,
    renewal,
)
from afield.sdk.retry import TryAgain

URL = "http://127.0.0.1:5000"


@pytest.fixture
def environ(tmp_path):
    return {"AFIELD_USER_DIR": str(tmp_path)}


def running(url="http://127.0.0.1:5000", **changes):
    return KnownService(**{"service_url": url, "token": "secret", "pid": os.getpid(), "started_at": 1.0} | changes)


def ended_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_running_service_is_found_and_a_stopped_one_is_not(tmp_path):
    path = known.publish(running(), tmp_path)
    assert path == tmp_path / "services" / "127.0.0.1_5000.json"
    (found,) = known.live(tmp_path)
    assert found.token == "secret"
    known.forget("http://localhost:5000", tmp_path)
    known.forget("http://localhost:5000", tmp_path)
    assert known.live(tmp_path) == []


def test_the_file_is_for_its_owner_only(tmp_path):
    path = known.publish(running(), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_a_crash_left_is_not_listed(tmp_path):
    known.publish(running(pid=ended_pid()), tmp_path)
    (tmp_path / "services" / "broken.json").write_text("{")
    assert known.live(tmp_path) == []


def test_the_service_of_another_machine_that_shares_the_home_is_not_listed(tmp_path):
    known.publish(running(hostname="elsewhere"), tmp_path)
    assert known.live(tmp_path) == []


def test_who_stops_removes_only_its_own_file(tmp_path):
    known.publish(running(), tmp_path)
    known.forget("http://127.0.0.1:5000", tmp_path, pid=os.getpid() + 1)
    assert known.live(tmp_path)
    known.forget("http://127.0.0.1:5000", tmp_path, pid=os.getpid())
    assert not known.live(tmp_path)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "services").write_text("a file")
    with pytest.raises(ConfigurationError, match="AFIELD_USER_DIR"):
        known.publish(running(), tmp_path)


def test_localhost_is_its_address():
    assert known.same_service("http://localhost:5000/", "http://127.0.0.1:5000")
    assert known.same_service("https://example.org", "https://example.org:443")
    assert not known.same_service("http://127.0.0.1:5000", "http://127.0.0.1:5001")


def test_the_address(environ, tmp_path):
    with pytest.raises(ConfigurationError, match="afield up"):
        find_url(environ=environ)
    known.publish(running(), tmp_path)
    assert find_url(environ=environ) == "http://127.0.0.1:5000"
    known.publish(running("http://127.0.0.1:5001"), tmp_path)
    with pytest.raises(ConfigurationError, match=r"several.*500[01].*500[01]"):
        find_url(environ=environ)
    assert find_url(environ=environ | {"AFIELD_SERVICE_URL": "https://x"}) == "https://x"
    assert find_url("local", environ=environ) == find_url(local=True, environ=environ) == "http://127.0.0.1:5000"


def test_the_token(environ, tmp_path):
    url = "http://localhost:5000"
    assert find_token(url, environ) is None
    known.publish(running(), tmp_path)
    assert find_token(url, environ) == "secret"
    path = keep_token(url, "kept", environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_token(url, environ) == "kept"
    assert find_token("http://localhost:5001", environ) is None
    assert find_token(url, environ | {"AFIELD_TOKEN": "given"}) == "given"
    assert forget_token(url, environ)
    assert not forget_token(url, environ)
    assert find_token(url, environ) == "secret"


@pytest.mark.anyio
async def test_the_header():
    class Given:
        def get_authorization_header(self):
            return "Bearer from an object"

    assert await authorization("t", None)() == "Bearer t"
    assert await authorization(None, None)() is None
    assert await authorization("t", Given())() == "Bearer from an object"


def test_the_directory_has_a_published_name_too(tmp_path):
    published = {"GLOBUS_COMPUTE_USER_DIR": str(tmp_path / "published")}
    assert known.user_dir(published) == tmp_path / "published"
    assert known.user_dir(published | {"AFIELD_USER_DIR": str(tmp_path)}) == tmp_path


# -- client credentials -----------------------------------------------------------------------------------------------


def pair(prefix, secret="s"):
    return {f"{prefix}_CLIENT_ID": f"{prefix} id", f"{prefix}_CLIENT_SECRET": secret}


def test_which_client_credentials_count(environ, tmp_path):
    assert find_authorizer(URL, environ) is None
    given = dict(environ)
    for prefix in ("FUNCX_SDK", "GLOBUS_COMPUTE", "AFIELD"):
        given |= pair(prefix)
        assert find_authorizer(URL, given).client_id == f"{prefix} id"
    known.publish(running(), tmp_path)
    keep_token(URL, "kept", environ)
    assert isinstance(find_authorizer(URL, given), ClientCredentials)
    given["AFIELD_TOKEN"] = "t"
    assert find_authorizer(URL, given).get_authorization_header() == "Bearer t"
    assert find_authorizer(URL, environ).get_authorization_header() == "Bearer kept"


@pytest.mark.parametrize("prefix", ["FUNCX_SDK", "GLOBUS_COMPUTE", "AFIELD"])
def test_half_a_client_is_an_error_before_anything_is_asked(prefix, environ, monkeypatch):
    half = {name: value for name, value in pair(prefix).items() if name.endswith("SECRET")}
    with pytest.raises(ValueError, match=f"{prefix}_CLIENT_SECRET is set and {prefix}_CLIENT_ID is not: set both"):
        find_authorizer(URL, environ | half)
    monkeypatch.setenv(*next(iter(half.items())))
    with pytest.raises(ValueError, match="set both"):
        Client(service_url=URL)
    assert Client(service_url=URL, token="t").service_url == URL


def test_an_id_alone(environ):
    with pytest.raises(ValueError, match="AFIELD_CLIENT_ID is set and AFIELD_CLIENT_SECRET is not"):
        find_authorizer(URL, environ | {"AFIELD_CLIENT_ID": "x"})
    # There, an application with which a person logs in.
    assert find_authorizer(URL, environ | {"GLOBUS_COMPUTE_CLIENT_ID": "x"}) is None


class Issuer:
    """A token endpoint that hands out numbered tokens."""

    def __init__(self):
        self.asked = []
        self.expires_in = 3600
        self.answers = []

    async def token(self, request):
        form = await request.post()
        self.asked.append((request.headers["Authorization"], dict(form)))
        if self.answers:
            return self.answers.pop(0)
        return web.json_response(
            {
                "access_token": f"token{len(self.asked)}",
                "scope": COMPUTE_SCOPE,
                "resource_server": "funcx_service",
                "token_type": "Bearer",
                "expires_in": self.expires_in,
                "other_tokens": [],
            }
        )

    @property
    def routes(self):
        return [web.post("/v2/oauth2/token", self.token)]


class At:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def issuer():
    return Issuer()


@pytest.mark.anyio
async def test_a_secret_is_exchanged_once_until_the_token_nearly_ends(issuer, serve_routes):
    clock = At()
    async with serve_routes(issuer.routes) as url:
        credentials = ClientCredentials(url, "me", "pass:word %", now=clock)
        header = authorization(None, credentials)
        assert credentials.ready() is None
        assert await asyncio.gather(*(header() for _ in range(5))) == ["Bearer token1"] * 5
        clock.now = 3600 - 61
        assert await header() == "Bearer token1"
        clock.now = 3600 - 59
        assert await header() == "Bearer token2"
    assert len(issuer.asked) == 2
    basic, form = issuer.asked[0]
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == "me:pass%3Aword%20%25"
    assert form == {"grant_type": "client_credentials", "scope": COMPUTE_SCOPE}
    assert "pass" not in repr(credentials)


@pytest.mark.anyio
async def test_a_token_that_is_not_taken_any_more_is_fetched_anew(issuer, serve_routes):
    async with serve_routes(issuer.routes) as url:
        credentials = ClientCredentials(url, "me", "s")
        header, renew = authorization(None, credentials), renewal(credentials)
        assert await header() == "Bearer token1"
        assert await renew()
        assert await header() == "Bearer token2"


class Broken:
    def get_authorization_header(self):
        raise KeyError("no tokens in the store")

    def handle_missing_authorization(self):
        raise KeyError("no tokens in the store")


@pytest.mark.anyio
async def test_what_an_authorizer_raises_is_told_as_its_fault():
    for ask in (authorization(None, Broken()), renewal(Broken())):
        with pytest.raises(ServiceError, match=r"Broken.*authorizer failed: KeyError.*no tokens") as caught:
            await ask()
        assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.anyio
async def test_who_can_renew_a_login():
    assert renewal(BearerToken("t")) is None
    assert renewal(None) is None
    assert not await renewal(globus_sdk.AccessTokenAuthorizer("t"))()


@pytest.mark.anyio
async def test_a_token_that_ends_soon_is_used_for_half_its_time(issuer, serve_routes):
    clock = At()
    issuer.expires_in = 40
    async with serve_routes(issuer.routes) as url:
        header = authorization(None, ClientCredentials(url, "me", "s", now=clock))
        assert await header() == "Bearer token1"
        clock.now = 19
        assert await header() == "Bearer token1"
        clock.now = 20
        assert await header() == "Bearer token2"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (
            lambda: web.json_response({"error": "invalid_client"}, status=401),
            ComputeAPIError,
            "no token: invalid_client",
        ),
        (lambda: web.Response(status=404), ServiceError, "issues no tokens.*AFIELD_TOKEN.*unset AFIELD_CLIENT_ID"),
        (lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), ComputeAPIError, "302"),
        (lambda: web.Response(text="<html>"), ServiceError, "no token"),
    ],
)
async def test_refusals(issuer, serve_routes, answer, error, says):
    issuer.answers = [answer()]
    async with serve_routes(issuer.routes) as url:
        with pytest.raises(error, match=says):
            await authorization(None, ClientCredentials(url, "me", "s", "AFIELD_CLIENT_ID"))()


@pytest.mark.anyio
async def test_what_may_pass_is_tried_again(issuer, serve_routes):
    issuer.answers = [web.Response(status=503)]
    async with serve_routes(issuer.routes) as url:
        header = authorization(None, ClientCredentials(url, "me", "s"))
        with pytest.raises(TryAgain):
            await header()
        assert await header() == "Bearer token2"
    with pytest.raises(TryAgain) as nobody:
        await authorization(None, ClientCredentials(url, "me", "s"))()
    assert isinstance(nobody.value.error, ServiceUnreachable)


def test_an_address_that_is_none():
    with pytest.raises(ServiceError, match="not the address"):
        ClientCredentials("file:///etc", "me", "s").get_authorization_header()


def ask_the_service(serve_routes, in_loop, issuer, given):
    """What one request of a client said of who is asking."""
    seen = []

    async def version(request):
        seen.append(request.headers.get("Authorization"))
        names = ("api", "min_sdk_version", "min_ep_version", "min_endpoint_version")
        return web.json_response(dict.fromkeys(names, "4.0.0"))

    server = serve_routes([*issuer.routes, web.get("/v2/version", version)])
    url = in_loop(server.__aenter__)
    try:
        with Client(service_url=url, **given(url)) as client:
            client.version_check()
    finally:
        in_loop(lambda: server.__aexit__(None, None, None))
    return set(seen)


@pytest.mark.parametrize("prefix", ["AFIELD", "GLOBUS_COMPUTE", "FUNCX_SDK"])
def test_a_client_with_credentials_in_the_environment(issuer, serve_routes, in_loop, monkeypatch, prefix):
    for name in (name for names in client_credentials.PAIRS for name in names):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AFIELD_TOKEN", raising=False)
    for name, value in pair(prefix).items():
        monkeypatch.setenv(name, value)
    assert ask_the_service(serve_routes, in_loop, issuer, lambda url: {}) == {"Bearer token1"}
    assert len(issuer.asked) == 1


def test_a_client_asks_for_its_token_again_when_that_may_help(issuer, serve_routes, in_loop, monkeypatch, clock):
    monkeypatch.delenv("AFIELD_TOKEN", raising=False)
    for name, value in pair("AFIELD").items():
        monkeypatch.setenv(name, value)
    issuer.answers = [web.Response(status=503)] * 2
    assert ask_the_service(serve_routes, in_loop, issuer, lambda url: {"pace": clock.pace()}) == {"Bearer token3"}
    assert len(clock.slept) == 2


# -- objects of globus-sdk --------------------------------------------------------------------------------------------


def globus_app(auth_url):
    """A real one, whose login server is ours."""

    class Auth(globus_sdk.ConfidentialAppAuthClient):
        base_url = auth_url

    login = Auth("b0500dab-ebd4-430f-b962-0c85bd43bdbb", "s")
    config = globus_sdk.GlobusAppConfig(token_storage="memory")
    return globus_sdk.ClientApp("test", login_client=login, config=config)


def test_an_application_of_globus_sdk(issuer, serve_routes, in_loop):
    said = ask_the_service(serve_routes, in_loop, issuer, lambda url: {"app": globus_app(f"{url}/")})
    assert said == {"Bearer token1"}
    assert issuer.asked[0][1]["scope"] == COMPUTE_SCOPE


def test_an_authorizer_of_globus_sdk(issuer, serve_routes, in_loop):
    given = {"authorizer": globus_sdk.AccessTokenAuthorizer("mine")}
    assert ask_the_service(serve_routes, in_loop, issuer, lambda url: given) == {"Bearer mine"}
    assert issuer.asked == []


def test_an_application_logs_out_by_itself():
    class App:
        out = False

        def get_authorizer(self, resource_server):
            return globus_sdk.AccessTokenAuthorizer(f"for {resource_server}")

        def logout(self):
            self.out = True

    app = App()
    assert authorizer_of_app(app).get_authorization_header() == "Bearer for funcx_service"
    Client(service_url=URL, app=app).logout()
    assert app.out
