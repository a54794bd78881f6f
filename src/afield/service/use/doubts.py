"""Submits whose commit broke off, so that nobody knows whether they are in the store.

The submitter is told that it failed, and sends it again. If the first time was in the store after all, the answer of
then is given; but its tasks are in no queue yet. Where queues and the store's notes of hand-overs survive a service,
others look after that (use/rounds.py), and after a restart everything is queued from the store. This is for what is
left: a service whose queues live in its memory, and whose database was out of reach for a moment.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from afield.service.use.outage import is_outage
from afield.service.use.refill import Refill

__all__ = ["Doubts"]

logger = logging.getLogger(__name__)

#: Submits that are remembered. Each is forgotten when it is sent again; few are not.
_MOST = 10_000


class Doubts:
    """Remembers them until they are sent again."""

    def __init__(self, refill: Refill) -> None:
        self._refill = refill
        # key of a submit -> the user endpoint of its tasks
        self._known: dict[bytes, str] = {}

    def broke_off(self, error: BaseException, key: bytes | None, user_endpoint_id: str) -> None:
        """The commit of a submit ended with an error."""
        if key is not None and is_outage(error):
            if len(self._known) >= _MOST:
                self._known.clear()  # a restart queues them
            self._known[key] = user_endpoint_id

    async def found(self, key: bytes, task_ids: Sequence[str]) -> None:
        """It was in the store, with these tasks."""
        user_endpoint_id = self._known.get(key)
        if user_endpoint_id is None:
            return
        logger.warning("%d tasks were accepted although their commit seemed to fail; they are queued", len(task_ids))
        await self._refill.adopt(user_endpoint_id, task_ids)
        self._known.pop(key, None)
