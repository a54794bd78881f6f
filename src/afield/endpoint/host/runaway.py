"""What an endpoint has stopped starting, in a file: it outlives the process, and removing it says that all is well.

``<endpoint>/runaway.json`` is written by the manager about user endpoints, ``runaway.json`` in the directory of a user
endpoint by that one about its blocks. The file is there exactly as long as something is stopped. ``afield endpoint
clear`` removes it, and whoever wrote it notices at the next look. No message is needed, so it works for an endpoint
that does not run, and from another node with the same home directory.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from afield.endpoint.breaker import Open

__all__ = ["BLOCKS", "RUNAWAY_FILE", "RunawayFile"]

logger = logging.getLogger("afield.endpoint")

RUNAWAY_FILE: Final = "runaway.json"
#: Under this name a user endpoint's file has its blocks.
BLOCKS: Final = "blocks"
#: No file is longer, in bytes: one may lie in the directory of somebody else.
_MOST: Final = 1024 * 1024

_decoder: msgspec.json.Decoder[dict[str, Open]] = msgspec.json.Decoder(dict[str, Open])


class RunawayFile:
    """One such file.

    :param directory: of the endpoint, or of the user endpoint
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / RUNAWAY_FILE
        self._kept = False

    def load(self) -> Mapping[str, Open]:
        """What an earlier process has stopped. A file that cannot be read counts as none, and is told."""
        try:
            found = _decoder.decode(self._read())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("%s cannot be read, so it is as if it were not there: %s", self._path, error)
            return {}
        self._kept = bool(found)
        return found

    def _read(self) -> bytes:
        # The directory may be somebody else's: what lies there may be a link, a pipe, or without end.
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is no plain file")
            return file.read(_MOST)

    def keep(self, stopped: Mapping[str, Open]) -> None:
        """Write down what is stopped now. A disk that does not take it changes nothing about that."""
        part = self._path.with_suffix(".new")
        try:
            if stopped:
                # The ends of people's logs are in it, and they are nobody else's business.
                fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with os.fdopen(fd, "wb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(stopped)) + b"\n")
                part.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be written, so `afield endpoint clear` has no effect: %s", self._path, error)
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._kept = False
        else:
            self._kept = bool(stopped)

    def was_cleared(self) -> bool:
        """Whether somebody has removed what was written down; said once."""
        cleared = self._kept and not self._path.exists()
        if cleared:
            self._kept = False
        return cleared

    def clear(self) -> Mapping[str, Open]:
        """Say that all is well; what was stopped.

        :raises OSError: the file cannot be removed
        """
        found = self.load()
        self._path.unlink(missing_ok=True)
        return found
