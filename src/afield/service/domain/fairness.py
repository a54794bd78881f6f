"""PURE: whose turn it is to have their submit committed and handed to its queue.

What people share of a service is its event loop, its database's one writer and its broker; from there on each user
endpoint has a queue of its own, which no other backlog stands in. So the one place where somebody could stand in line
behind a hundred thousand tasks of somebody else is between the request and the commit. Here that line is a fair one.

Theory: self-clocked fair queueing (Golestani, INFOCOM 1994). Time is counted in tasks. Each submit gets a finish tag:
the later of the virtual time and of its submitter's last tag, plus its size. Submits are let in by rising tags, and the
virtual time is the tag of the last one let in. So a person's many large submits have tags far in the future, one behind
the other, and another person's single task gets a tag next to now: it is let in before all of them, however many they
are. Nobody starves: a tag never rises once it is given.

How much is let in at once is limited by ``room``, in tasks; one submit is always let in where nothing else is.
"""

from __future__ import annotations

import heapq

__all__ = ["Line", "Turn"]


class Turn:
    """One submit's place.

    :param who: whose it is
    :param size: tasks
    """

    __slots__ = ("left", "let_in", "size", "who")

    def __init__(self, who: str, size: int) -> None:
        self.who, self.size = who, size
        self.let_in = False
        self.left = False


class Line:
    """Submits that are let in, and those that wait for it.

    :param room: tasks that may be inside at once
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._inside = 0
        self._now = 0
        self._count = 0
        # who -> the tag of the last one that they lined up; no entry: none in the future
        self._tags: dict[str, int] = {}
        # (tag, order of arrival, turn)
        self._waiting: list[tuple[int, int, Turn]] = []

    def join(self, who: str, size: int) -> Turn:
        """Somebody comes; ``let_in`` of what is returned says whether they may go on at once."""
        turn = Turn(who, size)
        tag = max(self._now, self._tags.get(who, 0)) + size
        self._tags[who] = tag
        self._count += 1
        heapq.heappush(self._waiting, (tag, self._count, turn))
        self._let_in()
        return turn

    def leave(self, turn: Turn) -> list[Turn]:
        """Somebody is done, or has gone away while waiting; who may go on now. Twice is fine."""
        if turn.left:
            return []
        turn.left = True
        if turn.let_in:
            self._inside -= turn.size
        return self._let_in()

    def _let_in(self) -> list[Turn]:
        found = []
        while self._waiting:
            tag, _, turn = self._waiting[0]
            if not turn.left:
                if self._inside and self._inside + turn.size > self._room:
                    break  # it is the next one: nobody smaller overtakes it for ever
                turn.let_in = True
                self._inside += turn.size
                self._now = max(self._now, tag)
                found.append(turn)
            heapq.heappop(self._waiting)
            if self._tags.get(turn.who, 0) <= self._now:
                self._tags.pop(turn.who, None)
        if not self._waiting and not self._inside:
            self._tags.clear()
        return found
