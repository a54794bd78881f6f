"""On the way to a broker: certificates of an institution's own, and HTTP proxies."""

from __future__ import annotations

import asyncio
import base64

import pytest
from tests.authority import make_authority

from afield.broker.amqp import AmqpConnector
from afield.broker.amqp_tunnel import PROXY, Proxy
from afield.broker.base import Permissions
from afield.broker.embedded.server import EmbeddedBroker
from afield.broker.tls import CA_FILE
from afield.errors import BrokerUnreachable, ConfigurationError

pytestmark = pytest.mark.anyio


async def _everybody(_login, _password):
    return Permissions(".*", ".*", ".*")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An institution that signs its own certificates: its root, and a server's certificate and key."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def brokers(authority):
    """One broker behind TLS, one without."""
    safe, plain = EmbeddedBroker(_everybody), EmbeddedBroker(_everybody)
    ports = await safe.listen("localhost", 0, authority.for_server()), await plain.listen("127.0.0.1", 0)
    yield f"amqps://a:b@localhost:{ports[0]}/%2F", f"amqp://a:b@127.0.0.1:{ports[1]}/%2F"
    await safe.close()
    await plain.close()


class ConnectProxy:
    """An HTTP proxy that knows CONNECT.

    :param answer: what it says, if not that the way is open
    """

    def __init__(self, answer=b""):
        self.answer, self.asked, self.tasks = answer, [], set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        if self.answer:
            writer.write(self.answer)
            writer.close()
            return
        host, _, port = head.split()[1].rpartition(":")
        there, thither = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        await asyncio.gather(_pump(reader, thither), _pump(there, writer))


async def _pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def test_a_root_of_ones_own_is_believed_when_it_is_named(brokers, authority, monkeypatch):
    with pytest.raises(BrokerUnreachable, match=r"certificate verify failed.*AFIELD_CA_FILE=/path"):
        await AmqpConnector().connect(brokers[0])
    monkeypatch.setenv(CA_FILE, str(authority.root))
    connection = await AmqpConnector().connect(brokers[0])
    await connection.close()


@pytest.mark.parametrize("broken", ["absent", "key.pem"])
async def test_certificates_that_cannot_be_read_are_told(brokers, authority, monkeypatch, broken):
    monkeypatch.setenv(CA_FILE, str(authority.root.parent / broken))
    with pytest.raises(ConfigurationError, match=f"AFIELD_CA_FILE is .*{broken}, which cannot be read"):
        await AmqpConnector().connect(brokers[0])


async def test_a_proxy_opens_the_way(brokers, authority, monkeypatch):
    monkeypatch.setenv(CA_FILE, str(authority.root))
    async with ConnectProxy() as proxy:
        monkeypatch.setenv(PROXY, f"http://ada:s%20cret@127.0.0.1:{proxy.port}")
        for url in brokers:
            connection = await AmqpConnector().connect(url)
            await connection.close()
    login = base64.b64encode(b"ada:s cret").decode()
    assert all(f"Proxy-Authorization: Basic {login}" in head for head in proxy.asked)
    assert [head.split()[:2] for head in proxy.asked] == [
        ["CONNECT", url.rpartition("@")[2].partition("/")[0]] for url in brokers
    ]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"what?\r\n\r\n", b"HTTP/1.1 407 Who?"])
async def test_a_proxy_that_opens_no_way_says_why(brokers, monkeypatch, answer):
    async with ConnectProxy(answer) as proxy:
        monkeypatch.setenv(PROXY, f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(BrokerUnreachable, match=r"opens no way to 127\.0\.0\.1:.*amqp_port: 443"):
            await AmqpConnector().connect(brokers[1])


async def test_a_proxy_that_is_away_is_told(brokers, monkeypatch):
    monkeypatch.setenv(PROXY, "http://127.0.0.1:9")
    with pytest.raises(BrokerUnreachable):
        await AmqpConnector().connect(brokers[1])


@pytest.mark.parametrize("url", ["proxy:3128", "https://proxy", "http://", "http://x:port", "socks5://x"])
def test_a_proxy_that_is_none_is_told(url):
    with pytest.raises(ConfigurationError, match=f"{PROXY} should be like http://proxy"):
        Proxy(url)
