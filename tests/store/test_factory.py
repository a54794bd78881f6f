"""Which store a URL means."""

from __future__ import annotations

from pathlib import Path

import pytest

from afield.errors import ConfigurationError, DataDirectoryError
from afield.service.store.factory import open_store
from afield.service.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("as_text", [True, False])
async def test_a_path_is_a_data_directory(tmp_path: Path, as_text: bool) -> None:
    data = tmp_path / "a" / "b"
    store = open_store(str(data) if as_text else data)
    await store.open()
    await store.close()
    assert {path.name for path in data.iterdir()} >= {"afield.db", "lock", "blobs"}


async def test_a_file_and_its_directory_may_be_apart(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/db/it.db", data_dir=tmp_path / "data")
    await store.open()
    await store.close()
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"lock", "blobs"}
    assert (tmp_path / "db" / "it.db").exists()


def test_memory_keeps_nothing() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize(
    "url", ["mysql://root:secret@host/db", "sqlite:relative.db", "sqlite:///", "postgresql://h:port/db"]
)
def test_an_unknown_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user:password@host"):
        open_store(url)


async def test_a_database_that_is_not_there_is_named_without_its_password(unused_port: int) -> None:
    store = open_store(f"postgresql://ada:secret@127.0.0.1:{unused_port}/afield")
    with pytest.raises(DataDirectoryError, match=rf"127\.0\.0\.1:{unused_port}/afield.*Is it running") as caught:
        await store.open()
    assert "secret" not in str(caught.value)
    await store.close()
