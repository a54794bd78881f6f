"""Somebody wants tasks ended, wherever they are.

What is to be done is decided in :mod:`afield.service.domain.cancelling`. What must not be lost depends on the order
here: a wish is committed before its task is ended, and before the endpoint is told. So whatever is killed in between,
the wish is found again, and told again: when the service starts (use/refill.py), when a user endpoint's life begins,
and when a life ends without an answer. An endpoint may hear of the same wish more than once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from afield.errors import BrokerError, InvalidId
from afield.ids import parse_id
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.caller import Caller
from afield.service.domain.cancelling import Move, Peer, decide_cancel, peer_of, why_left
from afield.service.domain.documents import cancelled_task
from afield.service.domain.records import CancelRecord, TaskView, UserEndpointRecord
from afield.service.store.base import Store
from afield.service.use.finish import Finish
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.wishes import Wishes
from afield.states import TERMINAL, TaskState
from afield.wire.rest import CancelAnswer, Cancelled, CancelRequest

__all__ = ["Cancel"]

logger = logging.getLogger(__name__)

_ENDED: Final = "The task was cancelled before its endpoint ran it."
_UNHEARD: Final = (
    "The task was cancelled while its endpoint was away. If it had begun there, what it returns is dropped."
)
_UNTELLABLE: Final = (
    "The task was cancelled. Its endpoint runs the published endpoint software, which cannot be told: if it has begun "
    "the task, it finishes it, and what the task returns is dropped."
)


class Cancel:
    """Cancels tasks.

    :param most: tasks that one request may name
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        *,
        wishes: Wishes,
        finish: Finish,
        in_flight: InFlight,
        clock: Clock,
        most: int,
    ) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._wishes = wishes
        self._finish = finish
        self._holding = in_flight.holding
        self._clock = clock
        self._most = most

    async def __call__(self, caller: Caller, request: CancelRequest) -> CancelAnswer:
        """Cancel tasks; what became of each, under its id as it was given. Those that are not the caller's are unknown.

        :raises Refusal: more than one request may name
        """
        if len(request.task_ids) > self._most:
            raise refusals.invalid(
                f"{len(request.task_ids):,} task ids in one request: cancel at most {self._most:,} at a time."
            )
        canonical = {given: _canonical(given) for given in request.task_ids}
        wanted = {one for one in canonical.values() if one is not None}
        views = {
            task_id: view
            for task_id, view in (await self._store.tasks(wanted)).items()
            if decide(Action.CANCEL_TASK, caller, view) is None
        }
        left = await self._cancel(views.values(), running=request.running)
        # What had not ended may have, by what was done here or by a result that came meanwhile.
        views |= await self._store.tasks([view.id for view in views.values() if view.finished is None])
        answers = {}
        for given, one in canonical.items():
            view = None if one is None else views.get(one)
            if view is None:
                answers[given] = Cancelled("unknown")
            else:
                answers[given] = Cancelled(view.state, "" if view.state in TERMINAL else left.get(view.id, ""))
        return CancelAnswer(answers)

    async def again(self, user_endpoint: UserEndpointRecord) -> None:
        """A life of this user endpoint has begun: it knows nothing of what an earlier one was told."""
        await self._tell(await self._wishes.of(user_endpoint.id))

    async def look_around(self) -> None:
        """End the tasks whose user endpoint was asked, and ended without an answer. May be repeated at any time."""
        wishes = await self._wishes.all()
        if not wishes:
            return
        views = await self._store.tasks([wish.task_id for wish in wishes])
        unheard: dict[bool, list[TaskView]] = {}
        for wish in wishes:
            view = views.get(wish.task_id)
            if view is None or view.finished is not None:
                continue  # it is kept for its endpoint
            if await self._peer(wish.user_endpoint_id) is not Peer.OURS_THERE:
                unheard.setdefault(wish.running, []).append(view)
        for running, found in unheard.items():
            await self._cancel(found, running=running)

    async def _cancel(self, views: Collection[TaskView], *, running: bool) -> dict[str, str]:
        """Do what is to be done for each; why some are left alone."""
        now = self._clock.now()
        peers = {one: await self._peer(one) for one in {view.user_endpoint_id for view in views}}
        wishes, ends, left = [], [], {}
        for view in views:
            # What was taken out of a queue that survives this service is not known here, so it may have been.
            peer, taken = peers[view.user_endpoint_id], self._queues.survive or self._holding.is_taken(view.id)
            move = decide_cancel(view.state, peer, taken=taken, running=running)
            if move is Move.LEAVE:
                left[view.id] = why_left(view.state, peer)
                continue
            if move is not Move.END or self._queues.survive:  # see use/weed.py
                wishes.append(CancelRecord(view.id, view.user_endpoint_id, now, running))
            if move is not Move.ASK:
                ends.append(cancelled_task(view.id, _message(view, peer, taken=taken), now))
        if wishes:
            await self._wishes.put(wishes)
        await self._finish.end(ends)
        await self._tell(wishes)
        return left

    async def _peer(self, user_endpoint_id: str) -> Peer:
        user_endpoint = await self._records.user_endpoint(user_endpoint_id)
        endpoint = None if user_endpoint is None else await self._records.endpoint(user_endpoint.endpoint_id)
        return peer_of(endpoint, user_endpoint, self._clock.now())

    async def _tell(self, wishes: Iterable[CancelRecord]) -> None:
        by_user_endpoint: dict[str, list[CancelRecord]] = {}
        for wish in wishes:
            by_user_endpoint.setdefault(wish.user_endpoint_id, []).append(wish)
        for user_endpoint_id, found in by_user_endpoint.items():
            await self._send(user_endpoint_id, found)

    async def _send(self, user_endpoint_id: str, wishes: Sequence[CancelRecord]) -> None:
        if await self._peer(user_endpoint_id) is Peer.PUBLISHED:
            return
        try:
            await self._queues.send_cancels(user_endpoint_id, wishes)
        except BrokerError as error:
            # They are committed, and told again; an error would say that nothing was done.
            logger.warning("%d wishes to cancel could not be queued; they are stored, and wait: %s", len(wishes), error)


def _message(view: TaskView, peer: Peer, *, taken: bool) -> str:
    if peer is Peer.PUBLISHED and taken:
        return _UNTELLABLE
    return _UNHEARD if view.state is not TaskState.WAITING_FOR_ENDPOINT else _ENDED


def _canonical(task_id: str) -> str | None:
    try:
        return parse_id(task_id, "task")
    except InvalidId:
        return None
