"""Two services on one database, who both want what only one may have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from afield.ids import new_id
from afield.service.domain.people import AccountRecord, IdentityRecord, LinkRecord, TicketRecord, TokenRecord
from afield.service.store.base import AlreadyStored, Store
from afield.service.store.factory import open_store
from afield.service.store.sql.sqlite import SqliteRunner
from afield.service.store.sql.store import SqlStore

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000.0


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "afield.db")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def stores(database: str) -> AsyncIterator[list[Store]]:
    if database.startswith("postgresql:"):
        import asyncpg

        connection = await asyncpg.connect(database)
        # Soon enough that nobody waits for it here; a second is what servers come with.
        await connection.execute(f"ALTER DATABASE \"{database.rsplit('/', 1)[1]}\" SET deadlock_timeout = '30ms'")
        await connection.close()
        opened = [open_store(database) for _ in range(3)]
    else:
        # Without its lock on the directory, which keeps services apart.
        opened = [SqlStore(SqliteRunner(Path(database)), "here") for _ in range(3)]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


async def test_a_ticket_is_taken_by_one_service(stores: list[Store]) -> None:
    tickets = [TicketRecord(n.to_bytes(32, "big"), "code", {"n": n}, NOW) for n in range(30)]
    for ticket in tickets:
        await stores[0].people.put_ticket(ticket)
    for ticket in tickets:
        tries = [store.people.take_ticket(ticket.digest) for store in stores for _ in range(3)]
        taken = await asyncio.gather(*tries)
        assert [one for one in taken if one is not None] == [ticket]


async def test_a_name_goes_to_one_account(stores: list[Store]) -> None:
    tries = [store.people.put_account(AccountRecord(new_id(), "ada", NOW)) for store in stores for _ in range(3)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(one) for one in outcomes if one is not None] == [AlreadyStored] * 8
    assert [account.username for account in await stores[1].people.accounts()] == ["ada"]


async def test_an_account_is_changed_by_one_service(stores: list[Store]) -> None:
    seen = AccountRecord(new_id(), "ada", NOW)
    await stores[0].people.put_account(seen)
    changes = [msgspec.structs.replace(seen, password=f"{n}") for n in range(len(stores) * 5)]
    tries = [stores[n % len(stores)].people.change_account(seen, one) for n, one in enumerate(changes)]
    outcomes = await asyncio.gather(*tries)
    assert outcomes.count(True) == 1
    assert await stores[0].people.account("ada") == changes[outcomes.index(True)]


async def test_an_outside_identity_is_linked_once(stores: list[Store]) -> None:
    tries = [store.people.put_link(LinkRecord("https://idp", "ada", new_id(), NOW)) for store in stores]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(one) for one in outcomes if one is not None] == [AlreadyStored] * 2


async def test_a_revoked_token_is_revoked_everywhere(stores: list[Store]) -> None:
    token = TokenRecord(b"1" * 32, new_id(), "laptop", NOW)
    await stores[0].people.put_token(token)
    assert await stores[1].people.token(token.digest) == token
    assert await stores[2].people.delete_tokens(identity_id=token.identity_id) == 1
    assert [await store.people.token(token.digest) for store in stores] == [None] * 3


async def test_services_that_write_the_same_in_other_orders_all_succeed(stores: list[Store]) -> None:
    """Calls share transactions, so two services may each hold what the other waits for."""
    people = [IdentityRecord(new_id(), f"user {n}", "", "", NOW) for n in range(40)]
    for _ in range(3):
        both = [store.people.put_identity(one) for store in stores[:1] for one in people]
        both += [store.people.put_identity(one) for store in stores[1:2] for one in reversed(people)]
        await asyncio.gather(*both)
    assert await stores[2].people.identities(one.id for one in people) == {one.id: one for one in people}
