"""PURE: what somebody wants cancelled, until that is answered, and which control messages may be acknowledged.

Theory. A wish is *open* from its arrival until the task's result is safe, until it is certain that the task cannot be
cancelled, or until it turns out not to apply. A control message is acknowledged when no wish in it is open any more. So
whatever this process does not answer before its end, the broker gives to the next life.

A wish may come before its task, and then waits for it. Of those there may be many whose task never comes, as it is
settled long since and forgotten; so only the latest :data:`EARLY` of them are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from afield.wire.messages import Cancel

__all__ = ["EARLY", "Wishes"]

#: How many wishes wait for tasks that are not here; about 2 MB.
EARLY: Final = 10_000


class _Wish:
    __slots__ = ("running", "tags")

    def __init__(self) -> None:
        self.running = False
        self.tags: tuple[int, ...] = ()


class Wishes:
    """The open wishes of one agent.

    :param early: how many may wait for their tasks
    """

    def __init__(self, early: int = EARLY) -> None:
        #: control messages that may be acknowledged; whoever takes them, after each event, empties it
        self.answered: list[int] = []
        #: task id -> the wish; whoever wants to know quickly whether there are any looks here
        self.open: dict[str, _Wish] = {}
        self._early: OrderedDict[str, None] = OrderedDict()
        self._early_most = early
        self._tags: dict[int, int] = {}

    def begin_delivery(self, tag: int) -> None:
        """A control message came; its wishes follow."""
        self._tags[tag] = 1  # the message itself, so that it is not answered before all of it was read

    def end_delivery(self, tag: int) -> None:
        """No more wishes in it."""
        self._less(tag)

    def add(self, tag: int, cancel: Cancel, *, early: bool) -> Cancel:
        """A wish, perhaps for the second time; all that is wanted of its task.

        :param early: its task is not here
        """
        wish = self.open.setdefault(cancel.task_id, _Wish())
        wish.running |= cancel.running
        if tag not in wish.tags:
            wish.tags += (tag,)
            self._tags[tag] += 1
        if early:
            self._early[cancel.task_id] = None
            if len(self._early) > self._early_most:
                self.answer((next(iter(self._early)),))
        return Cancel(cancel.task_id, wish.running)

    def wants(self, task_id: str) -> Cancel | None:
        """What somebody wants of this task; None: nothing."""
        wish = self.open.get(task_id)
        return None if wish is None else Cancel(task_id, wish.running)

    def here(self, task_id: str) -> None:
        """Its task has come."""
        self._early.pop(task_id, None)

    def answer(self, task_ids: Iterable[str]) -> None:
        """The wishes for these, where there are any, are not open any more."""
        for task_id in task_ids:
            wish = self.open.pop(task_id, None)
            if wish is not None:
                self._early.pop(task_id, None)
                for tag in wish.tags:
                    self._less(tag)

    def disconnect(self) -> None:
        """Every tag is void. What was in an open message will come again."""
        for wish in self.open.values():
            wish.tags = ()
        self._tags.clear()

    def _less(self, tag: int) -> None:
        self._tags[tag] -= 1
        if not self._tags[tag]:
            del self._tags[tag]
            self.answered.append(tag)
