"""`afield forward`, between real sockets: a service behind TLS of its own institution, and programs of this machine."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress

import aiohttp
import pytest
from aiohttp import web
from tests.interop.port import PATIENCE_S, clean_environment
from yarl import URL

from afield.broker.tls import CA_FILE
from afield.cli.forward.listening import loopback
from afield.cli.forward.passing import Count, passing
from afield.errors import ConfigurationError

pytestmark = pytest.mark.anyio

LARGE = 64 << 20
PIECE = b"x" * (1 << 20)


class Service:
    """Says what it was asked, or what a test wants it to do."""

    def __init__(self) -> None:
        self.asked: list[web.BaseRequest] = []
        self.handler = self.tell
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        return await self.handler(request)

    async def tell(self, request: web.BaseRequest) -> web.StreamResponse:
        body = (await request.read()).decode()
        said = {"target": request.raw_path, "method": request.method, "body": body, "headers": dict(request.headers)}
        return web.json_response(said, headers={"X-Twice": "1", "Set-Cookie": "a=1"})


@pytest.fixture
async def service(authority):
    one = Service()
    runner = web.ServerRunner(web.Server(one.answer, access_log=None, auto_decompress=False), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=authority.for_server())
    await site.start()
    one.url = f"https://localhost:{runner.addresses[0][1]}"
    one.stop = runner.cleanup
    yield one
    await runner.cleanup()


class Way:
    def __init__(self, port: int, count: Count, http: aiohttp.ClientSession) -> None:
        self.port, self.count, self.http = port, count, http
        self.url = f"http://localhost:{port}"

    async def raw(self, said: bytes) -> bytes:
        """What comes back, until the connection's end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(said)
        with closing(writer):
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()


@pytest.fixture
async def way(service, authority, monkeypatch):
    monkeypatch.setenv(CA_FILE, str(authority.root))
    listening = loopback(0)
    count = Count(lambda: None)
    port = listening[0].getsockname()[1]
    async with passing(service.url, listening, count), aiohttp.ClientSession(auto_decompress=False) as http:
        yield Way(port, count, http)


async def test_a_request_and_its_answer_come_through_as_they_are(way, service):
    target = "/v3/endpoints/%2F?a=b%20c&d=%C3%A4"
    headers = {"Authorization": "Bearer x", "Content-Type": "application/json", "Origin": way.url}
    async with way.http.post(URL(way.url + target, encoded=True), data=b'{"a": 1}', headers=headers) as answer:
        said = await answer.json()
        assert (answer.headers["X-Twice"], answer.headers["Set-Cookie"]) == ("1", "a=1")
    assert (said["method"], said["body"]) == ("POST", '{"a": 1}')
    assert said["headers"]["Host"] == service.url.removeprefix("https://")
    assert said["headers"]["Origin"] == service.url
    assert said["headers"]["Authorization"] == "Bearer x"
    assert said["headers"]["Content-Length"] == "8"
    raw = await way.raw(
        b"GET %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % (target.encode(), way.port)
    )
    said = json.loads(raw.partition(b"\r\n\r\n")[2])
    assert said["target"] == target
    # Nothing was added that nobody said.
    assert set(said["headers"]) == {"Host"}
    assert way.count.requests == 2
    assert way.count.under_way == 0


async def test_what_is_compressed_stays_so(way, service):
    async def handler(_request):
        return web.Response(body=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})

    service.handler = handler
    async with way.http.get(way.url) as answer:
        assert gzip.decompress(await answer.read()) == b"hello"

    async def received(request):
        return web.json_response(len(await request.read()))

    service.handler = received
    packed = gzip.compress(b"hello")
    async with way.http.post(way.url, data=packed, headers={"Content-Encoding": "gzip"}) as answer:
        assert await answer.json() == len(packed)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_answers_without_a_body(way, service, method):
    async def handler(request):
        return web.Response(status=204) if request.method == "GET" else web.Response(headers={"Content-Length": "7"})

    service.handler = handler
    async with way.http.request(method, way.url) as answer:
        assert (answer.status, await answer.read()) == (204 if method == "GET" else 200, b"")


async def test_whoever_is_sent_on_stays_on_this_way(way, service):
    async def handler(_request):
        return web.Response(status=302, headers={"Location": f"{service.url}/there"})

    service.handler = handler
    async with way.http.get(f"{way.url}/here", allow_redirects=False) as answer:
        assert answer.headers["Location"] == f"{way.url}/there"


async def test_large_bodies_flow_both_ways_and_are_not_kept(way, service):
    async def handler(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        async for piece in request.content.iter_chunked(1 << 16):
            await answer.write(piece)
        return answer

    async def body():
        for _ in range(LARGE // len(PIECE)):
            yield PIECE

    service.handler = handler
    size = 0
    async with asyncio.timeout(PATIENCE_S), way.http.post(way.url, data=body()) as answer:
        async for piece in answer.content.iter_chunked(1 << 16):
            size += len(piece)
    assert size == LARGE


async def test_whoever_reads_slowly_is_sent_to_slowly(way, service):
    sent = 0
    stuck = asyncio.Event()

    async def handler(request):
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        with suppress(ConnectionError):
            while sent < LARGE:
                waiting = asyncio.ensure_future(answer.write(PIECE))
                done, _ = await asyncio.wait([waiting], timeout=0.5)
                if not done:
                    stuck.set()
                await waiting
                sent += len(PIECE)
        return answer

    service.handler = handler
    async with asyncio.timeout(PATIENCE_S), way.http.get(way.url) as answer:
        await stuck.wait()  # nobody has read, and it was told to wait
        assert sent < LARGE
        size = 0
        async for piece in answer.content.iter_chunked(1 << 16):
            size += len(piece)
    assert size == LARGE


async def test_whoever_waits_before_sending_a_body_is_told_to_go_on(way):
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    with closing(writer):
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n" % way.port
        )
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert await reader.readline() == b"\r\n"
            writer.write(b"hi")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "said",
    [
        b"Host: evil.example\r\n",
        b"Host: evil.example:5000\r\n",
        b"Host: localhost:%d\r\nOrigin: https://evil.example\r\n",
        b"Host: localhost:%d\r\nOrigin: null\r\n",
    ],
)
async def test_pages_of_other_sites_do_not_get_through(way, service, said):
    said = said.replace(b"%d", str(way.port).encode())
    raw = await way.raw(b"GET /v2/version HTTP/1.1\r\n%sConnection: close\r\n\r\n" % said)
    assert raw.startswith(b"HTTP/1.1 403 ")
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["code"] == "NOT_PASSED_ON"
    assert service.asked == []


@pytest.mark.parametrize("target", [b"@evil.example/", b":1@evil.example/x", b"*", b"evil.example:443", b"http:evil"])
async def test_what_is_no_path_leads_nowhere(way, service, target):
    raw = await way.raw(b"GET %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % (target, way.port))
    assert raw.partition(b"\r\n")[0].partition(b" ")[2].startswith(b"400 "), raw
    assert service.asked == []


async def test_nobody_gets_a_tunnel(way, service):
    for target in (b"/v2/version", b"localhost:%d" % way.port, b"evil.example:443"):
        raw = await way.raw(
            b"CONNECT %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % (target, way.port)
        )
        assert raw.startswith(b"HTTP/1.1 400 "), raw
    assert service.asked == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "BadHttpMessage"),
        (b"Content-Length: 4\r\nContent-Length: 5\r\n", "BadHttpMessage"),
        (b"Host: evil.example\r\n", "BadHttpMessage"),
        (b"Authorization : Bearer s3cret\r\n", "BadHttpMessage"),
        (b"X: a\rY: b\r\n", "BadHttpMessage"),
        (b"X: %s\r\n" % (b"s3cret" * 20_000), "LineTooLong"),
    ],
)
async def test_what_is_no_request_is_told_in_one_line_and_not_passed_on(way, service, caplog, said, kind):
    raw = await way.raw(b"POST / HTTP/1.1\r\nHost: localhost:%d\r\n%s\r\n0\r\n\r\n" % (way.port, said))
    assert raw.startswith(b"HTTP/1.0 400 "), raw
    assert f"no HTTP request ({kind})" in way.count.trouble
    assert "\n" not in way.count.trouble
    assert "s3cret" not in way.count.trouble
    assert [one.message for one in caplog.records] == []
    assert service.asked == []


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: a\x1bb\r\n",
        b"HTTP/1.1 200 \x1b[31m\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: odd\r\n",
    ],
)
async def test_an_answer_with_an_impossible_head_is_told_as_the_services(way, service, caplog, head):
    async def handler(request):
        request.transport.write(head + b"Content-Length: 2\r\n\r\nok")
        request.transport.close()
        return web.Response()

    service.handler = handler
    async with way.http.get(way.url) as answer:
        assert (answer.status, (await answer.json())["code"]) == (502, "SERVICE_UNREACHABLE")
    assert service.url in way.count.trouble
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []


async def test_whoever_asks_as_of_a_proxy_reaches_the_service_and_no_other(way, service):
    raw = await way.raw(
        b"GET http://evil.example/v2/version?a=b HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % way.port
    )
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["target"] == "/v2/version?a=b"


async def test_a_service_that_is_away_is_told_in_the_published_form(way, service):
    await service.stop()
    async with way.http.get(f"{way.url}/v2/version") as answer:
        body = await answer.json()
    assert (answer.status, body["http_status_code"], body["code"]) == (502, 502, "SERVICE_UNREACHABLE")
    assert f"cannot reach the service at {service.url}" in body["reason"]
    assert body["status"] == "Failed"
    assert way.count.trouble == body["reason"]


async def test_a_certificate_that_nobody_knows_is_told_as_such(service, monkeypatch):
    monkeypatch.delenv(CA_FILE, raising=False)
    listening = loopback(0)
    url = f"http://localhost:{listening[0].getsockname()[1]}"
    async with (
        passing(service.url, listening, Count(lambda: None)),
        aiohttp.ClientSession() as http,
        http.get(url) as answer,
    ):
        assert answer.status == 502
        assert f"{CA_FILE}=/path/to/ca.pem" in (await answer.json())["reason"]
    assert service.asked == []


async def test_an_answer_that_breaks_off_breaks_off_here_too(way, service):
    async def handler(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"half of it")
        request.transport.abort()
        return answer

    service.handler = handler
    with pytest.raises(aiohttp.ClientPayloadError):
        async with way.http.get(way.url) as answer:
            await answer.read()


async def test_only_this_machine_is_listened_to(way):
    addresses = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await asyncio.open_connection(address, way.port)


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_proxy_that_refuses_is_told_without_its_password(is_tls, monkeypatch):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    scheme = "https" if is_tls else "http"
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv(f"{scheme}_proxy", f"http://ada:s3cret@127.0.0.1:{port}")
        said, status, trouble = await asked_through(f"{scheme}://compute.example.org")
    assert (status, "s3cret" in said) == (502, False)
    assert "the proxy on the way there refuses it with 407" in trouble


async def test_a_proxy_without_an_address_is_told_without_its_password(monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", "http://ada:s3cret@proxy:99999")
    said, status, trouble = await asked_through("https://compute.example.org")
    assert (status, "s3cret" in said) == (502, False)
    assert "https_proxy" in trouble


async def asked_through(service):
    """What a request through a new way brings back, all that was told about it among it."""
    listening, count = loopback(0), Count(lambda: None)
    url = f"http://localhost:{listening[0].getsockname()[1]}/v2/version"
    async with passing(service, listening, count), aiohttp.ClientSession() as http, http.get(url) as answer:
        return f"{await answer.text()} {count.trouble}", answer.status, count.trouble


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 2\xff00 OK\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: s3cret\r\n"]
)
async def test_an_answer_that_is_none_is_told_in_one_line_without_what_was_asked_or_said(way, service, head):
    async def handler(request):
        request.transport.write(head)
        request.transport.close()
        return web.Response()

    service.handler = handler
    async with way.http.get(f"{way.url}/v2/oauth2/authorize?state=s3cret") as answer:
        assert (answer.status, "s3cret" in await answer.text()) == (502, False)
    assert "s3cret" not in way.count.trouble
    assert way.count.trouble.isprintable()
    assert re.search("its answer is no HTTP|it hung up", way.count.trouble)


async def test_of_two_that_want_a_port_at_the_same_moment_one_is_told(service):
    first = loopback(0)  # nobody serves it yet
    try:
        with pytest.raises(ConfigurationError, match="is in use"):
            loopback(first[0].getsockname()[1])
    finally:
        for one in first:
            one.close()


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = rf"port {port} is in use by .*\(process \d+\): end that, or choose another port"
        with pytest.raises(ConfigurationError, match=told):
            loopback(port)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_localhost_means_this_program_by_both_of_its_addresses_or_by_none():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="is in use"):
            loopback(port)
        with socket.create_server(("127.0.0.1", port)):
            pass  # nothing was left behind


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_runs_until_somebody_ends_it(options, tmp_path):
    # Any free port is not that of a service at the port of HTTP.
    command = [sys.executable, "-m", "afield", "forward", "--port", "0", "--service", "http://127.0.0.1", *options]
    environment = clean_environment(AFIELD_USER_DIR=str(tmp_path))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, err
    assert "Traceback" not in err
    if options:
        assert json.loads(first)["service"] == "http://127.0.0.1"
        assert json.loads(out) == {"requests": 0, "trouble": None}
    else:
        assert first.startswith("Ready. http://localhost:")
        assert out == "Stopped, after 0 requests.\n"
    assert "at port 5000 only" in err


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("http://localhost:5000", "nothing needs to be passed on"),
        ("https://compute.example.org/below/", "such as https://compute.example.org"),
        ("https://compute.example.org?a=b", "is an address within a service"),
        ("compute.example.org", "is not the address of a service"),
    ],
)
def test_a_service_to_which_there_is_no_way_is_told(service, why, tmp_path):
    command = [sys.executable, "-m", "afield", "forward", "--service", service]
    environment = clean_environment(AFIELD_USER_DIR=str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert why in done.stderr
