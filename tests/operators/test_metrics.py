"""The service in numbers, as Prometheus reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from afield.broker.base import QueueSpec
from afield.broker.memory import MemoryBroker
from afield.ids import new_id
from afield.service.app import Service
from afield.service.auth.tokens import digest_of
from afield.service.clock import HandClock
from afield.service.domain.names import HEARTBEATS, RESULTS
from afield.service.domain.people import IdentityRecord, TokenKind, TokenRecord
from afield.service.domain.records import WaitingTasks
from afield.service.operate.meter import Meter
from afield.service.operate.metrics import Metrics
from afield.service.operate.tally import Tally
from afield.service.settings import Settings
from afield.service.store.memory import MemoryStore
from afield.states import TaskState
from afield.wire.messages import ErrorDetails, Result

pytestmark = pytest.mark.anyio


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples, by name and labels, as Prometheus' own parser reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return read(text)[name, tuple(sorted(labels.items()))]


class TestTally:
    def test_a_bound_belongs_to_what_is_below_it(self):
        tally = Tally((1.0, 2.0))
        for seconds in (0.5, 1.0, 1.5, 2.0, 99.0):
            tally.observe(seconds)
        assert list(tally.cumulative()) == [(1.0, 2), (2.0, 4), (float("inf"), 5)]
        assert (tally.count, tally.total) == (5, 104.0)

    def test_a_clock_that_was_set_back(self):
        tally = Tally((1.0,))
        tally.observe(-5.0)
        assert (tally.count, tally.total) == (1, 0.0)


class TestMeter:
    async def test_results_are_counted_once_they_are_safe(self):
        clock, safe = HandClock(), asyncio.Event()
        meter = Meter(clock)

        async def take(_results) -> None:
            await safe.wait()

        made = f"{int((clock.now() - 7) * 1000):012x}"
        task_id = f"{made[:8]}-{made[8:]}-7abc-8def-0123456789ab"
        results = [
            ("e", Result(task_id, b"")),
            ("e", Result(task_id, b"", error=ErrorDetails("TaskCancelled", "x"))),
            ("e", Result(task_id, b"", error=ErrorDetails("RemoteExecutionError", "x"))),
            ("e", Result("no UUID that tells a time", b"")),
            ("e", Result("6ba7b810-9dad-41d1-80b4-00c04fd430c8", b"")),
        ]
        taking = asyncio.ensure_future(meter.counting(take)(results))
        await asyncio.sleep(0)
        assert meter.tasks["success"].count == 0
        safe.set()
        await taking
        assert {outcome: tally.count for outcome, tally in meter.tasks.items()} == {
            "success": 1, "failed": 1, "cancelled": 1
        }  # fmt: skip
        assert meter.tasks["success"].total == pytest.approx(7, abs=0.01)

    async def test_results_that_could_not_be_kept_are_not_counted(self):
        meter = Meter(HandClock())

        async def take(_results) -> None:
            raise OSError

        with pytest.raises(OSError):
            await meter.counting(take)([("e", Result(new_id(), b""))])
        assert meter.tasks["success"].count == 0


class CountedStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.looks, self.found = 0, list[WaitingTasks]()

    async def waiting_by_state(self):
        self.looks += 1
        return self.found


class TestThrift:
    """Counting what waits costs time; a count that took long is used for longer."""

    async def metrics(self, store, elapsed) -> Metrics:
        broker = MemoryBroker()
        for queue in (RESULTS, HEARTBEATS):
            await broker.declare_queue(QueueSpec(queue))
        clock = HandClock()
        connection = await broker.connect("memory://service")
        return Metrics("1.2.3", store, connection, meter=Meter(clock), clock=clock, elapsed=elapsed)

    async def test_a_long_look_is_not_repeated_at_once(self):
        store, moments = CountedStore(), iter([0.0, 2.0, 50.0, 101.9, 102.1, 102.1, 102.2, 102.2])
        metrics = await self.metrics(store, lambda: next(moments))
        for expected in (1, 1, 1, 2, 3):
            await metrics.text({"store": None, "broker": None})
            assert store.looks == expected

    async def test_of_a_part_that_is_not_well_nothing_is_asked(self):
        store = CountedStore()
        metrics = await self.metrics(store, lambda: 0.0)
        text = (await metrics.text({"store": "no answer", "broker": "closed"})).decode()
        assert store.looks == 0
        assert value(text, "afield_part_healthy", part="store") == 0
        assert ("afield_tasks", (("state", "running"),)) not in read(text)
        assert value(text, "afield_build_info", version="1.2.3", python=text.split('python="')[1].split('"')[0]) == 1

    async def test_only_the_longest_queues_are_shown_one_by_one(self):
        """However many endpoints there are: each line is kept by whoever collects them."""
        store = CountedStore()
        store.found = [WaitingTasks(new_id(), TaskState.WAITING_FOR_ENDPOINT, count, 0.0) for count in range(1, 200)]
        metrics = await self.metrics(store, lambda: 0.0)
        text = (await metrics.text({})).decode()
        assert len([name for name, _ in read(text) if name == "afield_endpoint_queue_tasks"]) <= 20
        assert value(text, "afield_endpoint_queue_tasks", endpoint_id="gone") == sum(range(1, 200))


@pytest.fixture
def serve(tmp_path) -> Callable[..., object]:
    async def start(store=None, **said):
        service = Service(store=store)
        return service, await service.start(
            Settings(**({"data_dir": tmp_path / "data", "port": 0, "amqp_port": 0} | said))
        )

    return start


def client(running, token: str | None = None) -> httpx2.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=running.service_url, headers=headers, trust_env=False, verify=False)


class TestWhoMayReadThem:
    async def test_by_default_those_who_administrate(self, serve):
        service, running = await serve()
        async with client(running) as nobody, client(running, running.token) as owner:
            assert (await nobody.get("/metrics")).status_code == 401
            answer = await owner.get("/metrics")
        assert (answer.status_code, answer.headers["content-type"]) == (
            200, "text/plain; version=0.0.4; charset=utf-8"
        )  # fmt: skip
        await service.stop()

    async def test_others_with_a_token_do_not(self, serve):
        store = MemoryStore()
        service, running = await serve(store)
        # One that is good for anything its holder may do, and not the one that the service made for who started it.
        token = "a token of somebody else's"
        somebody = IdentityRecord(new_id(), "bob", "Bob", "bob@example.org", 1.0)
        await store.people.put_identity(somebody)
        said = {"digest": digest_of(token), "identity_id": somebody.id, "created_at": 1.0, "expires_at": None}
        await store.people.put_token(TokenRecord(kind=TokenKind.PERSONAL, label="x", **said))
        async with client(running, token) as person:
            assert (await person.get("/v2/endpoints")).status_code == 200
            answer = await person.get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (403, "OPERATORS_ONLY")
        await service.stop()

    async def test_from_this_machine_where_that_is_said(self, serve):
        service, running = await serve(metrics="loopback")
        async with client(running) as nobody:
            assert (await nobody.get("/metrics")).status_code == 200
            # A front on this machine passes on what comes from elsewhere.
            for name in ("X-Forwarded-For", "Forwarded"):
                assert (await nobody.get("/metrics", headers={name: "203.0.113.7"})).status_code == 401
        await service.stop()

    async def test_nobody_where_that_is_said(self, serve):
        service, running = await serve(metrics="nobody")
        async with client(running, running.token) as owner:
            assert (await owner.get("/metrics")).status_code == 404
        await service.stop()


@pytest.mark.e2e
async def test_a_tasks_way_in_numbers(start, lab_of):
    one = start("--port", 0, "--amqp-port", 0)
    async with one.client() as http:
        lab = lab_of(http)
        await lab.register()
        await lab.core()
        task_ids = await lab.submit(5)
        text = (await http.get("/metrics")).text
        assert value(text, "afield_tasks", state="waiting-for-ep") == 5
        assert value(text, "afield_oldest_task_age_seconds", state="waiting-for-ep") > 0
        assert value(text, "afield_endpoint_queue_tasks", endpoint_id=lab.endpoint_id) == 5
        assert value(text, "afield_endpoint_queue_age_seconds", endpoint_id=lab.endpoint_id) > 0
        assert value(text, "afield_endpoints", status="online") == 1
        assert value(text, "afield_user_endpoints", status="online") == 1
        assert {value(text, "afield_part_healthy", part=part) for part in ("store", "broker", "loops")} == {1}
        assert value(text, "afield_queue_messages", queue="results") == 0
        assert value(text, "afield_task_duration_seconds_count", outcome="success") == 0
        await lab.run(5)
        await lab.done(task_ids[-1])
        while value(text, "afield_tasks", state="waiting-for-ep"):  # a count is good for a while
            text = (await http.get("/metrics")).text
        assert value(text, "afield_task_duration_seconds_count", outcome="success") == 5
        route = {"method": "POST", "route": "/v3/endpoints/{endpoint_id}/submit"}
        assert value(text, "afield_http_requests_total", status="200", **route) == 1
        assert value(text, "afield_http_request_duration_seconds_count", **route) == 1
        assert value(text, "afield_http_request_duration_seconds_bucket", le="+Inf", **route) == 1
        assert value(text, "process_resident_memory_bytes") > 10_000_000
        await lab.close()
