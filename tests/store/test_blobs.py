"""Big values: files that are there exactly as long as somebody needs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from afield.service.store.base import AlreadyStored
from afield.service.store.blobs import THRESHOLD, BlobMissing, Blobs
from afield.service.store.directory import DataDirectory
from afield.service.store.sql.sqlite import SqliteRunner, sqlite_store
from afield.service.store.sql.store import SqlStore
from afield.testing.store import an_end, some_tasks

pytestmark = pytest.mark.anyio

BIG = b"x" * (THRESHOLD + 1)
FITS = b"x" * THRESHOLD


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = sqlite_store(tmp_path / "afield.db", tmp_path)
    await opened.open()
    yield opened
    await opened.close()


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())


async def test_only_big_values_are_files(store: SqlStore, tmp_path: Path) -> None:
    tasks = some_tasks(1, payload=FITS) + some_tasks(1, payload=BIG)
    await store.add_tasks(tasks)
    (path,) = files(tmp_path)
    assert path.read_bytes() == BIG
    assert len(path.relative_to(tmp_path / "blobs").parts) == 3
    await store.finish_tasks([an_end(tasks[0].id, FITS, exception=BIG), an_end(tasks[1].id, BIG)])
    assert [p.stat().st_size for p in files(tmp_path)] == [len(BIG)] * 3


async def test_they_go_with_their_tasks(store: SqlStore, tmp_path: Path) -> None:
    old, young = some_tasks(2, payload=BIG), some_tasks(1, payload=BIG, created_at=9e9)
    await store.add_tasks([*old, *young])
    await store.finish_tasks([an_end(old[0].id, BIG, exception=BIG)])
    assert len(files(tmp_path)) == 5
    await store.delete_before(8e9)
    await store.close()
    assert [path.read_bytes() for path in files(tmp_path)] == [BIG]
    await store.open()
    await store.delete_before(1e10)
    await store.close()
    assert list((tmp_path / "blobs").iterdir()) == []


async def test_a_late_end_leaves_no_file(store: SqlStore, tmp_path: Path) -> None:
    (task,) = some_tasks(1)
    await store.add_tasks([task])
    first = an_end(task.id, BIG)
    assert len(await store.finish_tasks([first])) == 1
    assert await store.finish_tasks([an_end(task.id, BIG + b"late", exception=BIG)]) == []
    views = await store.tasks([task.id])
    await store.close()
    assert views[task.id].finished == first
    assert [path.read_bytes() for path in files(tmp_path)] == [BIG]


async def test_a_refused_submit_leaves_no_file(store: SqlStore, tmp_path: Path) -> None:
    tasks = some_tasks(1, payload=BIG)
    await store.add_tasks(tasks)
    with pytest.raises(AlreadyStored):
        await store.add_tasks(tasks)
    await store.close()
    assert len(files(tmp_path)) == 1


async def test_what_a_crash_left_behind_is_swept(store: SqlStore, tmp_path: Path) -> None:
    tasks = some_tasks(1, payload=BIG)
    await store.add_tasks(tasks)
    (kept,) = files(tmp_path)
    await store.close()
    orphan = kept.with_name("0123456789abcdef" * 2)
    half = kept.with_name("fedcba9876543210" * 2 + ".part")
    elsewhere = tmp_path / "blobs" / "012345" / "67" / ("01234567" + "0" * 24)
    elsewhere.parent.mkdir(parents=True)
    foreign = kept.with_name("README")
    for path in (orphan, half, elsewhere, foreign):
        path.write_bytes(b"left")
    await store.open()
    assert files(tmp_path) == sorted([kept, foreign])
    assert not elsewhere.parent.parent.exists()
    assert await store.waiting_tasks(tasks[0].user_endpoint_id) == tasks


async def test_a_lost_file_is_named(store: SqlStore, tmp_path: Path) -> None:
    tasks = some_tasks(1, payload=BIG)
    await store.add_tasks(tasks)
    (path,) = files(tmp_path)
    path.unlink()
    with pytest.raises(BlobMissing, match=path.name):
        await store.waiting_tasks(tasks[0].user_endpoint_id)
    # Only its value is lost.
    assert list(await store.tasks([tasks[0].id])) == [tasks[0].id]


class FullDisk(Blobs):
    """Has room for one file."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, on_sync=self.fill)
        self.room = 1

    def fill(self, path: Path) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(28, "No space left on device", str(path))


async def test_a_full_disk_fails_its_caller_and_leaves_nothing(tmp_path: Path) -> None:
    blobs = FullDisk(tmp_path / "blobs")
    store = SqlStore(SqliteRunner(tmp_path / "afield.db"), "here", blobs=blobs, directory=DataDirectory(tmp_path))
    await store.open()
    tasks = some_tasks(2, payload=BIG)
    with pytest.raises(OSError, match="No space left"):
        await store.add_tasks(tasks)
    assert files(tmp_path) == []
    assert await store.tasks([t.id for t in tasks]) == {}
    blobs.room = 2
    await store.add_tasks(tasks)
    assert len(files(tmp_path)) == 2
    await store.close()


def test_young_files_of_other_services_stay(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    blobs.open()
    (name,) = blobs.write([b"about to be committed elsewhere"])
    assert blobs.sweep(set(), before=1.0) == 0
    assert blobs.read(name) == b"about to be committed elsewhere"
    assert blobs.sweep(set()) == 1
    with pytest.raises(BlobMissing):
        blobs.read(name)


def test_directories_come_back_after_they_were_emptied(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.open()
    for _ in range(3):
        names = blobs.write([b"a", b"b"])
        assert [blobs.read(name) for name in names] == [b"a", b"b"]
        blobs.remove([*names, names[0]])
        assert list((tmp_path / "blobs").iterdir()) == []
