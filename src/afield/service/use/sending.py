"""Tasks on their way to a broker elsewhere: of each it is known whether it certainly was not sent.

Theory. A connection may break between any two messages. Of each message there are then three answers: the broker has
confirmed it; it certainly never left (there was no connection, or the broker gave it back); or nobody knows. Whoever
reads the published envelope runs twice what is sent twice. So only what certainly never left may be sent again, and
what nobody knows is left to whoever looks into the queue later (use/rounds.py). Once a window of messages has broken
off, those behind it are not tried, and so certainly have not left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from afield.broker.base import NotSent, Publication
from afield.errors import BrokerError, BrokerUnreachable, Unroutable
from afield.service.use.spelling import Parcel

__all__ = ["WINDOW", "TasksNotSent", "send_parcels"]

#: How many messages are under way to the broker at once.
WINDOW: Final = 256

Publish = Callable[[Publication], Awaitable[None]]


class TasksNotSent(BrokerUnreachable):
    """Tasks could not be sent, or not all of them.

    :param task_ids: those that certainly were not; they may be sent again
    :param is_unclear: of others nobody knows whether they were; they must not be
    """

    def __init__(self, reason: BaseException, task_ids: frozenset[str], *, is_unclear: bool) -> None:
        super().__init__(str(reason))
        self.task_ids = task_ids
        self.is_unclear = is_unclear


async def send_parcels(publish: Publish, parcels: Sequence[Parcel], declare: Callable[[], Awaitable[None]]) -> None:
    """Send them all, in their order.

    :param publish: ends when the broker has confirmed one
    :param declare: makes the queue exist; called where the broker says that there is none
    :raises TasksNotSent: some were not, or nobody knows
    """
    outcomes = await _window(publish, parcels[:1])
    if any(isinstance(one, Unroutable) for one in outcomes):
        # The broker has lost the queue since, or another service has removed it.
        try:
            await declare()
        except BrokerError as error:
            raise TasksNotSent(error, _ids(parcels), is_unclear=False) from error
        outcomes = await _window(publish, parcels[:1])
    _check(outcomes, parcels)
    for begin in range(1, len(parcels), WINDOW):
        _check(await _window(publish, parcels[begin : begin + WINDOW]), parcels[begin:])


async def _window(publish: Publish, parcels: Sequence[Parcel]) -> list[BaseException | None]:
    if len(parcels) == 1:
        # By far the most: without a task of its own.
        try:
            await publish(parcels[0].publication)
        except BrokerError as error:
            return [error]
        return [None]
    return await asyncio.gather(*(publish(one.publication) for one in parcels), return_exceptions=True)


def _check(outcomes: Sequence[BaseException | None], parcels: Sequence[Parcel]) -> None:
    """Raise what became of them, if not all were confirmed.

    :param parcels: those of these outcomes, and all behind them
    """
    failed = [one for one in outcomes if one is not None]
    if not failed:
        return
    for error in failed:
        if not isinstance(error, BrokerError):
            raise error
    unsent = [
        parcel for error, parcel in zip(outcomes, parcels, strict=False) if isinstance(error, NotSent | Unroutable)
    ]
    is_unclear = len(unsent) < len(failed)
    raise TasksNotSent(failed[0], _ids([*unsent, *parcels[len(outcomes) :]]), is_unclear=is_unclear) from failed[0]


def _ids(parcels: Sequence[Parcel]) -> frozenset[str]:
    return frozenset(task_id for parcel in parcels for task_id in parcel.task_ids)
