"""SEAM: lives of replicas, from start to end, and whether one has ended: known as soon as its process is gone.

What every implementation promises, and ``afield.testing.lives`` checks:

- Each start is a life of its own, with a name that no other had or will have.
- A life that goes on is never said to have ended, but while its replica has lost the connection by which it is known.
- A life whose replica was closed or killed is said to have ended, as soon as that is known where it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from afield.ids import new_id

__all__ = ["Lives", "MemoryLives", "OnlyLife"]


class Lives(Protocol):
    """One replica's life, and what it knows of the others'."""

    @property
    def life(self) -> str:
        """The name of this replica's life."""

    async def open(self) -> None:
        """It begins.

        :raises DataDirectoryError: that cannot be kept
        """

    async def close(self) -> None:
        """It ends. Twice is fine."""

    async def ended(self, lives: Iterable[str]) -> frozenset[str]:
        """Those of these lives that have ended.

        :raises ConnectionError: that cannot be known just now
        """


class OnlyLife:
    """Of a service that is the only one on its store: whatever is not its own life has ended."""

    def __init__(self) -> None:
        self.life = new_id()

    async def open(self) -> None:
        """Nothing to do: who opened the store is the only one."""

    async def close(self) -> None:
        """Nothing to do."""

    async def ended(self, lives: Iterable[str]) -> frozenset[str]:
        """All others."""
        return frozenset(lives) - {self.life}


class MemoryLives:
    """Several in one process, for tests: the verified fake.

    :param going_on: those that go on; shared by all
    """

    def __init__(self, going_on: set[str]) -> None:
        self.life = new_id()
        self._going_on = going_on

    async def open(self) -> None:
        """Be among them."""
        self._going_on.add(self.life)

    async def close(self) -> None:
        """Leave."""
        self._going_on.discard(self.life)

    async def ended(self, lives: Iterable[str]) -> frozenset[str]:
        """Those that are not among them."""
        return frozenset(lives) - self._going_on
