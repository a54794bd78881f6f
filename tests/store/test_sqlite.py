"""SQLite: what survives, what shares a commit, who is refused."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from afield.errors import DataDirectoryError
from afield.service.domain.records import SubmitRecord
from afield.service.store.base import AlreadyStored
from afield.service.store.sql import lists
from afield.service.store.sql.runner import Work
from afield.service.store.sql.schema import HEAD
from afield.service.store.sql.sqlite import SqliteRunner, sqlite_store
from afield.service.store.sql.store import SqlStore
from afield.testing.store import an_end, some_tasks

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = sqlite_store(tmp_path / "afield.db", tmp_path)
    await opened.open()
    yield opened
    await opened.close()


# -- groups ----------------------------------------------------------------------------------------------------------


async def test_calls_made_together_share_commits(store: SqlStore) -> None:
    before = store.commits
    batches = [some_tasks(3) for _ in range(100)]
    await asyncio.gather(*(store.add_tasks(tasks) for tasks in batches))
    # The first call finds the thread idle and is committed alone; what arrived meanwhile follows in few groups.
    assert store.commits - before <= 10
    assert len(await store.tasks([t.id for tasks in batches for t in tasks])) == 300


async def test_a_lone_call_waits_for_nobody(store: SqlStore) -> None:
    before = store.commits
    await store.add_tasks(some_tasks(1))
    assert store.commits - before == 1


async def test_only_what_need_not_survive_a_power_cut_is_not_flushed(tmp_path: Path) -> None:
    runner = SqliteRunner(tmp_path / "afield.db")
    await runner.open(lambda _: None)

    def how(connection: Connection) -> Any:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar()

    normal, full = 1, 2
    assert await runner.run(how, writes=True) == full
    assert await runner.run(how, writes=True, flushed=False) == normal
    assert await runner.run(how, writes=True) == full
    with pytest.raises(ZeroDivisionError):
        await runner.run(lambda _: 1 // 0, writes=True, flushed=False)
    assert await runner.run(how, writes=True) == full
    await runner.close()


class Held(SqliteRunner):
    """Does nothing until it is let go, so that calls gather in one group."""

    def __init__(self, database: Path) -> None:
        super().__init__(database)
        self.begun, self.go = threading.Event(), threading.Event()

    def wait(self, connection: Connection) -> None:
        self.begun.set()
        assert self.go.wait(60)

    async def hold(self) -> asyncio.Task[None]:
        held = asyncio.create_task(self.run(self.wait, writes=True))
        await asyncio.to_thread(self.begun.wait)
        return held


async def test_one_failure_in_a_group_is_alone_with_it(tmp_path: Path) -> None:
    runner = Held(tmp_path / "afield.db")
    store = SqlStore(runner, "here")
    await store.open()
    there = some_tasks(1)
    await store.add_tasks(there)
    held = await runner.hold()
    good = [some_tasks(2) for _ in range(4)]
    calls = [asyncio.create_task(store.add_tasks(tasks)) for tasks in (good[0], good[1], there, good[2], good[3])]
    await asyncio.sleep(0)
    before = store.commits
    runner.go.set()
    await held
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), AlreadyStored, type(None), type(None)]
    assert store.commits - before <= 2
    assert len(await store.tasks([t.id for tasks in good for t in tasks])) == 8
    await store.close()


async def test_what_the_database_takes_back_by_itself_fails_the_whole_group(tmp_path: Path) -> None:
    """A full disk ends the transaction under us: then nobody may be told that it went well."""
    runner = Held(tmp_path / "afield.db")
    store = SqlStore(runner, "here")
    await store.open()

    def disk_full(connection: Connection) -> None:
        connection.execute(text("ROLLBACK"))
        raise sqlite3.OperationalError("database or disk is full")

    held = await runner.hold()
    tasks = some_tasks(2)
    calls: list[Any] = [store.add_tasks(tasks[:1]), runner.run(disk_full, writes=True), store.add_tasks(tasks[1:])]
    under_way = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    runner.go.set()
    await held
    outcomes = await asyncio.gather(*under_way, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["database or disk is full"] * 3
    assert await store.tasks([t.id for t in tasks]) == {}
    await store.add_tasks(tasks)
    await store.close()


async def test_callers_that_share_statements_get_each_their_own(tmp_path: Path) -> None:
    runner = Held(tmp_path / "afield.db")
    store = SqlStore(runner, "here")
    await store.open()
    held = await runner.hold()
    batches = [some_tasks(3) for _ in range(3)]
    ids = [[t.id for t in tasks] for tasks in batches]
    adds = [asyncio.create_task(store.add_tasks(tasks)) for tasks in batches]
    ends = [
        asyncio.create_task(store.finish_tasks([an_end(i, name) for i in which]))
        for name, which in ((b"a", [ids[1][2], ids[0][0]]), (b"b", [ids[0][0], "unknown", ids[2][1]]), (b"c", []))
    ]
    await asyncio.sleep(0)
    before = store.commits
    runner.go.set()
    await asyncio.gather(held, *adds)
    assert [[(v.id, v.finished and v.finished.data) for v in await end] for end in ends] == [
        [(ids[1][2], b"a"), (ids[0][0], b"a")],
        [(ids[2][1], b"b")],
        [],
    ]
    assert store.commits - before == 2  # the held call's own, and one for all
    assert sorted((await store.waiting_counts()).values()) == [2, 2, 2]
    await store.close()


class FailsAtTheEnd(SqliteRunner):
    """Every call that writes fails after its last statement."""

    failing = True

    async def run(self, work: Work[Any], *, writes: bool, ready: Any = None) -> Any:
        def fails(connection: Connection) -> Any:
            work(connection)
            raise OSError("the disk went away")

        return await super().run(fails if writes and self.failing else work, writes=writes, ready=ready)


async def test_a_call_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    runner = FailsAtTheEnd(tmp_path / "afield.db")
    store = SqlStore(runner, "here")
    await store.open()
    tasks, submit = some_tasks(3), SubmitRecord(b"key", b"answer", 1.0)
    with pytest.raises(OSError, match="went away"):
        await store.add_tasks(tasks, submit)
    assert await store.tasks([t.id for t in tasks]) == {}
    assert await store.submit(b"key", since=0) is None
    assert await store.waiting_counts() == {}
    runner.failing = False
    await store.add_tasks(tasks, submit)
    runner.failing = True
    with pytest.raises(OSError, match="went away"):
        await store.finish_tasks([an_end(t.id) for t in tasks])
    assert await store.undelivered() == []
    assert len(await store.waiting_tasks(tasks[0].user_endpoint_id)) == 3
    await store.close()


async def test_a_long_search_lets_others_have_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "STEP", 10)
    store = sqlite_store(tmp_path / "afield.db", tmp_path)
    await store.open()
    tasks = some_tasks(100)
    await store.add_tasks(tasks)
    over = []

    async def search() -> None:
        assert await store.list_tasks(tasks[0].owner_id, search="nowhere") == []
        over.append("searched")

    async def add() -> None:
        await store.add_tasks(some_tasks(1))
        over.append("added")

    await asyncio.gather(search(), add())
    assert over == ["added", "searched"]
    await store.close()


async def test_a_closed_store_says_so(store: SqlStore) -> None:
    await store.close()
    with pytest.raises(RuntimeError, match="closed"):
        await store.add_tasks(some_tasks(1))


# -- what survives ---------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from afield.service.store.sql.sqlite import sqlite_store
from afield.testing.store import an_end, some_tasks

async def submit_for_ever(store, lane):
    while True:
        tasks = some_tasks(20) + some_tasks(1, payload=b"p" * 70_000)
        await store.add_tasks(tasks)
        print("added", *(t.id for t in tasks), flush=True)
        ended = await store.finish_tasks([an_end(t.id, b"v" * (70_000 if lane == 0 else 10)) for t in tasks[::2]])
        print("ended", *(v.id for v in ended), flush=True)

async def main():
    store = sqlite_store(Path(sys.argv[1]) / "afield.db", Path(sys.argv[1]))
    await store.open()
    await asyncio.gather(*(submit_for_ever(store, lane) for lane in range(5)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        lines = [child.stdout.readline() for _ in range(40)]
        child.kill()
        # What it said until it died counts too; the last line may be torn.
        lines += [line for line in child.stdout if line.endswith("\n")]
    assert child.wait() == -signal.SIGKILL
    added = [i for line in lines if line.startswith("added") for i in line.split()[1:]]
    ended = {i for line in lines if line.startswith("ended") for i in line.split()[1:]}
    assert added
    assert ended
    store = sqlite_store(tmp_path / "afield.db", tmp_path)
    await store.open()
    views = await store.tasks(added)
    assert list(views) == added
    assert [i for i in ended if views[i].finished is None] == []
    waiting = {t.id for where in await store.waiting_counts() for t in await store.waiting_tasks(where)}
    assert ended.isdisjoint(waiting)
    undelivered = {v.id: v for v in await store.undelivered(limit=100_000)}
    assert ended <= undelivered.keys()
    await store.close()


async def test_closed_and_opened_again_it_is_all_there(store: SqlStore) -> None:
    tasks = some_tasks(2, payload=b"p" * 100_000)
    await store.add_tasks(tasks)
    await store.finish_tasks([an_end(tasks[0].id)])
    await store.close()
    await store.open()
    assert await store.waiting_tasks(tasks[0].user_endpoint_id) == tasks[1:]
    assert [v.finished for v in await store.undelivered()] == [an_end(tasks[0].id)]


# -- who is refused --------------------------------------------------------------------------------------------------


async def test_a_directory_serves_one_service(store: SqlStore, tmp_path: Path) -> None:
    second = sqlite_store(tmp_path / "afield.db", tmp_path)
    with pytest.raises(DataDirectoryError, match=rf"in use by process {os.getpid()}\b"):
        await second.open()
    await store.add_tasks(some_tasks(1))
    await store.close()
    await second.open()
    await second.close()


async def test_another_process_is_refused_too(store: SqlStore, tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from afield.service.store.factory import open_store\n"
        "asyncio.run(open_store(sys.argv[1]).open())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"the data directory {tmp_path} is in use by process {os.getpid()}" in done.stderr


async def test_a_store_that_could_not_open_holds_nothing(tmp_path: Path) -> None:
    before = threading.enumerate()
    (tmp_path / "afield.db").write_bytes(b"a letter to grandmother, not a database" * 100)
    store = sqlite_store(tmp_path / "afield.db", tmp_path)
    with pytest.raises(DataDirectoryError, match=r"afield\.db is not an SQLite database"):
        await store.open()
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert [thread for thread in started if thread.name.startswith("afield")] == []
    (tmp_path / "afield.db").unlink()
    await store.open()
    await store.add_tasks(some_tasks(1))
    await store.close()


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "afield.db") as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    with pytest.raises(DataDirectoryError, match=r"another program's tables \(recipes\)"):
        await sqlite_store(tmp_path / "afield.db", tmp_path).open()


async def test_a_newer_version_is_refused(store: SqlStore, tmp_path: Path) -> None:
    await store.close()
    with sqlite3.connect(tmp_path / "afield.db") as connection:
        connection.execute("UPDATE afield_version SET version_num = '0999'")
    connection.close()
    with pytest.raises(DataDirectoryError, match=rf"newer Afield.*version 0999.*up to {HEAD}"):
        await store.open()


async def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    store = sqlite_store(tmp_path / "file" / "data" / "afield.db", tmp_path / "file" / "data")
    with pytest.raises(DataDirectoryError, match="cannot write to the data directory"):
        await store.open()
    elsewhere = sqlite_store(tmp_path / "file" / "afield.db", tmp_path / "data")
    with pytest.raises(DataDirectoryError, match="cannot use the database"):
        await elsewhere.open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DataDirectoryError, match="cannot write to the data directory"):
            await sqlite_store(tmp_path / "afield.db", tmp_path).open()
    finally:
        tmp_path.chmod(0o700)


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "afield.db").touch(mode=0o644)
    store = sqlite_store(data / "afield.db", data)
    await store.open()
    await store.add_tasks(some_tasks(1, payload=b"p" * 100_000))
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in data.rglob("*") if path.is_file()}
    assert {"afield.db", "afield.db-wal", "lock"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in data.rglob("*") if path.is_dir()} == {"0o700"}
    await store.close()


async def test_every_commit_reaches_the_disk(store: SqlStore) -> None:
    def settings(connection: Connection) -> list[object]:
        return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]

    assert await store._runner.run(settings, writes=False) == ["wal", 2]
