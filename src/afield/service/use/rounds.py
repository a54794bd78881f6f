"""What one of several services does for all, again and again: look after what nobody looks after.

Theory. Where the queues survive the services, they are the truth about what is on its way, and nothing is filled again
at a start. What remains are the gaps between two commits, the store's and the broker's:

- *Tasks* are accepted in one commit with a note that they are to be handed over; the note goes when the broker has
  confirmed them. One that stays is of a service that was killed, or of a broker that was away. Who knows that nothing
  has left sends it when the broker is back. Else endpoints of ours know a task that they hold, so it is sent (again). A
  published one would run it twice: what it may have taken is left to it, and counts as taken.
- *Results* are in ``undelivered`` until the broker has confirmed them; they may be sent twice, clients drop the second.
- *A broker that has lost everything* is known by one queue, which is declared when all others have been filled. Where
  it is missing, the store is the truth, and everything is filled from it.

Published endpoints acknowledge what they have taken, and then only they know of it (see
:mod:`afield.service.domain.holding`). This broker does not tell who acknowledged what, but it can be looked at: while
nobody reads a user endpoint's queue, what is unfinished and not in it was taken, for good, by the life that has read
last. So it is looked at when a life has left its queue, and always before the next one is started.

Everything here may be done twice, by two services at once, or be cut off anywhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

from afield.broker.base import QueueSpec
from afield.errors import BrokerError
from afield.service.clock import Clock
from afield.service.domain.liveness import is_gone, is_online, life
from afield.service.domain.records import EndpointRecord, HandOver, TakenTask, TaskMove, UserEndpointRecord
from afield.service.domain.user_endpoints import endpoint_wire
from afield.service.store.base import Store
from afield.service.use.lose import Lose
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.refill import Refill
from afield.service.use.revive import Revive
from afield.service.use.sending import TasksNotSent
from afield.service.use.weed import Weed
from afield.states import TaskState

__all__ = ["FILLED", "Rounds"]

logger = logging.getLogger(__name__)

#: The queue that is there when all others have been filled.
FILLED: Final = QueueSpec("afield.filled")

#: Seconds for which whoever accepted a task or took a result is left to hand it over.
_LATE_S: Final = 15.0

#: Seconds after which nobody is left who knows what was sent to a published user endpoint.
_UNKNOWN_S: Final = 120.0

#: All that there are, also of services whose clock is a little ahead.
_SOON_S: Final = 3600.0
_ALL: Final = 1_000_000


class Rounds:
    """Does it.

    :param admit: makes the logins anew that endpoints were given, on a broker that has lost everything
    :param grace_s: seconds for which results of a life that has ended are waited for
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        *,
        refill: Refill,
        revive: Revive,
        lose: Lose,
        weed: Weed,
        admit: Callable[[EndpointRecord | UserEndpointRecord], Awaitable[None]],
        clock: Clock,
        grace_s: float,
    ) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._refill = refill
        self._revive = revive
        self._lose = lose
        self._weed = weed
        self._admit = admit
        self._clock = clock
        self._grace_s = grace_s
        self._since = self._up_since = clock.now()
        # first task of a submit -> those of its tasks of which this service knows that they were not sent
        self._not_sent: dict[str, frozenset[str]] = {}
        # first tasks of submits of whose other tasks nobody knows whether all were sent
        self._unclear: set[str] = set()
        # user endpoint -> held by who is about to start it
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # task -> since when its life is known to have ended
        self._ending: dict[str, float] = {}

    async def __call__(self) -> None:
        """One round."""
        try:
            await self._fill()
            await self._hand_over()
            await self._refill.late_results(self._clock.now() - _LATE_S)
            await self._look_around()
        except BrokerError as error:
            logger.warning("the broker cannot be worked with just now, what waits for it waits on: %s", error)

    # -- everything ----------------------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        if await self._queues.exists(FILLED.name):
            return
        endpoints = await self._store.endpoints()
        if endpoints:
            logger.warning("the broker is new, or has lost what it held: its queues are filled from the store")
        for endpoint in endpoints:
            if endpoint.registered_at:
                await self._admit(endpoint)
        for user_endpoint in await self._store.user_endpoints():
            await self._admit(user_endpoint)
        await self._refill.everything()
        late = await self._store.hand_overs(self._clock.now() - _LATE_S, limit=_ALL)
        await self._store.handed_over([one.id for one in late])
        await self._queues.declare(FILLED)

    # -- tasks that were accepted --------------------------------------------------------------------------------------

    def not_sent(self, submit: str, error: TasksNotSent) -> None:
        """The sending of a submit broke off.

        :param submit: its first task
        """
        if error.task_ids:
            self._not_sent[submit] = error.task_ids
            if error.is_unclear:
                self._unclear.add(submit)

    def came_back(self) -> None:
        """The broker was away, and is there again."""
        self._up_since = self._clock.now()

    async def retry(self) -> None:
        """Send what this service knows was not sent. Every service does this for itself.

        :raises BrokerError: it cannot be sent now either
        """
        submits = list(self._not_sent)  # others may come in meanwhile
        if not submits:
            return
        known = {one.id: one for one in await self._store.hand_overs(self._clock.now() + _SOON_S, limit=_ALL)}
        for submit in submits:
            # Taken out while it is under way: nobody else may send it, too.
            task_ids, sent = self._not_sent.pop(submit), set[str]()
            try:
                if submit in known:
                    await self._send_rest(known[submit], task_ids, sent)
            except BaseException as error:
                if left := task_ids - sent:
                    self._not_sent[submit] = left
                    if not isinstance(error, TasksNotSent) or error.is_unclear:
                        self._unclear.add(submit)
                raise
            self._unclear.discard(submit)

    async def _send_rest(self, one: HandOver, task_ids: frozenset[str], sent: set[str]) -> None:
        unfinished = await self._unfinished(one)
        await self._refill.again(one.user_endpoint_id, unfinished & task_ids, sent)
        if one.id not in self._unclear:  # else the note stays, for whoever looks into the queue
            await self._store.handed_over([one.id])

    async def _hand_over(self) -> None:
        now = self._clock.now()
        for one in await self._store.hand_overs(now - _LATE_S, limit=_ALL):
            if await self._hand_over_one(one, now):
                await self._store.handed_over([one.id])

    async def _hand_over_one(self, one: HandOver, now: float) -> bool:
        """Whether nothing is left to be done."""
        unfinished = await self._unfinished(one)
        user_endpoint, endpoint = await self._find(one.user_endpoint_id)
        if not unfinished or user_endpoint is None or endpoint is None:
            return True
        if endpoint_wire(endpoint) > 1:
            logger.info("%d accepted tasks are not known to be in their queue, and are sent", len(unfinished))
            await self._refill.again(one.user_endpoint_id, unfinished)
            return True
        has_read = bool(user_endpoint.last_report_at)
        if now < max(one.created_at, self._up_since) + (_UNKNOWN_S if has_read else _LATE_S):
            return False  # who knows that they were not sent, sends them
        queued = await self._queues.waiting_tasks(one.user_endpoint_id)
        if has_read:
            await self._mark(user_endpoint, unfinished - (queued or set()))
        elif queued is None:
            return False  # it begins to read just now, and will have read
        elif missing := unfinished - queued:
            logger.info(
                "%d accepted tasks are not in their queue, which nobody has read yet, and are sent", len(missing)
            )
            await self._refill.again(one.user_endpoint_id, missing)
        return True

    async def _unfinished(self, one: HandOver) -> set[str]:
        views = await self._store.tasks(one.task_ids)
        return {task_id for task_id, view in views.items() if view.finished is None}

    # -- user endpoints ------------------------------------------------------------------------------------------------

    async def before_start(self, user_endpoint: UserEndpointRecord) -> None:
        """A user endpoint is about to be started: what its last life has taken is its; what has ended, nobody's."""
        endpoint = await self._records.endpoint(user_endpoint.endpoint_id)
        if endpoint is None or endpoint_wire(endpoint) > 1:
            return
        # One after the other: whoever looks into the queue seems to read it.
        async with self._turns.setdefault(user_endpoint.id, asyncio.Lock()):
            if await self._queues.is_read(user_endpoint.id):
                return
            await self._weed(user_endpoint.id)
            if user_endpoint.last_report_at:
                taken = await self._store.taken_tasks(user_endpoint.id)
                count = (await self._store.waiting_counts()).get(user_endpoint.id, 0)
                await self._audit(user_endpoint, count, taken)

    async def _weed_all(self) -> None:
        for one in await self._weed.wanted():
            user_endpoint, endpoint = await self._find(one)
            if user_endpoint is None or endpoint is None:
                await self._weed.forget(one)  # it was deleted, and its queue with it
            elif endpoint_wire(endpoint) > 1:
                continue  # it is told
            elif await self._queues.is_read(one):
                await self._weed.forget_old(one, self._clock.now())
            else:
                await self._weed(one)

    async def _look_around(self) -> None:
        # First, for what has ended and is in a queue would hide that as much was taken from it.
        await self._weed_all()
        counts = await self._store.waiting_counts()
        taken: dict[str, list[TakenTask]] = {}
        for task in await self._store.taken_tasks():
            taken.setdefault(task.user_endpoint_id, []).append(task)
        now = self._clock.now()
        for one, count in counts.items():
            user_endpoint, endpoint = await self._find(one)
            if user_endpoint is None or endpoint is None:
                continue
            its, queued = taken.get(one, []), count
            if endpoint_wire(endpoint) == 1 and user_endpoint.last_report_at:
                queued -= await self._audit(user_endpoint, count, its)
                await self._end_lives(user_endpoint, its, now)
            if is_online(user_endpoint, now):
                self._revive.is_there(one)
            elif queued > 0:
                await self._revive.wake(user_endpoint, endpoint)
        self._ending = {task_id: since for task_id, since in self._ending.items() if now - since < 10 * self._grace_s}

    async def _audit(self, user_endpoint: UserEndpointRecord, count: int, taken: list[TakenTask]) -> int:
        """Find what the last life has taken; how many tasks are known to be taken then.

        :param count: unfinished tasks
        :param taken: those that are known to be taken
        """
        if await self._queues.is_read(user_endpoint.id):
            return len(taken)
        if count - len(taken) <= await self._queues.waiting(user_endpoint.id):
            return len(taken)
        # In this order: what is unfinished and not still to be handed over was in the queue before that is looked at.
        unfinished: set[str] = set()
        after = ""
        while page := await self._store.waiting_tasks(user_endpoint.id, after=after):
            unfinished.update(task.id for task in page)
            after = page[-1].id
        for hand_over in await self._store.hand_overs(self._clock.now() + _SOON_S, limit=_ALL):
            unfinished.difference_update(hand_over.task_ids)
        queued = await self._queues.waiting_tasks(user_endpoint.id)
        if queued is None:
            return len(taken)
        unknown = unfinished - queued - {task.id for task in taken}
        await self._mark(user_endpoint, unknown)
        return len(taken) + len(unknown)

    async def _mark(self, user_endpoint: UserEndpointRecord, task_ids: set[str]) -> None:
        if task_ids:
            now, its = self._clock.now(), life(user_endpoint)
            logger.info("%d tasks were taken by a life of user endpoint %s", len(task_ids), user_endpoint.id)
            await self._store.move_tasks(
                [TaskMove(one, TaskState.WAITING_FOR_LAUNCH, now, life=its) for one in sorted(task_ids)]
            )

    async def _end_lives(self, user_endpoint: UserEndpointRecord, taken: list[TakenTask], now: float) -> None:
        """Settle what lives had taken that have ended."""
        its, gone = life(user_endpoint), is_gone(user_endpoint, now, listening_since=self._since)
        lost = []
        for task in taken:
            if task.life == its and not gone:
                self._ending.pop(task.id, None)  # it was only out of earshot
            elif now - self._ending.setdefault(task.id, now) >= self._grace_s:
                lost.append(task.id)
        if lost:
            await self._lose.settle(user_endpoint.id, lost)
            for task_id in lost:
                self._ending.pop(task_id, None)

    async def _find(self, user_endpoint_id: str) -> tuple[UserEndpointRecord | None, EndpointRecord | None]:
        user_endpoint = await self._records.user_endpoint(user_endpoint_id)
        if user_endpoint is None:
            return None, None
        return user_endpoint, await self._records.endpoint(user_endpoint.endpoint_id)
