"""The tables are what the migrations make, and alembic stays out of the way."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from afield.ids import new_ids
from afield.service.domain.people import (
    AccountRecord,
    GrantRole,
    IdentityRecord,
    Principal,
    TokenKind,
    TokenRecord,
)
from afield.service.domain.records import CancelRecord, TaskMove, TaskOptions
from afield.service.store.base import Store
from afield.service.store.factory import open_store
from afield.service.store.sql import schema, tables
from afield.service.store.sql.keys import key
from afield.states import TaskState
from afield.testing.store import an_end, some_tasks
from afield.wire.messages import CallOptions

pytestmark = pytest.mark.anyio


def of_sqlite(connection: Connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {name: re.sub(r"\s+", " ", sql) for name, sql in rows}


def of_postgres(connection: Connection) -> list[Any]:
    columns = text(
        "SELECT table_name, column_name, ordinal_position, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 3"
    )
    indexes = text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
    return [tuple(row) for query in (columns, indexes) for row in connection.execute(query)]


def test_both_ways_to_the_tables_lead_to_the_same_on_sqlite(tmp_path: Path) -> None:
    found = []
    for way in (lambda c: schema.prepare(c, "here"), schema.migrate):
        engine = create_engine(f"sqlite:///{tmp_path / str(len(found))}")
        with engine.begin() as connection:
            way(connection)
            found.append(of_sqlite(connection))
            assert connection.execute(text("SELECT version_num FROM afield_version")).scalar() == schema.HEAD
        engine.dispose()
    made, migrated = found
    assert made == migrated
    assert set(tables.metadata.tables) <= set(made)


@pytest.mark.postgres
async def test_both_ways_to_the_tables_lead_to_the_same_on_postgres(postgres_url: str) -> None:
    engine = create_async_engine(make_url(postgres_url).set(drivername="postgresql+asyncpg"))
    found = []
    for way in (lambda c: schema.prepare(c, "here"), schema.migrate):
        async with engine.connect() as connection:
            transaction = await connection.begin()
            await connection.run_sync(way)
            found.append(await connection.run_sync(of_postgres))
            await transaction.rollback()
    await engine.dispose()
    assert found[0] == found[1]


#: what services left behind: rows by table, by the version that wrote them
GROUP, OWNER, CORE, USER, FUNCTION, OPEN, PLAIN, ENDED, EMPTY, CLIENT, TEAM = new_ids(11)
LEFT_BEHIND: dict[str, dict[str, list[dict[str, Any]]]] = {
    "0001": {
        "identities": [
            {"id": key(OWNER), "username": "Zoé@Example.org", "name": "Zoé", "email": "zoe@example.org",
             "created_at": 1.0},
        ],
        "tokens": [
            {"digest": b"1" * 32, "identity_id": key(OWNER), "label": "laptop", "created_at": 2.0, "expires_at": None},
            {"digest": b"2" * 32, "identity_id": key(OWNER), "label": "desk", "created_at": 3.0, "expires_at": 4.0},
        ],
        "functions": [
            {"id": key(FUNCTION), "owner_id": key(OWNER), "name": "fit", "code": b"code", "created_at": 5.0,
             "description": "old", "metadata": '{"a":1}', "public": False, "group_id": None, "deleted": False},
        ],
        "endpoints": [
            {"id": key(CORE), "owner_id": key(OWNER), "name": "cluster", "created_at": 5.0, "display_name": None,
             "metadata": "{}", "multi_user": True, "public": False, "high_assurance": False,
             "allowed_functions": None, "admins": "[]", "generation": 3, "registered_at": 6.0, "last_report_at": 7.0,
             "heartbeat_period": 30.0, "locked_until": 0.0},
        ],
        "user_endpoints": [
            {"id": key(USER), "endpoint_id": key(CORE), "identity_id": key(OWNER), "created_at": 5.0,
             "user_opts": "{}", "user_runtime": "{}", "wire": 2, "generation": 1, "last_report_at": 7.0,
             "heartbeat_period": 30.0, "active": True, "state": "{}"},
        ],
        "task_groups": [
            {"id": key(one), "owner_id": key(OWNER), "created_at": 5.0, "wire": 2} for one in (GROUP, EMPTY)
        ],
        "tasks": [
            {"id": key(one), "group_id": key(GROUP), "owner_id": key(OWNER), "endpoint_id": key(CORE),
             "user_endpoint_id": key(USER), "function_id": key(FUNCTION), "state": "waiting-for-ep",
             "created_at": 10.0, "options": options, "payload_file": None, "payload": b"payload"}
            for one, options in (
                (OPEN, '{"resource_specification":{"num_nodes":2},"result_serializers":["a.B"]}'),
                (PLAIN, None),
                (ENDED, None),
            )
        ],
        "waiting": [{"user_endpoint_id": key(USER), "id": key(one), "created_at": 10.0} for one in (OPEN, PLAIN)],
        "ends": [
            {"id": key(ENDED), "state": "success", "completed_at": 20.0, "error": None, "details": None,
             "transitions": None, "data_file": None, "exception_file": None, "exception": None, "data": b"value"},
        ],
        "undelivered": [{"id": key(ENDED)}],
        "submits": [{"key": b"key", "response": b"answer", "created_at": 10.0}],
    },
    "0002": {
        "labels": [{"id": key(PLAIN), "label": "named"}],
        "cancels": [{"task_id": key(PLAIN), "user_endpoint_id": key(USER), "asked_at": 11.0, "running": True}],
    },
    "0003": {
        "accounts": [
            {"identity_id": key(OWNER), "username": "Zoé", "created_at": 1.0, "password": None, "disabled_at": None,
             "is_admin": True, "handle": "zoé"},
        ],
        "clients": [
            {"id": key(CLIENT), "name": "Portal", "owner_id": key(OWNER), "created_at": 1.0, "secret_digest": b"3",
             "redirect_uris": '["https://portal.example.org"]', "disabled_at": None},
        ],
        "tokens": [
            {"digest": b"3" * 32, "identity_id": key(OWNER), "label": "portal", "created_at": 5.0, "expires_at": 6.0,
             "kind": "refresh", "client_id": key(CLIENT), "scopes": '["openid"]', "family": "f", "session": None},
        ],
        "teams": [{"id": key(TEAM), "name": "Lab", "created_at": 1.0, "description": ""}],
        "grants": [
            {"object_id": key(CORE), "principal": "group", "principal_id": key(TEAM), "role": "run",
             "created_at": 1.0},
        ],
    },
}  # fmt: skip


def leave_behind(connection: Connection, last: str) -> None:
    """What is there when a service was of each version in turn, up to this one."""
    for version in schema.KNOWN[: schema.KNOWN.index(last) + 1]:
        schema.migrate(connection, version)
        for name, rows in LEFT_BEHIND.get(version, {}).items():
            names = list(rows[0])
            insert = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})"
            connection.execute(text(insert), rows)


async def all_of_it_is_there_and_goes_on(store: Store, last: str) -> None:
    await tasks_are_there_and_go_on(store, last)
    await people_are_there(store, last)


async def tasks_are_there_and_go_on(store: Store, last: str) -> None:
    named = "named" if last >= "0002" else None
    views = await store.tasks([OPEN, PLAIN, ENDED])
    seen = [(v.state.value, v.since, v.label, v.finished and v.finished.data) for v in views.values()]
    assert seen == [
        ("waiting-for-ep", 10.0, None, None),
        ("waiting-for-ep", 10.0, named, None),
        ("success", 20.0, None, b"value"),
    ]
    waiting = await store.waiting_tasks(USER)
    assert [(t.id, t.payload, t.options) for t in waiting] == [
        (OPEN, b"payload", TaskOptions({"num_nodes": 2}, ("a.B",))),
        (PLAIN, b"payload", TaskOptions()),
    ]
    assert [v.id for v in await store.undelivered()] == [ENDED]
    assert await store.submit(b"key", since=0) is not None
    assert await store.cancels() == ([CancelRecord(PLAIN, USER, 11.0, running=True)] if named else [])
    assert [t.id for t in await store.list_tasks(OWNER, search="FIT")] == [ENDED, PLAIN, OPEN]
    assert [f.id for f in await store.list_functions(OWNER)] == [FUNCTION]
    assert await store.move_tasks([TaskMove(OPEN, TaskState.RUNNING, 11.0)]) == [OPEN]
    await store.put_cancels([CancelRecord(OPEN, USER, 12.0)])
    labelled = some_tasks(1, options=TaskOptions(call=CallOptions(label="new")))
    await store.add_tasks(labelled)
    ended = await store.finish_tasks([an_end(i) for i in (OPEN, PLAIN, ENDED, labelled[0].id)])
    assert [(v.id, v.label) for v in ended] == [(OPEN, None), (PLAIN, named), (labelled[0].id, "new")]
    assert await store.delete_before(9e9) == 4
    assert [await store.task_group(one) for one in (GROUP, EMPTY)] == [None, None]
    assert await store.cancels() == []
    assert [(e.id, e.name, e.generation, e.multi_user) for e in await store.endpoints(OWNER)] == [
        (CORE, "cluster", 3, True)
    ]
    assert [u.id for u in await store.user_endpoints(CORE)] == [USER]


async def people_are_there(store: Store, last: str) -> None:
    people = store.people
    zoe = IdentityRecord(OWNER, "Zoé@Example.org", "Zoé", "zoe@example.org", 1.0, provider="local")
    assert await people.identity(OWNER) == zoe
    assert await people.identities_named(["ZOÉ@EXAMPLE.ORG"]) == [zoe]
    old = [
        TokenRecord(b"1" * 32, OWNER, "laptop", 2.0, kind=TokenKind.SERVICE),
        TokenRecord(b"2" * 32, OWNER, "desk", 3.0, expires_at=4.0, kind=TokenKind.SERVICE),
    ]
    of_portal = TokenRecord(b"3" * 32, OWNER, "portal", 5.0, 6.0, TokenKind.REFRESH, CLIENT, ("openid",), "f")
    assert await people.tokens_of(OWNER) == old + ([of_portal] if last >= "0003" else [])
    if last >= "0003":
        assert await people.account("zoé") == AccountRecord(OWNER, "Zoé", 1.0, is_admin=True)
        assert [client.redirect_uris for client in await people.clients_of(OWNER)] == [("https://portal.example.org",)]
        assert [grant.role for grant in await people.grants_to([(Principal.TEAM, TEAM)])] == [GrantRole.RUN]
    else:
        await people.put_account(AccountRecord(OWNER, "zoe", 5.0))
    assert await people.forget_expired(9.0) == (2 if last >= "0003" else 1)
    assert await people.delete_tokens(identity_id=OWNER) == 1


EARLIER = schema.KNOWN[:-1]


@pytest.mark.parametrize("version", EARLIER)
async def test_an_earlier_version_is_brought_to_today_on_sqlite(version: str, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/afield.db")
    with engine.begin() as connection:
        leave_behind(connection, version)
    engine.dispose()
    store = open_store(tmp_path)
    await store.open()
    await all_of_it_is_there_and_goes_on(store, version)
    await store.close()


@pytest.mark.postgres
@pytest.mark.parametrize("version", EARLIER)
async def test_an_earlier_version_is_brought_to_today_on_postgres(version: str, postgres_url: str) -> None:
    engine = create_async_engine(make_url(postgres_url).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(leave_behind, version)
    await engine.dispose()
    store = open_store(postgres_url)
    await store.open()
    await all_of_it_is_there_and_goes_on(store, version)
    await store.close()


async def test_what_an_older_service_writes_meanwhile_is_understood(tmp_path: Path) -> None:
    """It knows nothing of the new columns, and goes on for a while beside those that do."""
    store = open_store(tmp_path)
    await store.open()
    await store.close()
    engine = create_engine(f"sqlite:///{tmp_path}/afield.db")
    with engine.begin() as connection:
        for name in ("identities", "tokens"):
            rows = LEFT_BEHIND["0001"][name]
            names = list(rows[0])
            insert = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})"
            connection.execute(text(insert), rows)
    engine.dispose()
    await store.open()
    found = await store.people.identity(OWNER)
    assert found is not None
    assert found.provider == "local"
    assert [token.kind for token in await store.people.tokens_of(OWNER)] == [TokenKind.SERVICE] * 2
    await store.close()


def test_every_script_is_a_known_version() -> None:
    config = Config()
    config.set_main_option("script_location", "afield.service.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == schema.KNOWN
    assert scripts.get_heads() == [schema.HEAD]


def test_a_database_of_today_is_opened_without_alembic(tmp_path: Path) -> None:
    """It takes longer to import than all the rest of opening."""
    code = (
        "import asyncio, sys\n"
        "from afield.service.store.factory import open_store\n"
        "async def main():\n"
        "    store = open_store(sys.argv[1]); await store.open(); await store.close()\n"
        "asyncio.run(main()); asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith(('alembic', 'asyncpg', 'greenlet'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


async def test_two_services_may_open_an_empty_database_at_once(postgres_url: str) -> None:
    import asyncio

    stores = [open_store(postgres_url) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    for store in stores:
        await store.close()
