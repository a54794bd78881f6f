"""PostgreSQL: several services share it, connections come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from afield.errors import DataDirectoryError
from afield.service.domain.records import TaskMove
from afield.service.domain.repeats import Attempt, Repeated, Unanswered
from afield.service.store.factory import open_store
from afield.service.store.sql.schema import HEAD
from afield.service.store.sql.store import SqlStore
from afield.states import TaskState
from afield.testing.store import an_end, some_tasks
from afield.testing.store.records import NOW

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[SqlStore]:
    opened = open_store(postgres_url)
    assert isinstance(opened, SqlStore)
    await opened.open()
    yield opened
    await opened.close()


async def close_all_connections(postgres_url: str) -> None:
    """As a restart of the server does."""
    import asyncpg

    connection = await asyncpg.connect(postgres_url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def test_calls_made_together_share_commits(store: SqlStore) -> None:
    before = store.commits
    await asyncio.gather(*(store.add_tasks(some_tasks(2)) for _ in range(50)))
    assert store.commits - before <= 5


async def test_only_what_need_not_survive_a_power_cut_is_not_flushed(store: SqlStore) -> None:
    def how(connection: Connection) -> object:
        return connection.exec_driver_sql("SHOW synchronous_commit").scalar()

    found = [await store._runner.run(how, writes=True, flushed=flushed) for flushed in (True, False, True)]
    assert found == ["on", "off", "on"]
    together = (store._runner.run(how, writes=True, flushed=flushed) for flushed in (True, False, True, False, True))
    for flushed, said in zip((True, False, True, False, True), await asyncio.gather(*together), strict=True):
        assert said == "on" or not flushed


async def test_one_of_many_repeats_in_two_services(store: SqlStore, postgres_url: str) -> None:
    other = open_store(postgres_url)
    await other.open()
    lost = {b"%d" % number for number in range(5)}
    await store.went_astray([Unanswered(key, b"body", "life", NOW) for key in lost])
    attempts = [Attempt(b"new %d" % number, b"body", "life", NOW, NOW) for number in range(40)]
    calls = [each.repeated(one) for one, each in zip(attempts, [store, other] * 20, strict=True)]
    found = [one for one in await asyncio.gather(*calls) if one is not None]
    assert sorted(one.key for one in found if isinstance(one, Repeated)) == sorted(lost)
    assert len(found) == len(lost)
    await other.close()


async def test_an_end_is_given_out_once_by_two_services(store: SqlStore, postgres_url: str) -> None:
    other = open_store(postgres_url)
    await other.open()
    tasks = some_tasks(200)
    await store.add_tasks(tasks)
    ends = [[an_end(t.id, name) for t in order] for name, order in ((b"one", tasks), (b"two", tasks[::-1]))]
    calls = [each.finish_tasks(batch) for _ in range(4) for each, batch in zip((store, other), ends, strict=True)]
    views = [view for ended in await asyncio.gather(*calls) for view in ended]
    assert sorted(v.id for v in views) == [t.id for t in tasks]
    assert await other.tasks([t.id for t in tasks]) == {v.id: v for v in sorted(views, key=lambda v: v.id)}
    await other.close()


async def test_a_task_is_moved_once_by_two_services(store: SqlStore, postgres_url: str) -> None:
    """Each sees where the other has moved it; none waits for the other for ever."""
    other = open_store(postgres_url)
    await other.open()
    tasks = some_tasks(700)
    await store.add_tasks(tasks)
    moves = [TaskMove(t.id, TaskState.RUNNING, 5.0) for t in tasks]
    orders = (moves, moves[::-1])
    calls = [each.move_tasks(order) for _ in range(3) for each, order in zip((store, other), orders, strict=True)]
    ends = [each.finish_tasks([an_end(t.id) for t in tasks[:300]]) for each in (store, other)]
    moved, ended = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*ends))
    ids = [i for some in moved for i in some]
    assert len(ids) == len(set(ids))
    assert {t.id for t in tasks[300:]} <= set(ids)
    assert sorted(view.id for views in ended for view in views) == [t.id for t in tasks[:300]]
    views = await store.tasks([t.id for t in tasks])
    assert [v.state for v in views.values()] == [TaskState.SUCCESS] * 300 + [TaskState.RUNNING] * 400
    await other.close()


async def test_forgetting_twice_at_once_counts_once(store: SqlStore, postgres_url: str) -> None:
    other = open_store(postgres_url)
    await other.open()
    tasks = some_tasks(900)
    await store.add_tasks(tasks)
    await store.finish_tasks([an_end(t.id) for t in tasks[:600]])
    counts = await asyncio.gather(store.delete_before(9e9), other.delete_before(9e9))
    assert sum(counts) == 900
    await other.close()


async def test_a_restart_of_the_server_is_survived(store: SqlStore, postgres_url: str) -> None:
    tasks = some_tasks(4)
    await store.add_tasks(tasks[:1])
    # More connections than one lie idle then.
    await asyncio.gather(*(store.tasks([tasks[0].id]) for _ in range(5)))
    await close_all_connections(postgres_url)
    assert list(await store.tasks([tasks[0].id])) == [tasks[0].id]
    await close_all_connections(postgres_url)
    await asyncio.gather(*(store.add_tasks([t]) for t in tasks[1:]))
    assert len(await store.tasks([t.id for t in tasks])) == 4


async def test_a_lone_write_survives_it_too(store: SqlStore, postgres_url: str) -> None:
    tasks = some_tasks(3)
    for task in tasks:
        # Nothing but this write and the one connection that it used before.
        await close_all_connections(postgres_url)
        await store.add_tasks([task])
    assert len(await store.tasks([t.id for t in tasks])) == 3


async def test_a_server_that_stays_away_is_told_to_every_caller(store: SqlStore, postgres_url: str) -> None:
    import asyncpg

    name = postgres_url.rsplit("/", 1)[1]
    admin = await asyncpg.connect(postgres_url.rsplit("/", 1)[0] + "/postgres")
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await close_by(admin, name)
    outcomes = await asyncio.gather(*(store.add_tasks(some_tasks(1)) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes), outcomes
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await admin.close()
    tasks = some_tasks(1)
    await store.add_tasks(tasks)
    assert len(await store.tasks([tasks[0].id])) == 1


async def close_by(admin, name: str) -> None:
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)


async def test_a_caller_that_leaves_does_not_let_reads_overtake(store: SqlStore) -> None:
    tasks = some_tasks(300)
    first = asyncio.ensure_future(store.add_tasks(tasks[:299]))
    leaving = asyncio.ensure_future(store.add_tasks(tasks[299:]))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len(await store.tasks([t.id for t in tasks])) == 300
    await first


async def test_reads_under_way_are_answered_before_it_closes(store: SqlStore) -> None:
    tasks = some_tasks(1)
    await store.add_tasks(tasks)
    reads = [asyncio.ensure_future(store.tasks([tasks[0].id])) for _ in range(12)]
    await asyncio.sleep(0)
    await store.close()
    assert [read.done() for read in reads] == [True] * 12
    assert [len(found) for found in await asyncio.gather(*reads)] == [1] * 12
    with pytest.raises(RuntimeError, match="closed"):
        await store.tasks([])


async def test_big_values_are_files_where_there_is_a_directory(postgres_url: str, tmp_path: Path) -> None:
    store = open_store(postgres_url, data_dir=tmp_path)
    await store.open()
    tasks = some_tasks(2, payload=b"p" * 100_000)
    await store.add_tasks(tasks)
    await store.finish_tasks([an_end(tasks[0].id, b"v" * 100_000)])
    assert sum(path.is_file() for path in (tmp_path / "blobs").rglob("*")) == 3
    assert await store.waiting_tasks(tasks[0].user_endpoint_id) == tasks[1:]
    assert [v.finished for v in await store.undelivered()] == [an_end(tasks[0].id, b"v" * 100_000)]
    await store.close()
    without = open_store(postgres_url)
    await without.open()
    with pytest.raises(DataDirectoryError, match="started without one"):
        await without.waiting_tasks(tasks[0].user_endpoint_id)
    await without.close()


async def test_a_newer_version_is_refused(store: SqlStore, postgres_url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(postgres_url)
    await connection.execute("UPDATE afield_version SET version_num = '0999'")
    await connection.close()
    with pytest.raises(DataDirectoryError, match=rf"newer Afield.*version 0999.*up to {HEAD}"):
        await open_store(postgres_url).open()


async def test_other_programs_may_live_in_the_same_database(postgres_url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE recipes (name text); CREATE TABLE alembic_version (version_num text)")
    store = open_store(postgres_url)
    await store.open()
    await store.close()
    await connection.execute("DROP TABLE afield_version")
    with pytest.raises(DataDirectoryError, match=r"another program's tables \(accounts, cancels, clients\)"):
        await open_store(postgres_url).open()
    await connection.close()
