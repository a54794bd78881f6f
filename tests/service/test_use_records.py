"""The small memory in front of the store."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from afield.service.clock import HandClock
from afield.service.domain.records import EndpointRecord, FunctionRecord, UserEndpointRecord
from afield.service.store.memory import MemoryStore
from afield.service.use.records import FRESH_S, Records

pytestmark = pytest.mark.anyio


class CountingStore(MemoryStore):
    """Counts reads, and lets them take as long as a test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        self.reads += 1
        found = await super().endpoint(endpoint_id)
        await self.gate.wait()
        return found


ENDPOINT = EndpointRecord("e", "ada", "before", 0.0)


@pytest.fixture
async def store() -> CountingStore:
    store = CountingStore()
    await store.put_endpoint(ENDPOINT)
    return store


async def test_a_record_is_read_once_in_a_while(store):
    clock = HandClock()
    records = Records(store, clock)
    for _ in range(3):
        assert await records.endpoint("e") == ENDPOINT
    assert store.reads == 1
    clock.advance(FRESH_S)
    await records.endpoint("e")
    assert store.reads == 2


async def test_what_another_replica_wrote_is_seen_a_moment_later(store):
    clock = HandClock()
    records = Records(store, clock)
    await records.endpoint("e")
    await store.put_endpoint(msgspec.structs.replace(ENDPOINT, name="after"))
    clock.advance(FRESH_S)
    assert (await records.endpoint("e")).name == "after"


async def test_what_does_not_exist_is_asked_for_each_time(store):
    records = Records(store, HandClock())
    assert await records.endpoint("new") is None
    await store.put_endpoint(msgspec.structs.replace(ENDPOINT, id="new"))
    assert await records.endpoint("new") is not None


async def test_a_write_during_a_read_is_not_forgotten(store):
    records = Records(store, HandClock())
    store.gate.clear()
    reading = asyncio.ensure_future(records.endpoint("e"))
    await asyncio.sleep(0)
    await records.put_endpoint(msgspec.structs.replace(ENDPOINT, name="after"))
    store.gate.set()
    assert (await reading).name == "after"
    assert (await records.endpoint("e")).name == "after"


async def test_what_was_deleted_during_a_read_is_not_believed_to_be_there(store):
    records = Records(store, HandClock())
    store.gate.clear()
    reading = asyncio.ensure_future(records.endpoint("e"))
    await asyncio.sleep(0)
    assert await records.delete_endpoint("e")
    store.gate.set()
    await reading
    assert await records.endpoint("e") is None


async def test_changes_that_cross_both_happen(store):
    records = Records(store, HandClock())
    await asyncio.gather(
        *(records.change_endpoint("e", lambda found: msgspec.structs.replace(found, generation=found.generation + 1))
          for _ in range(10))
    )  # fmt: skip
    assert (await store.endpoint("e")).generation == 11
    assert (await records.endpoint("e")).generation == 11


async def test_a_change_that_raises_changes_nothing(store):
    records = Records(store, HandClock())

    def change(_found: EndpointRecord) -> EndpointRecord:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await records.change_endpoint("e", change)
    assert await records.endpoint("e") == ENDPOINT
    assert await records.change_endpoint("unknown", change) is None


async def test_a_deleted_endpoint_takes_its_user_endpoints_along(store):
    records = Records(store, HandClock())
    await records.add_user_endpoint(UserEndpointRecord("u", "e", "ada", 0.0))
    assert await records.delete_endpoint("e")
    assert await records.endpoint("e") is None
    assert await records.user_endpoint("u") is None
    assert not await records.delete_endpoint("e")


async def test_two_that_add_the_same_user_endpoint_get_the_same(store):
    records = Records(store, HandClock())
    one, two = await asyncio.gather(
        records.add_user_endpoint(UserEndpointRecord("u", "e", "ada", 1.0)),
        records.add_user_endpoint(UserEndpointRecord("u", "e", "ada", 2.0)),
    )
    assert one == two


async def test_large_functions_do_not_fill_the_memory(store):
    records = Records(store, HandClock())
    for number in range(10):
        await records.put_function(
            FunctionRecord(str(number), "ada", "f", bytes(30_000_000 * (number == 0) + 10_000_000), 0.0)
        )
    for number in range(10):
        assert await records.function(str(number)) is not None
