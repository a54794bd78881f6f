"""PURE: results that nobody has taken yet, and how many of them wait in memory.

Theory: the broker that lives in the service keeps its queues in memory, and a task group's results wait in one until a
client takes them, which may be never. The results are in the store anyway. So of each group only some bytes are put
into the queue; of what comes beyond, only the task's id is remembered, in order, and it is put there when clients have
taken half of what is in the queue. While something is remembered, all that comes goes behind it.

What is in a queue is counted: bytes put in, less bytes acknowledged. A client may ask for messages that need no
acknowledgement; so a queue that is seen to be empty, and of which nothing waits for one, is empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = ["Backlog"]


class Backlog:
    """Of all task groups, by their ids.

    :param most: bytes of results in one group's queue
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # in the queue, in bytes
        self._inside: dict[str, int] = {}
        # in the store only
        self._outside: dict[str, deque[str]] = {}

    def admit(self, group_id: str, sizes: Iterable[tuple[str, int]]) -> int:
        """Results have come: how many of them, from the first on, may be put into the queue. The others are remembered.

        :param sizes: (task, bytes)
        """
        outside = self._outside.get(group_id)
        inside = self._inside.get(group_id, 0)
        count = 0
        for task_id, size in sizes:
            if outside is None and inside >= self._most:
                outside = self._outside[group_id] = deque()
            if outside is None:
                inside += size
                count += 1
            else:
                outside.append(task_id)
        return count

    def put(self, group_id: str, size: int) -> None:
        """So many bytes were put into a group's queue."""
        self._inside[group_id] = self._inside.get(group_id, 0) + size

    def taken(self, group_id: str, size: int) -> bool:
        """So many bytes were acknowledged; whether there is room now for what is outside."""
        inside = self._inside.get(group_id, 0) - size
        if inside > 0:
            self._inside[group_id] = inside
        else:
            self._inside.pop(group_id, None)
        return group_id in self._outside and inside <= self._most // 2

    def is_empty(self, group_id: str) -> None:
        """Nothing is in a group's queue, whatever was counted."""
        self._inside.pop(group_id, None)

    def forget(self, group_id: str) -> None:
        """A group's queue was emptied, and is filled from the store."""
        self._inside.pop(group_id, None)
        self._outside.pop(group_id, None)

    def outside(self) -> list[str]:
        """The groups that have results outside of their queues."""
        return list(self._outside)

    def next(self, group_id: str, most: int) -> list[str]:
        """Take the next tasks, at most so many, whose results are to be put into the queue; none: there is no room, or
        they all are.
        """
        outside = self._outside.get(group_id)
        if outside is None or self._inside.get(group_id, 0) > self._most // 2:
            return []
        found = [outside.popleft() for _ in range(min(most, len(outside)))]
        if not outside:
            del self._outside[group_id]
        return found
