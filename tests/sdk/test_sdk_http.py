"""HTTP with everything that can go wrong on the way, over real sockets."""

from __future__ import annotations

import asyncio
import pickle
import socket

import pytest
from aiohttp import web

from afield.errors import ComputeAPIError, ConfigurationError, ServiceError, ServiceUnreachable
from afield.sdk.proxies import proxy_for
from afield.sdk.retry import TryAgain, persist
from afield.sdk.transport.base import Refusal
from afield.sdk.transport.http import HttpTransport

pytestmark = pytest.mark.anyio

GOOD = {"api": "4", "min_sdk_version": "4", "min_ep_version": "4", "min_endpoint_version": "4"}


async def no_token():
    return None


class Script:
    """Answers requests one after the other, the last answer again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def answer(self, request):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer() if callable(answer) else web.json_response(answer)


def status(code, **more):
    return lambda: web.Response(status=code, **more)


def hang_up():
    raise ConnectionResetError


@pytest.fixture
def ask(serve_routes):
    async def ask(*answers, seen=None, pace=None, token=no_token):
        routes = [web.route("*", "/{path:.*}", Script(*answers).answer)]
        async with serve_routes(routes, seen) as url:
            transport = HttpTransport(url, token, "afield-sdk/1")
            try:
                if pace is None:
                    return await transport.version()
                return await persist(transport.version, pace)
            finally:
                await transport.close()

    return ask


async def test_who_we_are_is_in_the_headers(ask):
    async def token():
        return "Bearer abc"

    seen = []
    assert (await ask(GOOD, seen=seen, token=token)).api == "4"
    (request,) = seen
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.headers["X-Afield-Wire"] == "2"
    assert request.headers["User-Agent"] == "afield-sdk/1"
    assert request.path_qs == "/v2/version?service=all"


async def test_a_port_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    transport = HttpTransport(url, no_token, "x")
    with pytest.raises(TryAgain) as caught:
        await transport.version()
    assert isinstance(caught.value.error, ServiceUnreachable)
    assert url in str(caught.value.error)
    assert "AFIELD_SERVICE_URL" in str(caught.value.error)
    await transport.close()


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_not_now_is_tried_again(ask, clock, code):
    seen = []
    answer = await ask(status(code), status(code), GOOD, seen=seen, pace=clock.pace())
    assert answer.api == "4"
    assert len(seen) == 3
    assert clock.slept == [0.05, 0.1]


async def test_retry_after_is_believed(ask, clock):
    await ask(status(429, headers={"Retry-After": "3"}), GOOD, pace=clock.pace())
    assert clock.slept == [3.0]
    await ask(status(503, headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}), GOOD, pace=clock.pace())
    assert clock.slept == [3.0, 0.05]


async def test_a_service_that_stays_broken_is_named_with_what_it_said(ask, clock):
    with pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:.*it answers 503: overloaded"):
        await ask(status(503, text="overloaded"), pace=clock.pace(5))


async def test_a_connection_that_breaks_in_the_middle():
    async def speak_half(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(speak_half, "127.0.0.1", 0)
    async with server:
        transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", no_token, "x")
        with pytest.raises(TryAgain):
            await transport.version()
        await transport.close()


async def test_something_that_does_not_speak_http():
    async def chat(reader, writer):
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(chat, "127.0.0.1", 0)
    async with server:
        transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", no_token, "x")
        with pytest.raises(TryAgain):
            await transport.version()
        await transport.close()


@pytest.mark.parametrize("body", ["<html>Welcome to nginx", "[]", '{"api": 3}', ""])
async def test_an_answer_that_is_none_says_where_it_came_from(ask, body):
    with pytest.raises(ServiceError, match=r"http://127.0.0.1.*GET /v2/version.*Afield service\?"):
        await ask(status(200, text=body))


async def test_a_refusal_in_the_published_form_and_in_others(ask):
    body = (
        '{"status":"Failed","code":"TASK_NOT_FOUND","http_status_code":404,"detail":"no task 7","reason":"no task 7"}'
    )
    with pytest.raises(ComputeAPIError) as caught:
        await ask(status(404, text=body))
    assert caught.value.args == (404, "TASK_NOT_FOUND", "no task 7")
    with pytest.raises(ComputeAPIError) as caught:
        await ask(status(403, text="<h1>Forbidden</h1>"))
    assert caught.value.args == (403, "HTTP_403", "<h1>Forbidden</h1>")
    with pytest.raises(ComputeAPIError, match="was refused"):
        await ask(status(403))
    with pytest.raises(ComputeAPIError, match="AFIELD_TOKEN"):
        await ask(status(401))
    with pytest.raises(ComputeAPIError, match="field required"):
        await ask(status(422, text='{"detail": [{"msg": "field required"}]}'))


async def test_a_refusal_says_what_it_is_about(ask):
    body = {"code": "PYTHON_MISMATCH", "detail": "compiled elsewhere", "error_args": ["3.12.1", "new-0"]}
    with pytest.raises(Refusal, match="compiled elsewhere") as caught:
        await ask(lambda: web.json_response(body, status=422))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.http_status, again.code, again.about) == (422, "PYTHON_MISMATCH", ("3.12.1", "new-0"))
    body["error_args"] = "not a list"
    with pytest.raises(ComputeAPIError) as caught:
        await ask(lambda: web.json_response(body, status=422))
    assert caught.value.args == (422, "PYTHON_MISMATCH", "compiled elsewhere")


async def test_what_is_looked_for_is_in_the_address(serve_routes):
    seen = []

    async def answer(request):
        return web.json_response({"tasks": [], "functions": []})

    async with serve_routes([web.route("*", "/{path:.*}", answer)], seen) as url:
        transport = HttpTransport(url, no_token, "x")
        await transport.list_tasks(status="pending", search="a&b=c", limit=7)
        await transport.list_tasks()
        await transport.list_functions(before="8")
        await transport.close()
    assert [request.path_qs for request in seen] == [
        "/afield/v1/tasks?status=pending&search=a%26b%3Dc&limit=7",
        "/afield/v1/tasks",
        "/afield/v1/functions?before=8",
    ]


async def test_a_redirect_is_not_followed_with_our_token(ask):
    with pytest.raises(ServiceError, match="redirects"):
        await ask(status(302, headers={"Location": "http://127.0.0.1:1/"}))


async def test_an_address_that_is_none():
    transport = HttpTransport("not an address", no_token, "x")
    with pytest.raises(ConfigurationError, match="not an address"):
        await transport.version()
    await transport.close()


async def test_plain_http_where_tls_was_expected(serve_routes):
    async with serve_routes([]) as url:
        transport = HttpTransport(url.replace("http:", "https:"), no_token, "x")
        with pytest.raises(ServiceUnreachable, match="TLS"):
            await transport.version()
        await transport.close()


@pytest.mark.parametrize("body", [b'{"api": "\xff"}', b"[" * 100_000, b"<html>"])
@pytest.mark.parametrize("code", [200, 404])
async def test_whatever_answers_it_is_an_error_of_ours(ask, body, code):
    with pytest.raises(ServiceError):
        await ask(status(code, body=body))


# -- a login that is not taken any more --------------------------------------------------------------------------------


class Login:
    """Gives another token after each renewal, of which there are as many as it is told."""

    def __init__(self, renewals):
        self.left, self.asked, self.number = renewals, 0, 1

    async def header(self):
        return f"Bearer {self.number}"

    async def renew(self):
        self.asked += 1
        if not self.left:
            return False
        self.left -= 1
        self.number += 1
        return True


async def ask_with(serve_routes, login, *answers):
    """The tokens that came, and what became of it."""
    seen = []
    async with serve_routes([web.route("*", "/{path:.*}", Script(*answers).answer)], seen) as url:
        transport = HttpTransport(url, login.header, "x", login.renew)
        try:
            return await transport.version()
        except ComputeAPIError as error:
            return error
        finally:
            await transport.close()
            login.seen = [request.headers["Authorization"] for request in seen]


async def test_a_login_that_was_renewed_is_tried_once_more(serve_routes):
    login = Login(5)
    assert (await ask_with(serve_routes, login, status(401), GOOD)).api == "4"
    assert login.seen == ["Bearer 1", "Bearer 2"]
    assert login.asked == 1


async def test_a_login_that_stays_refused_is_not_tried_for_ever(serve_routes):
    login = Login(5)
    assert (await ask_with(serve_routes, login, status(401))).http_status == 401
    assert login.seen == ["Bearer 1", "Bearer 2"]
    assert login.asked == 1


async def test_nothing_is_repeated_where_renewing_does_not_help(serve_routes):
    login = Login(0)
    assert (await ask_with(serve_routes, login, status(401), GOOD)).http_status == 401
    assert login.seen == ["Bearer 1"]


async def test_other_refusals_renew_nothing(serve_routes):
    login = Login(5)
    assert (await ask_with(serve_routes, login, status(403))).http_status == 403
    assert login.asked == 0


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://elsewhere.example:5000", "http://proxy.example:3128"),
        ("https://elsewhere.example", None),
        ("http://inside.example", None),
        ("http://127.0.0.1:5000", None),
        ("http://[::1]:5000", None),
        ("http://localhost", None),
    ],
)
def test_the_proxy_of_the_environment_stands_before_others_only(monkeypatch, url, proxy):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_for(url) == proxy
