"""What is sent to the HTTP edge by clients that are broken, slow or ill-meaning, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx2
import pytest

from afield.service.app import Running, Service
from afield.service.settings import Limits, Settings

pytestmark = pytest.mark.anyio

NOWHERE = "01900000-0000-7000-8000-000000000000"
FUNCTION = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}


@asynccontextmanager
async def serving(tmp_path, **limits) -> AsyncIterator[Running]:
    service = Service()
    running = await service.start(
        Settings(data_dir=tmp_path / "data", port=0, amqp_port=0, database="memory:", limits=Limits(**limits))
    )
    try:
        yield running
    finally:
        await service.stop()


@pytest.fixture
async def running(tmp_path) -> AsyncIterator[Running]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def http(running) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {running.token}"}
    async with httpx2.AsyncClient(
        base_url=running.service_url, headers=headers, trust_env=False, verify=False
    ) as client:
        yield client


class Raw:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self.reader, self.writer, self.token = reader, writer, token

    @classmethod
    async def open(cls, running: Running) -> Raw:
        parts = urlsplit(running.service_url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port), running.token)

    async def send(self, data: bytes) -> None:
        self.writer.write(data.replace(b"TOKEN", self.token.encode()))
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def refusal(self, status: int, code: str) -> str:
        """The answer has the published body of an error."""
        said, headers, content = await self.answer()
        body = json.loads(content)
        assert (said, body["code"], body["http_status_code"]) == (status, code, status), body
        assert headers["content-type"] == "application/json"
        assert headers["x-request-id"]
        assert body["status"] == "Failed"
        assert body["detail"] == body["reason"]
        return body["detail"]

    async def over(self) -> bytes:
        """All that still comes until the connection ends."""
        rest = await self.reader.read()
        self.writer.close()
        return rest


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\x00\x01\x02\x03\r\n\r\n",
        b"NONSENSE / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"AMQP\x00\x00\x09\x01",
        b"GET /v2/version HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET /v2/version HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET /v2/version HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST /v2/batch_status HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"GET /v2/version HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_told_so(running, request_bytes):
    one = await Raw.open(running)
    await one.send(request_bytes)
    assert "no HTTP/1.1 request" in await one.refusal(400, "REQUEST_MALFORMED")
    assert await one.over() == b""


async def test_garbage_behind_a_request_does_not_spoil_its_answer(running):
    one = await Raw.open(running)
    await one.send(b"GET /v2/version HTTP/1.1\r\n\r\n\x00\x01garbage\r\n\r\n")
    status, _, body = await one.answer()
    assert (status, json.loads(body)) == (200, "1.0.0")
    assert await one.over() == b""


async def test_pipelined_requests_are_answered_in_order(running):
    one = await Raw.open(running)
    await one.send(b"GET /v2/version HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\n\r\n")
    assert [(await one.answer())[0] for _ in range(3)] == [200, 200, 401]
    one.writer.close()


async def test_a_chunked_body_that_breaks_off_in_garbage(running):
    one = await Raw.open(running)
    await one.send(
        b"POST /v2/batch_status HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5\r\n{"tas\r\nzz\r\nmore'
    )
    await one.refusal(400, "REQUEST_MALFORMED")
    assert await one.over() == b""


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 5_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 5_000, b"A" * 5_000])
@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\n\r\n"])
async def test_a_head_without_end(tmp_path, head, end):
    """It is refused while it comes; it does not pile up in memory."""
    async with serving(tmp_path, head_bytes=4096) as running:
        one = await Raw.open(running)
        await one.send(head + end)
        status, _, body = await one.answer()
        assert (status, json.loads(body)["code"]) in [(431, "REQUEST_HEAD_TOO_LARGE"), (400, "REQUEST_MALFORMED")]
        one.writer.close()


async def test_many_small_headers(tmp_path):
    async with serving(tmp_path, head_bytes=4096) as running:
        one = await Raw.open(running)
        await one.send(b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(500)) + b"\r\n")
        await one.refusal(431, "REQUEST_HEAD_TOO_LARGE")
        assert await one.over() == b""


async def test_a_large_body_with_its_head_is_no_large_head(tmp_path):
    async with serving(tmp_path, head_bytes=4096) as running:
        one = await Raw.open(running)
        body = json.dumps({"task_ids": [NOWHERE] * 500}).encode()
        await one.send(
            b"POST /v2/batch_status HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        assert (await one.answer())[0] == 200
        one.writer.close()


class TestSlowClients:
    """Their times are bounded; who waits here waits for the service to act."""

    async def test_a_head_that_does_not_end(self, tmp_path):
        async with serving(tmp_path, head_s=0.2) as running:
            one = await Raw.open(running)
            await one.send(b"GET /v2/version HTTP/1.1\r\nX-Slow: ")
            assert "0.2 s" in await one.refusal(408, "REQUEST_TIMEOUT")
            assert await one.over() == b""

    async def test_a_connection_without_a_word(self, tmp_path):
        async with serving(tmp_path, head_s=0.2) as running:
            one = await Raw.open(running)
            assert await one.over() == b""

    async def test_a_second_head_that_does_not_end(self, tmp_path):
        async with serving(tmp_path, head_s=0.2) as running:
            one = await Raw.open(running)
            await one.send(b"GET /health HTTP/1.1\r\n\r\n")
            assert (await one.answer())[0] == 200
            await one.send(b"GET /health HTTP/1.1\r\nX")
            await one.refusal(408, "REQUEST_TIMEOUT")
            assert await one.over() == b""

    async def test_a_body_that_does_not_come(self, tmp_path):
        async with serving(tmp_path, body_s=0.2) as running:
            one = await Raw.open(running)
            await one.send(
                b"POST /v3/functions HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 1000\r\n\r\n{"
            )
            assert "too slowly" in await one.refusal(408, "REQUEST_TIMEOUT")
            assert await one.over() == b""

    async def test_a_body_byte_by_byte(self, tmp_path):
        """Each byte in time, and yet too slow: it would take days."""
        async with serving(tmp_path, body_s=0.3) as running:
            one = await Raw.open(running)
            await one.send(
                b"POST /v3/functions HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 9999\r\n\r\n"
            )
            drip = asyncio.ensure_future(self._drip(one))
            await one.refusal(408, "REQUEST_TIMEOUT")
            drip.cancel()
            one.writer.close()

    @staticmethod
    async def _drip(one: Raw) -> None:
        while True:
            await one.send(b"a")
            await asyncio.sleep(0.1)  # the slowness itself

    async def test_others_are_served_meanwhile(self, tmp_path):
        async with serving(tmp_path, head_s=30, connections=400) as running:
            slow = [await Raw.open(running) for _ in range(300)]
            for one in slow:
                await one.send(b"GET / HTTP/1.1\r\nX: ")
            async with httpx2.AsyncClient(base_url=running.service_url, trust_env=False, verify=False) as nobody:
                assert (await nobody.get("/health")).status_code == 200
            for one in slow:
                one.writer.close()

    async def test_more_connections_than_there_may_be(self, tmp_path):
        async with serving(tmp_path, connections=3) as running:
            held = [await Raw.open(running) for _ in range(3)]
            for one in held:  # each is known to be open on the other side
                await one.send(b"GET /health HTTP/1.1\r\n\r\n")
                assert (await one.answer())[0] == 200
            late = await Raw.open(running)
            await late.refusal(503, "TOO_MANY_CONNECTIONS")
            assert await late.over() == b""
            held[0].writer.close()
            while True:  # until the service has seen that one is gone
                again = await Raw.open(running)
                await again.send(b"GET /health HTTP/1.1\r\n\r\n")
                if (await again.answer())[0] == 200:
                    break
                again.writer.close()
            for one in (*held, again):
                one.writer.close()

    async def test_a_client_that_goes_in_the_middle_of_its_body(self, running, http, caplog):
        one = await Raw.open(running)
        await one.send(b"POST /v3/functions HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 1000\r\n\r\n{")
        one.writer.close()
        await one.writer.wait_closed()
        assert (await http.get("/health")).status_code == 200
        assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


class TestBodies:
    @pytest.mark.parametrize(
        "kind",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
         "application/json; charset=latin-1", "application/json; charset=utf-16", "\x7f;;=;", "application/jsonp"],
    )  # fmt: skip
    async def test_other_kinds_than_json(self, http, kind):
        answer = await http.post("/v3/functions", content=json.dumps(FUNCTION), headers={"Content-Type": kind})
        assert answer.status_code in {400, 415}
        if answer.status_code == 415:
            assert answer.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"

    @pytest.mark.parametrize(
        "kind", ["application/json", "Application/JSON; Charset=UTF-8", "application/vnd.afield+json", ""]
    )
    async def test_json_by_any_of_its_names(self, http, kind):
        answer = await http.post("/v3/functions", content=json.dumps(FUNCTION), headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text

    async def test_compressed_bodies_are_not_read(self, http):
        answer = await http.post("/v3/functions", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")

    @pytest.mark.parametrize(
        "body",
        [b'{"function_name": "\xff\xfe", "function_code": "x"}', b'{"function_name": "\\ud800", "function_code": "x"}',
         b'{"function_name": "f\\u0000", "function_code": "x"}', b'\xef\xbb\xbf{"function_name": "f"}',
         '{"function_name": "f"}'.encode("utf-16"), b'{"function_name": "f", "function_code": "x"} trailing',
         b'{"function_name": NaN, "function_code": "x"}', b"{" * 100_000, b'{"metadata": ' + b"[" * 100_000],
    )  # fmt: skip
    async def test_bytes_that_are_no_text_and_text_that_is_no_json(self, http, body):
        answer = await http.post("/v3/functions", content=body)
        assert answer.status_code in {400, 422}, answer.text
        assert answer.json()["code"] in {"REQUEST_MALFORMED", "SEMANTICALLY_INVALID"}

    async def test_a_huge_body_is_refused_by_what_it_says_of_itself(self, running):
        one = await Raw.open(running)
        await one.send(
            b"POST /v3/functions HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 99999999999\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert "at most" in await one.refusal(413, "BATCH_RUN_TOO_LARGE")
        assert await one.over() == b""

    async def test_a_huge_body_is_refused_while_it_comes(self, tmp_path):
        async with serving(tmp_path, request_bytes=100_000) as running:
            one = await Raw.open(running)
            await one.send(
                b"POST /v3/functions HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            await one.send(b"C351\r\n" + b"a" * 50_001 + b"\r\n" + b"C351\r\n" + b"a" * 50_001 + b"\r\n")
            await one.refusal(413, "BATCH_RUN_TOO_LARGE")
            one.writer.close()


class TestAnswers:
    async def test_each_has_the_id_of_its_request(self, http):
        one, two = await http.get("/health"), await http.get("/health")
        assert one.headers["x-request-id"] != two.headers["x-request-id"]
        named = await http.get("/nowhere", headers={"X-Request-ID": "front-7.a_b"})
        assert named.headers["x-request-id"] == "front-7.a_b"

    @pytest.mark.parametrize("name", ["a b", "a" * 65, "a\tb", "é", ""])
    async def test_an_id_that_could_confuse_a_log_is_replaced(self, http, name):
        answer = await http.get("/health", headers={"X-Request-ID": name.encode("latin-1")})
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] != name

    async def test_another_method_is_told_which_ones_there_are(self, http):
        answer = await http.request("PATCH", "/v2/batch_status")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    async def test_head_is_get_without_a_body(self, http):
        answer = await http.head("/health")
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0

    @pytest.mark.parametrize("path", ["/v2/tasks/%00", "/v2/tasks/%FF", "/v2/tasks/..%2f..", "/v2/tasks/" + "9" * 900])
    async def test_ids_that_are_none(self, http, path):
        answer = await http.get(path)
        assert answer.status_code in {400, 404}
        assert answer.json()["status"] == "Failed"

    @pytest.mark.parametrize("token", ["x", "é", "a" * 5000, "a b"])
    async def test_tokens_that_nobody_was_given(self, running, token):
        async with httpx2.AsyncClient(base_url=running.service_url, trust_env=False, verify=False) as nobody:
            answer = await nobody.get("/v2/endpoints", headers={"Authorization": f"Bearer {token}".encode("latin-1")})
        assert answer.status_code in {400, 401}
        assert answer.json()["status"] == "Failed"

    async def test_what_is_too_large_can_be_known_before(self, http):
        limits = (await http.get("/v2/version", params={"service": "all"})).json()["limits"]
        assert limits == {
            "payload_bytes": 10_000_000,
            "function_bytes": 10_000_000,
            "request_bytes": 256_000_000,
            "submit_tasks": 10_000,
        }
