"""REST bodies that only the first published SDKs and endpoints use, where newer ones use those of
:mod:`afield.wire.rest`.
"""

from __future__ import annotations

import msgspec

__all__ = ["FlatSubmit", "FlatSubmitAnswer", "FlatTask", "LockedUntil"]


class FlatSubmit(msgspec.Struct):
    """POST /v2/submit."""

    #: one each: id of the function, id of the endpoint, packed arguments
    tasks: list[tuple[str, str, str]]
    #: chosen by the client
    task_group_id: str | None = None
    #: whether it will watch the group's queue; that is one of AMQP, for all its name
    create_websocket_queue: bool = False


class FlatTask(msgspec.Struct):
    """One accepted task."""

    task_uuid: str
    status: str = "Success"
    http_status_code: int = 200


class FlatSubmitAnswer(msgspec.Struct):
    """The accepted tasks, in the order of the request."""

    task_group_id: str
    results: list[FlatTask]


class LockedUntil(msgspec.Struct):
    """POST /v2/endpoints/{id}/lock."""

    endpoint_id: str
    #: in ISO 8601
    lock_expiration_timestamp: str
