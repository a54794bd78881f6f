"""What endpoints sent that nobody can take, and what the log says of it.

A line for each would let anybody fill the disk; so there is one for each sender and bunch, with the first of its
faults.
"""

from __future__ import annotations

import logging

__all__ = ["Dropped"]


class Dropped:
    """Messages of one bunch that are dropped.

    :param logger: who tells of it
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        # sender -> how many, and what was wrong with the first
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, sender: str, what: str) -> None:
        """One more.

        :param what: goes on from "sent something that"
        """
        count, first = self._found.get(sender, (0, what))
        self._found[sender] = count + 1, first

    def tell(self) -> None:
        """Say it."""
        for sender, (count, what) in self._found.items():
            more = f", and {count - 1} more like it" if count > 1 else ""
            self._logger.warning("%s sent something that %s; it is dropped%s", sender, what, more)
