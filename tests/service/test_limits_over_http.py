"""Limits over real sockets: what is a repetition and what is meant twice, and how often one may ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from afield.service.api.edge import Edge
from afield.service.api.server import HttpServer
from afield.service.auth.tokens import BearerTokens
from afield.service.domain.people import ClientRecord, TokenKind
from afield.service.ports import bind
from afield.service.settings import Limits
from afield.service.store.memory import MemoryStore

from .conftest import World

pytestmark = pytest.mark.anyio

PAYLOAD = "2\nar2\nkw"


class SlowStore(MemoryStore):
    """Says when it is about to keep tasks, and does it when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.fails_after = False

    async def add_tasks(self, tasks, *rest, **said):
        self.asked.put_nowait(tasks[0].id)
        await self.go_on.wait()
        found = await super().add_tasks(tasks, *rest, **said)
        if self.fails_after:
            self.fails_after = False
            raise RuntimeError("the database was lost at the worst of moments")
        return found


class Site:
    def __init__(self, world: World, store: SlowStore, token: str, port: int) -> None:
        self.world, self.store, self.token, self.port = world, store, token, port

    async def send(self, path: str, body: object, method: str = "POST", **headers: str) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        raw = json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"authorization: Bearer {self.token}"]
        lines += ["content-type: application/json", f"content-length: {len(raw)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
        await writer.drain()
        return Client(reader, writer)

    async def ask(self, path: str, body: object, method: str = "POST", **headers: str) -> tuple[int, dict, dict]:
        return await (await self.send(path, body, method, **headers)).answer()

    async def count(self) -> int:
        return sum((await self.store.waiting_counts()).values())


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict, dict]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers["content-length"]))
        await self.cut()
        return int(head[0].split()[1]), json.loads(body), headers

    async def cut(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@pytest.fixture
def limits() -> Limits:
    return Limits(goodbye_s=0.2)


@pytest.fixture
async def site(limits: Limits) -> AsyncIterator[Site]:
    store = SlowStore()
    world = await World(store, limits).start()
    tokens = BearerTokens(store, world.clock)
    token = await tokens.issue(world.ada.id, "test", 3600.0, kind=TokenKind.SERVICE)
    bound = bind("127.0.0.1", 0)
    http = HttpServer(Edge(world.uses, tokens), bound, limits)
    await http.start()
    yield Site(world, store, token, bound.getsockname()[1])
    store.go_on.set()
    await http.stop()
    bound.close()
    await world.stop()


@pytest.fixture
async def submit(site: Site) -> tuple[str, dict]:
    """Where to, and what: nobody is at that endpoint, so everything waits."""
    function = {"function_name": "f", "function_code": "def f(): pass", "serialized": False}
    function_id = (await site.ask("/v3/functions", function))[1]["function_uuid"]
    endpoint_id = (await site.ask("/v3/endpoints", {"endpoint_name": "e"}))[1]["endpoint_id"]
    return f"/v3/endpoints/{endpoint_id}/submit", {"tasks": {function_id: [PAYLOAD]}, "create_queue": True}


async def noticed(site: Site) -> None:
    """The service has seen that somebody who waited for an answer is gone."""
    while not site.world.uses.repeats.strayed:
        await asyncio.sleep(0)


async def test_equal_submits_that_were_answered_run_twice(site, submit):
    answers = [await site.ask(*submit) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200] * 3
    assert len({answer["task_group_id"] for _, answer, _ in answers}) == 3
    assert await site.count() == 3


async def test_equal_submits_at_the_same_moment_run_twice(site, submit):
    site.store.go_on.clear()
    clients = [await site.send(*submit) for _ in range(2)]
    ids = {await site.store.asked.get(), await site.store.asked.get()}
    site.store.go_on.set()
    answers = [await client.answer() for client in clients]
    assert {next(iter(answer["tasks"].values()))[0] for _, answer, _ in answers} == ids
    assert await site.count() == 2


async def test_one_that_was_cut_off_and_comes_again_runs_once(site, submit):
    site.store.go_on.clear()
    first = await site.send(*submit)
    task_id = await site.store.asked.get()
    await first.cut()
    await noticed(site)
    again = await site.send(*submit)  # while the first is under way
    await site.store.asked.get()
    site.store.go_on.set()
    status, answer, _ = await again.answer()
    assert (status, list(answer["tasks"].values())) == (200, [[task_id]])
    assert await site.count() == 1
    assert (await site.ask(*submit))[0] == 200  # that one was answered: the next is meant
    assert await site.count() == 2


async def test_one_that_was_cut_off_comes_again_when_it_is_done(site, submit):
    site.store.go_on.clear()
    first = await site.send(*submit)
    task_id = await site.store.asked.get()
    await first.cut()
    await noticed(site)
    site.store.go_on.set()
    while not await site.count():
        await asyncio.sleep(0)
    _, answer, _ = await site.ask(*submit)
    assert list(answer["tasks"].values()) == [[task_id]]
    assert await site.count() == 1


async def test_another_body_is_another_submit(site, submit):
    path, body = submit
    site.store.go_on.clear()
    first = await site.send(path, body)
    await site.store.asked.get()
    await first.cut()
    await noticed(site)
    site.store.go_on.set()
    assert (await site.ask(path, body | {"create_queue": False}))[0] == 200
    while await site.count() < 2:
        await asyncio.sleep(0)


async def test_an_error_of_the_service_after_the_commit_runs_once(site, submit):
    site.store.fails_after = True
    status, _, _ = await site.ask(*submit)
    task_id = site.store.asked.get_nowait()
    assert status == 500
    status, answer, _ = await site.ask(*submit)
    assert (status, list(answer["tasks"].values())) == (200, [[task_id]])
    assert await site.count() == 1


class TestRate:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(requests_per_s=0.01, requests_burst=3)

    async def test_who_asks_too_often_is_told_when_to_ask_again(self, site):
        answers = [await site.ask("/v2/endpoints", None, "GET") for _ in range(4)]
        assert [status for status, _, _ in answers] == [200, 200, 200, 429]
        _, said, headers = answers[-1]
        assert (said["code"], said["http_status_code"]) == ("TOO_MANY_REQUESTS", 429)
        assert 0 < int(headers["retry-after"]) <= 100
        assert f"in {headers['retry-after']} s" in said["detail"]

    async def test_what_is_open_to_everybody_is_not_counted(self, site):
        assert {(await site.ask("/v2/version", None, "GET"))[0] for _ in range(10)} == {200}


class TestWhatOnePersonMayMake:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(clients_per_person=2, tokens_per_person=2, groups_per_person=2, endpoints_per_person=2)

    @pytest.mark.parametrize(
        ("what", "wish"), [("clients", {"name": "robot"}), ("tokens", {"label": "laptop"}), ("groups", {"name": "lab"})]
    )
    async def test_so_many_and_one_more_when_one_is_gone(self, site, what, wish):
        made = [await site.ask(f"/afield/v1/{what}", wish) for _ in range(3)]
        assert [status for status, _, _ in made] == [200, 200, 409]
        said = made[-1][1]
        assert (said["code"], said["http_status_code"]) == (f"TOO_MANY_{what.upper()}", 409)
        assert f"one person {'manage' if what == 'groups' else 'have'} 2 {what}" in said["detail"]
        listed = (await site.ask(f"/afield/v1/{what}", None, "GET"))[1][what]
        assert len(listed) == 2
        assert (await site.ask(f"/afield/v1/{what}/{listed[0]['id']}", None, "DELETE"))[0] == 200
        assert (await site.ask(f"/afield/v1/{what}", wish))[0] == 200

    @pytest.mark.parametrize(
        ("what", "wish"), [("clients", {"name": "robot"}), ("tokens", {"label": "laptop"}), ("groups", {"name": "lab"})]
    )
    async def test_however_many_ask_at_once(self, site, what, wish):
        answers = await asyncio.gather(*(site.ask(f"/afield/v1/{what}", wish) for _ in range(6)))
        assert {status for status, _, _ in answers} <= {200, 409}
        listed = (await site.ask(f"/afield/v1/{what}", None, "GET"))[1][what]
        assert len(listed) == [status for status, _, _ in answers].count(200) <= 2

    async def test_endpoints_too_and_one_that_comes_again_is_not_one_more(self, site):
        said = {"endpoint_name": "lab", "metadata": {"hostname": "lab", "local_user": "ada"}}
        made = [await site.ask("/v3/endpoints", said) for _ in range(3)]
        assert [status for status, _, _ in made] == [200, 200, 409]
        assert made[-1][1]["code"] == "TOO_MANY_ENDPOINTS"
        first = made[0][1]["endpoint_id"]
        assert (await site.ask(f"/v3/endpoints/{first}", said, "PUT"))[0] == 200
        assert (await site.ask(f"/v2/endpoints/{first}", None, "DELETE"))[0] == 200
        assert (await site.ask("/v3/endpoints", said))[0] == 200
        assert len((await site.ask("/v2/endpoints", None, "GET"))[1]) == 2

    async def test_a_token_that_has_expired_does_not_count(self, site):
        wish = {"label": "brief", "lifetime_s": 60.0}
        assert [(await site.ask("/afield/v1/tokens", wish))[0] for _ in range(3)] == [200, 200, 409]
        site.world.clock.advance(61.0)
        assert (await site.ask("/afield/v1/tokens", wish))[0] == 200

    async def test_a_second_identity_of_a_person_adds_nothing(self, site):
        people, ada, bob = site.store.people, site.world.ada.identity, site.world.bob.identity
        for one in (ada, bob):
            await people.put_identity(msgspec.structs.replace(one, person_id=ada.id))
        await people.put_client(ClientRecord("c" * 8, "bob's", bob.id, 1.0))
        assert [(await site.ask("/afield/v1/clients", {"name": "x"}))[0] for _ in range(2)] == [200, 409]
