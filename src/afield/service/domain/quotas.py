"""PURE: how many tasks may wait.

Theory: tasks wait in the service's database and in the memory of its queues, for an endpoint that may not come for two
weeks, so somebody's endless loop must end somewhere. Two limits end it: one for all that a person has waiting anywhere,
one for all that waits for an endpoint, whoever submitted it.

A limit that is reached says 429, not 422. Published clients take 422 for the last word: every future of the batch fails
and the Executor takes no more submits (reference: wire contract section 3.1). On 429 they ask up to five times more, at
intervals of ``Retry-After``, which they obey up to ten seconds. A queue that is being worked on has room by then; one
that is not fails the batch a minute later, and says the same. A submit that could never fit is told so at once, by 413.
"""

from __future__ import annotations

from afield.service.domain import refusals
from afield.service.domain.refusals import Refusal

__all__ = ["check_room"]


def check_room(
    count: int, endpoint_id: str, *, of_caller: int, of_endpoint: int, per_user: int, per_endpoint: int
) -> Refusal | None:
    """Why so many tasks more cannot wait; None: they can.

    :param count: tasks of the submit
    :param endpoint_id: for which they are
    :param of_caller: tasks that the caller has waiting, for any endpoint and by any of their identities and clients
    :param of_endpoint: tasks that wait for this endpoint, of anybody
    :param per_user: the most that one person may have waiting; 0: no limit
    :param per_endpoint: the most that may wait for one endpoint; 0: no limit
    """
    for most in (per_user, per_endpoint):
        if most and count > most:
            return refusals.batch_too_large(count, most)
    if per_user and of_caller + count > per_user:
        return refusals.too_many_waiting(
            f"You have {of_caller:,} tasks waiting, {count:,} more are {of_caller + count - per_user:,} too many: this "
            f"service lets one person have {per_user:,}. Submit the rest when some have been taken, or cancel some."
        )
    if per_endpoint and of_endpoint + count > per_endpoint:
        return refusals.too_many_waiting(
            f"{of_endpoint:,} tasks wait for endpoint {endpoint_id}, and this service lets {per_endpoint:,} wait for "
            f"one: {count:,} more cannot. Submit them when it has worked some off, or use another endpoint."
        )
    return None
