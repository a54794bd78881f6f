"""PURE: the nodes of a block, and which task of it has which.

First come, first served: a task that waits for many nodes is not overtaken by those that want few, or it might wait for
ever. That leaves nodes idle for a while, as it must.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Grant", "Partition"]

T = TypeVar("T")


class Grant(NamedTuple, Generic[T]):
    """A task that may begin."""

    task: T
    nodes: list[str]


class Partition(Generic[T]):
    """Who has which node.

    :param nodes: names; one that is there twice counts twice
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        self._free = deque(nodes)
        self._waiting: deque[tuple[int, int, T]] = deque()
        self._taken: dict[int, list[str]] = {}

    def ask(self, number: int, count: int, task: T) -> list[Grant[T]]:
        """A task wants nodes. Returns who may begin now.

        :param number: its name
        :param count: of the nodes that it wants
        """
        self._waiting.append((number, count, task))
        return self._grant()

    def end(self, number: int) -> list[Grant[T]]:
        """A task is over. Returns who may begin now."""
        self._free.extend(self._taken.pop(number, ()))
        return self._grant()

    def _grant(self) -> list[Grant[T]]:
        granted = []
        while self._waiting and self._waiting[0][1] <= len(self._free):
            number, count, task = self._waiting.popleft()
            nodes = [self._free.popleft() for _ in range(count)]
            self._taken[number] = nodes
            granted.append(Grant(task, nodes))
        return granted
