"""Results on disk until they are confirmed.

One file for each batch, and in it the very message that is published: so sending it later is reading it. A file that is
there is whole: it is written beside, synced, then renamed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from afield.errors import WireError
from afield.wire import v2
from afield.wire.messages import Result

__all__ = ["Outbox"]

_SUFFIX: Final = ".results"


class Outbox:
    """The outbox of one user endpoint.

    :param directory: its place; made if it is not there
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> tuple[dict[int, tuple[str, ...]], list[str]]:
        """What earlier lives left: number of the batch -> its task ids; and complaints about files that are broken.

        A broken file is put aside under another name, not deleted: somebody may want to look at it.
        """
        found: dict[int, tuple[str, ...]] = {}
        complaints: list[str] = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            try:
                found[int(path.stem)] = tuple(result.task_id for result in v2.decode(path.read_bytes()))
            except (WireError, ValueError) as error:
                aside = path.with_suffix(".broken")
                path.replace(aside)
                complaints.append(f"{aside} should hold results and is broken, so they are lost: {error}")
        for path in self._directory.glob("*.part"):
            path.unlink()
        return found, complaints

    def keep(self, number: int, results: Sequence[Result]) -> None:
        """Write a batch. Blocks until it is safe on the disk.

        :raises OSError: it is not
        """
        path = self._path(number)
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                file.write(v2.encode_results(results))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def body(self, number: int) -> bytes:
        """The message of a batch."""
        return self._path(number).read_bytes()

    def drop(self, number: int) -> None:
        """A batch is safe elsewhere."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}{_SUFFIX}"
