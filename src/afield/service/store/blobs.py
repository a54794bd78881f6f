"""Big values as files beside the database: rows carry 24 MB/s, files 150 and more.

A file has a name of its own, made when it is written, and never changes. It is safe on the disk before the row that
names it is committed, and is removed after the row is: so a row's file is always there, and what a crash leaves behind
are files that no row names. Those go when the store is next opened.

A name is a UUIDv7, and its leading digits are the file's two directories: what is written within a minute lies
together, shares one fsync of the directory, and grows old together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from afield.errors import DataDirectoryError
from afield.ids import new_ids

__all__ = ["THRESHOLD", "BlobMissing", "Blobs"]

#: Values above this many bytes are files. Around here a file of its own begins to be cheaper than pages of a database.
THRESHOLD = 64 * 1024

_TEMPORARY = ".part"


class BlobMissing(DataDirectoryError):  # noqa: N818 - says what it is
    """A row refers to a file that is not there: it was just forgotten, or somebody removed it by hand."""


class Blobs:
    """The files below one directory. Every method blocks and may be called from any thread.

    :param root: the directory; made by :meth:`open`
    :param on_sync: called with the path before each flush to disk; where a test makes disks fail
    """

    def __init__(self, root: Path, *, on_sync: Callable[[Path], None] | None = None) -> None:
        self._root = root
        self._on_sync = on_sync
        #: directories whose own entry is known to be on the disk
        self._anchored: set[Path] = set()

    def open(self) -> None:
        """Make the directory.

        :raises OSError: it cannot be made
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, values: Sequence[bytes]) -> list[bytes]:
        """Write each value to a file of its own; all are safe on the disk on return.

        :return: their names: 16 bytes each, to be kept in rows
        :raises OSError: the disk is full or fails; none of these files is left
        """
        names = [bytes.fromhex(name.replace("-", "")) for name in new_ids(len(values))]
        written: list[Path] = []
        try:
            for name, value in zip(names, values, strict=True):
                path = self._path(name)
                if path.parent not in self._anchored:
                    self._anchor(path.parent)
                written.append(path)
                self._write_one(path, value)
            for directory in {path.parent for path in written}:
                _sync_directory(directory)
        except OSError:
            for path in written:
                path.unlink(missing_ok=True)
            raise
        return names

    def read(self, name: bytes) -> bytes:
        """The value of a name.

        :raises BlobMissing: there is no such file
        """
        path = self._path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise BlobMissing(
                f"{path} is missing: a task's payload or result was in it. Restore it from a backup of this data "
                "directory; the database and its files belong together"
            ) from None

    def remove(self, names: Iterable[bytes]) -> None:
        """Remove files, and directories that are empty then. Those that are gone already are fine."""
        directories = set()
        for name in names:
            path = self._path(name)
            path.unlink(missing_ok=True)
            directories.add(path.parent)
        for directory in directories:
            self._remove_if_empty(directory)

    def sweep(self, named: set[bytes], *, before: float | None = None) -> int:
        """Remove files that no row names; how many.

        :param named: the names in all rows
        :param before: unix time; younger files stay, because another service may be about to commit their rows
        """
        swept = 0
        for path in list(self._files()):
            if not _is_ours(path) or (path.suffix != _TEMPORARY and bytes.fromhex(path.name) in named):
                continue
            if before is not None and path.stat().st_mtime >= before:
                continue
            path.unlink(missing_ok=True)
            swept += 1
            self._remove_if_empty(path.parent)
        return swept

    def _files(self) -> Iterator[Path]:
        return (path for path in self._root.glob("*/*/*") if path.is_file())

    def _path(self, name: bytes) -> Path:
        text = name.hex()
        return self._root / text[:6] / text[6:8] / text

    def _write_one(self, path: Path, value: bytes) -> None:
        temporary = path.with_name(path.name + _TEMPORARY)
        descriptor = self._create(temporary)
        try:
            rest = memoryview(value)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if self._on_sync is not None:
                self._on_sync(path)
            os.fdatasync(descriptor)
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def _create(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            try:
                return os.open(path, flags, 0o600)
            except FileNotFoundError:
                # Somebody removed the empty directory between our two steps.
                self._anchor(path.parent)

    def _anchor(self, directory: Path) -> None:
        """Make a directory and see its entry, and its parent's, to the disk."""
        for level in (directory.parent, directory):
            try:
                level.mkdir(mode=0o700)
            except FileExistsError:
                if level in self._anchored:
                    continue
            except FileNotFoundError:
                # Its parent went away again; the caller tries once more.
                return
            _sync_directory(level.parent)
            self._anchored.add(level)

    def _remove_if_empty(self, directory: Path) -> None:
        for level in (directory, directory.parent):
            try:
                level.rmdir()
            except OSError:
                # Not empty, or gone: both are fine.
                return
            self._anchored.discard(level)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_ours(path: Path) -> bool:
    """Whether a file has a name that only we give, be it done or half written."""
    return re.fullmatch(r"[0-9a-f]{32}(\.part)?", path.name) is not None
