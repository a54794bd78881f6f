"""PURE: where tasks are, told to whoever submitted them, at a price that short tasks do not notice.

Theory. While something is unfinished, the agent looks around every :data:`EVERY_S`, and says what it had not said. A
task is spoken of only when it was in the same state at two looks in a row; so one that is done within a tenth of a
second never is. At one look at most :data:`MOST` waiting tasks are told, the oldest first: of a flood of short tasks
nearly all are done before it is their turn, and the few that are not are cheap. Then it waits until the message is
out, so that a slow service is not sent more than it takes.

When everything here is known to run, nothing can change without an event; then there are no looks until one comes.

::

    RESTING ──something is unfinished──► DUE ──look──► (nothing to say) ──► RESTING or DUE
                                          ▲            (something) ──► TELLING ──it is out──┐
                                          └─────────────────────────────────────────────────┘
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Final

from afield.endpoint.agent.ledger import Phase
from afield.states import TaskState
from afield.wire.messages import Notice

__all__ = ["EVERY_S", "MOST", "Looks"]

#: The least time between two looks, in seconds.
EVERY_S: Final = 0.1
#: How many waiting tasks are told at one look: 2,560 a second, which a service stores in passing.
MOST: Final = 256


class _Mode(IntEnum):
    RESTING = 0
    DUE = 1  #: a look was asked for
    TELLING = 2  #: a message is on its way


class Looks:
    """What one agent says of its tasks while they are unfinished.

    :param on: whether whoever listens understands it
    """

    def __init__(self, *, on: bool) -> None:
        self._on = on
        #: whether there is somebody to tell; whoever owns this closes it
        self.open = False
        self._mode = _Mode.RESTING
        #: came, or came back to waiting, since the last look
        self._fresh: list[str] = []
        #: not spoken of yet: since when, and which
        self._waiting: deque[tuple[int, deque[str]]] = deque()
        #: seen running at the last look: since when
        self._seen: dict[str, int] = {}
        #: told to be running, and not known to have ended
        self.told: set[str] = set()

    def waits(self, task_ids: Iterable[str]) -> None:
        """These wait to be begun."""
        if self._on:
            self._fresh += task_ids

    def ended(self, task_ids: Iterable[str]) -> None:
        """The engine is done with these."""
        self.told.difference_update(task_ids)

    def waits_again(self, task_id: str) -> None:
        """A task that ran waits for another attempt."""
        self._seen.pop(task_id, None)
        self.told.discard(task_id)
        self.waits((task_id,))

    def start_over(self, unfinished: Iterable[str]) -> None:
        """There is somebody to tell, who may not have heard what was said before."""
        self.open = self._on
        self._waiting.clear()
        self.told.clear()
        self._fresh = list(unfinished) if self._on else []

    def due(self, begun: int) -> bool:
        """Whether to ask for a look now; then it has been.

        :param begun: how many tasks the engine has
        """
        if self._mode is not _Mode.RESTING:
            return False
        if not self._fresh and not self._waiting and len(self.told) == begun:
            return False
        self._mode = _Mode.DUE
        return True

    def missed(self) -> None:
        """The look that was asked for came, and there is nobody to tell."""
        self._mode = _Mode.RESTING

    def gone(self) -> None:
        """A message is out, or could not be sent. It may be one that came of no look."""
        if self._mode is _Mode.TELLING:
            self._mode = _Mode.RESTING

    def tell(
        self, running: Sequence[str], at: int, phase: Callable[[str], Phase | None], begun: Callable[[str], int]
    ) -> list[Notice]:
        """What there is to say at a look.

        :param running: the tasks that the engine says are running
        :param at: unix time in nanoseconds
        :param phase: where a task is
        :param begun: how many attempts of it have begun, where it may have several
        """
        notices: list[Notice] = []
        seen = {task_id: self._seen.get(task_id, at) for task_id in running if phase(task_id) is Phase.HANDED}
        told = {task_id for task_id in self.told if task_id in seen}
        for task_id, since in seen.items():
            if task_id in self._seen and task_id not in told:
                told.add(task_id)
                attempt = max(begun(task_id), 1)
                if attempt > 1:
                    # For whoever has heard that it runs, a pause too short to be told would make it no news.
                    notices.append(Notice(task_id, TaskState.WAITING_FOR_LAUNCH, since, attempt))
                notices.append(Notice(task_id, TaskState.RUNNING, since, attempt))
        self._seen, self.told = seen, told
        left = MOST
        while self._waiting and left:
            since, batch = self._waiting[0]
            while batch and left:
                task_id = batch.popleft()
                where = phase(task_id)
                if where in (Phase.WAITING, Phase.HANDED) and task_id not in seen:
                    attempt = max(begun(task_id) + (where is Phase.WAITING), 1)
                    notices.append(Notice(task_id, TaskState.WAITING_FOR_LAUNCH, since, attempt))
                    left -= 1
            if not batch:
                self._waiting.popleft()
        if self._fresh:
            self._waiting.append((at, deque(self._fresh)))
            self._fresh = []
        self._mode = _Mode.TELLING if notices else _Mode.RESTING
        return notices
