"""Big values of rows, as files (:mod:`afield.service.store.blobs`): written in threads, read by the work on the
database, removed when no row names them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from sqlalchemy import Connection

from afield.service.store.blobs import THRESHOLD, BlobMissing, Blobs
from afield.service.store.sql import ends

__all__ = ["Files", "Names"]

#: for each value, the name of its file; None: it stays in its row
Names = Future[list[bytes | None]]

#: Threads that write files. More only make them wait for the same disk.
_WRITERS = 4


class Files:
    """The files of one store.

    :param blobs: where they are; None: everything stays in rows
    :param where: the database, for messages, without secrets
    :param block: calls something that blocks for a moment, from within work
    :param shared_age: seconds. Where other services write to the same place, only files older than this are taken for
        left behind; None: it is ours alone
    """

    def __init__(
        self, blobs: Blobs | None, where: str, block: Callable[..., Any], *, shared_age: float | None = None
    ) -> None:
        self._blobs, self._where, self._block, self._shared_age = blobs, where, block, shared_age
        self._writers: ThreadPoolExecutor | None = None

    def open(self) -> bool:
        """Get ready; whether there are files at all, which are then to be swept."""
        if self._blobs is not None:
            self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="afield-blobs")
        return self._blobs is not None

    async def close(self) -> None:
        """Finish what is under way. Twice is fine."""
        writers, self._writers = self._writers, None
        if writers is not None:
            await asyncio.to_thread(writers.shutdown)

    def write(self, values: Sequence[bytes | None]) -> Names | None:
        """Begin to write the big ones; their names, None for those that stay in rows. None: all of them do."""
        if self._blobs is None or self._writers is None:
            return None
        big = [i for i, value in enumerate(values) if value is not None and len(value) > THRESHOLD]
        if not big:
            return None

        def write(blobs: Blobs) -> list[bytes | None]:
            names: list[bytes | None] = [None] * len(values)
            for i, name in zip(big, blobs.write([values[i] or b"" for i in big]), strict=True):
                names[i] = name
            return names

        return self._writers.submit(write, self._blobs)

    def load(self, name: bytes) -> bytes:
        """Read one, from within work.

        :raises BlobMissing: it is not there
        """
        if self._blobs is None:
            raise BlobMissing(
                f"a row of {self._where} refers to the file {name.hex()}: it was written with a data directory, and "
                "this service was started without one"
            )
        value: bytes = self._block(self._blobs.read, name)
        return value

    def remove(self, names: Sequence[bytes]) -> None:
        """Remove files that no row names any more; what fails here is swept when the store is next opened."""
        if names and self._blobs is not None and self._writers is not None:
            self._writers.submit(self._blobs.remove, names)

    def remove_all(self, written: Names | None) -> None:
        """Remove what was written for nothing."""
        if written is not None:
            self.remove([name for name in written.result() if name is not None])

    def sweep(self, connection: Connection) -> None:
        """Remove what a crash left behind: work, for when the store is opened."""
        assert self._blobs is not None
        before = None if self._shared_age is None else time.time() - self._shared_age
        self._block(self._blobs.open)
        self._block(partial(self._blobs.sweep, before=before), ends.files(connection))
