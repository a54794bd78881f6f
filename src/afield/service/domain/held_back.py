"""PURE: tasks that wait in the store only, because enough of them wait in memory.

Theory: the broker that lives in the service keeps its queues in memory, and tasks may wait for weeks for an endpoint
that is away. They are in the store anyway. So of each user endpoint's tasks only some bytes are put into its queue; of
what comes beyond, only the task's id and its size are remembered, in order, and it is put there when the endpoint has
taken half of what is in the queue. While something is remembered, all that comes goes behind it: tasks leave in the
order in which they came.

What counts is what waits in the queue. What an endpoint has taken and not acknowledged does not: endpoints take as much
as keeps their workers busy, and what they wait for must not depend on what they have.

Tasks are remembered until they are in the queue, not until somebody has begun to read them. So nothing that comes
meanwhile gets ahead of them, and if the queue is emptied and filled anew meanwhile, that is seen
(:meth:`HeldBack.are_first`), and nothing is put there twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

__all__ = ["HeldBack"]

#: What is put into a queue at once, at most: enough to make reading it cheap, little enough to hold in memory.
_MOST_BYTES: Final = 1 << 20
_MOST: Final = 512


class _Line:
    __slots__ = ("ids", "sizes")

    def __init__(self) -> None:
        self.ids: deque[str] = deque()
        self.sizes: deque[int] = deque()


class HeldBack:
    """Of all user endpoints, by their ids. Sizes are bytes.

    :param most: in one user endpoint's queue
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._at_once = min(_MOST_BYTES, most // 2)
        self._lines: dict[str, _Line] = {}

    @property
    def low(self) -> int:
        """More is put into a queue when no more than this is left in it."""
        return self._most // 2

    def admit(self, whose: str, inside: int, tasks: Iterable[tuple[str, int]]) -> int:
        """Tasks have come: how many of them, from the first on, may be put into the queue. The others are remembered.

        :param inside: what waits in the queue
        :param tasks: (task, size)
        """
        line = self._lines.get(whose)
        count = 0
        for task_id, size in tasks:
            if line is None and inside >= self._most:
                line = self._lines[whose] = _Line()
            if line is None:
                inside += size
                count += 1
            else:
                line.ids.append(task_id)
                line.sizes.append(size)
        return count

    def is_any(self, whose: str) -> bool:
        """Whether tasks of this user endpoint are remembered."""
        return whose in self._lines

    def everybody(self) -> list[str]:
        """The user endpoints of which tasks are remembered."""
        return list(self._lines)

    def first(self, whose: str, inside: int) -> list[str]:
        """The next tasks that are to be put into the queue; none: there is no room, or they all are.

        :param inside: what waits in the queue
        """
        line = self._lines.get(whose)
        if line is None or inside > self.low:
            return []
        count = size = 0
        for each in islice(line.sizes, _MOST):
            size += each
            if count and size > self._at_once:
                break
            count += 1
        return list(islice(line.ids, count))

    def are_first(self, whose: str, task_ids: Sequence[str]) -> bool:
        """Whether these are still the next ones."""
        line = self._lines.get(whose)
        return line is not None and list(islice(line.ids, len(task_ids))) == list(task_ids)

    def release(self, whose: str, count: int) -> None:
        """So many are in the queue, from the first on."""
        line = self._lines[whose]
        for _ in range(count):
            line.ids.popleft()
            line.sizes.popleft()
        if not line.ids:
            del self._lines[whose]

    def forget(self, whose: str) -> None:
        """The queue was emptied: whoever did so fills it anew, or its tasks have ended."""
        self._lines.pop(whose, None)
