"""A copy is made of a service that is at work; a fresh service made of it goes on with the tasks."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

BIG = f"100000\n{'a' * 100_000}2\nkw"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request) -> Callable[[], Awaitable[list[str]]]:
    """Gives the options that choose a fresh database."""
    if request.param == "postgresql" and shutil.which("pg_dump") is None:
        pytest.skip("needs pg_dump")
    make = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None

    async def options() -> list[str]:
        return [] if make is None else ["--database", await make()]

    return options


async def test_tasks_go_on_in_a_fresh_service(start, ports, tmp_path, database, lab_of, command):
    before, after = await database(), await database()
    here = ["--port", ports[0], "--amqp-port", ports[1]]
    one = start(*here, *before)
    copy = tmp_path / "copies" / "monday"
    async with one.client() as http:
        lab = lab_of(http)
        await lab.register()
        await lab.core()
        done, *waiting = await lab.submit(6, BIG)
        busy = asyncio.ensure_future(submit_on(lab))
        await asyncio.to_thread(command, "admin", "backup", copy, *before)
        busy.cancel()
        lost = (await asyncio.gather(busy, return_exceptions=True))[0]
        assert isinstance(lost, asyncio.CancelledError)
        await lab.close()
    assert one.end(signal.SIGKILL) == -signal.SIGKILL
    manifest = json.loads((copy / "backup.json").read_text())
    assert manifest["files"] >= 6
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (copy, *copy.rglob("*"))} == {0}
    if not before:
        shutil.rmtree(tmp_path / "service")

    fresh = tmp_path / "elsewhere"
    command("admin", "restore", copy, "--data", fresh, *after)
    two = start(*here, "--data", fresh, *after)
    async with two.client() as http:
        lab.http, lab.connections = http, []
        # With the credentials of its first registration, as an endpoint that lived on.
        await lab.core()
        assert (await http.get(f"/v2/functions/{lab.function_id}")).json()["function_name"] == "f"
        tasks = await lab.run(6)
        assert {done, *waiting} <= {task.task_id for task in tasks}
        assert all(task.payload == BIG.encode() for task in tasks if task.task_id in {done, *waiting})
        assert (await lab.done(waiting[-1]))["status"] == "success"
        await lab.close()
    assert two.end() == 0


async def submit_on(lab) -> None:
    """Somebody who does not stop while the copy is made."""
    while True:
        await lab.submit(1, BIG)


class TestWhatIsRefused:
    """Nothing is written over, and nothing half done is left."""

    @pytest.fixture
    def used(self, start, tmp_path) -> Path:
        one = start("--port", 0, "--amqp-port", 0)
        assert one.end() == 0
        return tmp_path / "service"

    @pytest.fixture
    def copy(self, used, tmp_path, command) -> Path:
        command("admin", "backup", tmp_path / "copy")
        return tmp_path / "copy"

    @pytest.fixture
    def refused(self, command) -> Callable[..., str]:
        def refused(*arguments: object) -> str:
            done = command("admin", *arguments, check=False)
            assert done.returncode == 1
            assert "Traceback" not in done.stderr
            return done.stderr

        return refused

    def test_a_service_that_never_was(self, tmp_path, refused):
        assert "nothing to copy" in refused("backup", tmp_path / "copy")
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_that_is_there(self, copy, tmp_path, refused):
        assert "is there already" in refused("backup", copy)

    def test_a_directory_that_cannot_be_made(self, used, tmp_path, refused):
        (tmp_path / "file").write_text("x")
        assert "no copy could be made" in refused("backup", tmp_path / "file" / "copy")

    def test_a_copy_over_a_service(self, copy, tmp_path, refused):
        assert "is there already" in refused("restore", copy)

    def test_what_is_no_copy(self, tmp_path, refused):
        (tmp_path / "no").mkdir()
        assert "holds no copy" in refused("restore", tmp_path / "no", "--data", tmp_path / "new")

    def test_a_copy_of_another_kind(self, copy, tmp_path, refused):
        url = "postgresql://nobody@127.0.0.1:1/none"
        said = refused("restore", copy, "--data", tmp_path / "new", "--database", url)
        assert "a copy of a service on sqlite" in said
        assert not (tmp_path / "new").exists()

    def test_a_damaged_database(self, used, tmp_path, refused):
        with sqlite3.connect(used / "afield.db") as database:
            database.execute("PRAGMA writable_schema=ON")
        data = bytearray((used / "afield.db").read_bytes())
        data[4096 * 3 : 4096 * 5] = os.urandom(8192)
        (used / "afield.db").write_bytes(data)
        assert "afield:" in refused("backup", tmp_path / "copy")
        assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == []

    @pytest.mark.postgres
    async def test_a_database_with_tables(self, start, tmp_path, postgres_url, refused, command):
        url = await postgres_url()
        assert await asyncio.to_thread(start("--port", 0, "--amqp-port", 0, "--database", url).end) == 0
        command("admin", "backup", tmp_path / "copy", "--database", url)
        said = refused("restore", tmp_path / "copy", "--data", tmp_path / "new", "--database", url)
        assert "pg_restore failed" in said
        assert not (tmp_path / "new" / "secret").exists()
