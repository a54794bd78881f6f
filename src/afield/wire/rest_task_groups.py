"""REST bodies about task groups: for how long what is theirs is kept. Ours; the published API has no such thing."""

from __future__ import annotations

import msgspec

__all__ = ["TaskGroupTimes", "TaskGroupWish"]


class TaskGroupWish(msgspec.Struct, forbid_unknown_fields=True):
    """POST /afield/v1/taskgroups, PUT /afield/v1/taskgroups/{id}. What is left out or null is as the service has it."""

    #: seconds for which its tasks and their results are kept from their end on
    retention_s: float | None = None
    #: seconds for which its tasks wait for their endpoint before they fail
    waiting_s: float | None = None


class TaskGroupTimes(msgspec.Struct):
    """The answer to these, and to GET /afield/v1/taskgroups/{id}."""

    taskgroup_id: str
    #: unix seconds
    created_at: float
    #: seconds, which hold for its tasks
    retention_s: float
    waiting_s: float
    #: whether the group says so itself, or the service does
    own_retention: bool
    own_waiting: bool
