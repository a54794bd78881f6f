"""What the first published SDKs ask for under other names: the same is done for them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from afield.service.api.ask import Ask
from afield.service.api.endpoints import lock
from afield.service.api.tasks import submit
from afield.service.domain import refusals
from afield.wire.rest import SubmitRequest, SubmitResponse
from afield.wire.rest_older import FlatSubmit, FlatSubmitAnswer, FlatTask, LockedUntil

__all__ = ["lock_until", "submit_flat"]

_accepted = msgspec.json.Decoder(SubmitResponse).decode


async def submit_flat(ask: Ask, body: FlatSubmit) -> FlatSubmitAnswer:
    """Accept tasks for an endpoint, all or none, as published SDKs before 2.3 ask it."""
    tasks: dict[str, list[str]] = {}
    for function_id, _, payload in body.tasks:
        tasks.setdefault(function_id, []).append(payload)
    endpoints = {endpoint_id for _, endpoint_id, _ in body.tasks}
    if not endpoints:
        raise refusals.invalid("The batch has no tasks: add some, or do not submit it.")
    if len(endpoints) > 1:
        raise refusals.invalid(
            f"The batch is for {len(endpoints)} endpoints, and is accepted as a whole or not at all: make a batch for "
            "each endpoint."
        )
    request = SubmitRequest(tasks, body.create_websocket_queue, body.task_group_id)
    answer = _accepted(await submit(ask, endpoints.pop(), request))
    ids = {function_id: iter(made) for function_id, made in answer.tasks.items()}
    return FlatSubmitAnswer(
        answer.task_group_id, [FlatTask(next(ids[function_id])) for function_id, _, _ in body.tasks]
    )


async def lock_until(ask: Ask, endpoint_id: str) -> LockedUntil:
    """Stop an endpoint from afar, as published SDKs before 3.1 ask it."""
    locked = await lock(ask, endpoint_id)
    until = datetime.fromtimestamp(locked.lock_expiration_timestamp, UTC)
    return LockedUntil(locked.endpoint_id, until.isoformat())
