"""How the service says no: an HTTP status, a published code name and a sentence for people.

Clients act on the status (reference: wire contract section 3.1), scripts on the code, people on the sentence. So each
refusal is made in one place, here, by a function named for its reason; those about people are in
:mod:`afield.service.domain.people_refusals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = [
    "Refusal",
    "batch_too_large",
    "body_too_large",
    "broker_away",
    "conflict",
    "endpoint_forbidden",
    "endpoint_not_found",
    "endpoint_outdated",
    "endpoint_runs_no_guests",
    "endpoint_unprotected",
    "endpoint_without_template",
    "function_bound_elsewhere",
    "function_forbidden",
    "function_not_found",
    "function_not_permitted",
    "function_too_large",
    "group_forbidden",
    "group_not_found",
    "invalid",
    "invalid_id",
    "locked",
    "malformed",
    "media_type_not_supported",
    "options_not_supported",
    "payload_too_large",
    "python_mismatch",
    "scope_missing",
    "store_away",
    "task_not_found",
    "too_many_requests",
    "too_many_waiting",
    "unauthenticated",
]


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """The answer to a request is no.

    :param status: HTTP status, 400-499
    :param code: the published name, such as ``ENDPOINT_NOT_FOUND``
    :param message: for people: what, whose fault, what to do next
    :param about: for programs: what it is about, such as ids and versions
    :ivar headers: of the answer, names in lower case, such as ``retry-after``
    :ivar authorization: how to log in so that the answer may be yes; the ``authorization_parameters`` of a published
        authorization-requirements document
    """

    def __init__(
        self, status: int, code: str, message: str, about: Sequence[str] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message, about)
        self.status, self.code, self.message, self.about = status, code, message, about
        self.headers: Mapping[str, str] = headers or {}
        self.authorization: Mapping[str, object] | None = None

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.code})"


def unauthenticated() -> Refusal:
    """No token, or one that lets nobody in."""
    return Refusal(
        401,
        "USER_UNAUTHENTICATED",
        "This service does not know the token that came with the request, or none came. Run `afield login`, or send "
        "`Authorization: Bearer <token>` with a token of yours (AFIELD_TOKEN); beside a service of your own that is "
        "the token in its file below ~/.afield/services.",
        headers={"www-authenticate": "Bearer"},
    )


def scope_missing(scopes: Sequence[str]) -> Refusal:
    """A token that is good for other things (RFC 6750 section 3.1). Published clients log in again by themselves.

    :param scopes: one of these would do
    """
    refusal = Refusal(
        403,
        "ConsentRequired",
        f"The token is good for other things only: this needs one with the scope {' or '.join(scopes)}. Log in again, "
        "and ask for that.",
        scopes,
        {"www-authenticate": f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'},
    )
    refusal.authorization = {"required_scopes": list(scopes[:1])}
    return refusal


def malformed(message: str) -> Refusal:
    """The body is not what the route takes."""
    return Refusal(400, "REQUEST_MALFORMED", message)


def media_type_not_supported(message: str) -> Refusal:
    """The body is of another kind than the route takes."""
    return Refusal(415, "UNSUPPORTED_MEDIA_TYPE", message)


def invalid_id(message: str) -> Refusal:
    """An id is not a UUID."""
    return Refusal(400, "INVALID_UUID", message)


def invalid(message: str) -> Refusal:
    """Understood, and it cannot be."""
    return Refusal(422, "SEMANTICALLY_INVALID", message)


def endpoint_outdated(version: str, oldest: str) -> Refusal:
    """A published endpoint too old for this service."""
    return Refusal(
        400,
        "ENDPOINT_OUTDATED",
        f"This endpoint is of version {version}, and this service takes published ones from {oldest} on: install a "
        "newer globus-compute-endpoint, or afield, where it is.",
        [version, oldest],
    )


def endpoint_without_template(version: str) -> Refusal:
    """A published endpoint that runs tasks in its one process."""
    return Refusal(
        400,
        "ENDPOINT_OUTDATED",
        "This endpoint runs tasks itself, by the engine in its config.yaml, and this service takes only those that "
        "start user endpoints from a template. From version 4.0 on, `globus-compute-endpoint "
        "migrate-to-template-capable` makes it one; before, configure another one with --multi-user, which is good for "
        "a single user, too.",
        [version],
    )


def options_not_supported(names: Sequence[str]) -> Refusal:
    """Call options for an endpoint that can do nothing about them."""
    return Refusal(
        422,
        "OPTIONS_NOT_SUPPORTED",
        f"This endpoint runs the published endpoint software, which knows nothing of {', '.join(names)}: the tasks "
        "would run as if that had not been asked for. Leave it out, or submit to an endpoint that runs Afield.",
        names,
    )


def python_mismatch(what: str, made_by: str, workers: str, about: Sequence[str]) -> Refusal:
    """Compiled code that the workers cannot read.

    :param what: what was compiled, as the beginning of a sentence that goes on with "compiled by"
    :param made_by: the version of Python that compiled it
    :param workers: that of the endpoint's workers
    :param about: ``workers``, and which functions of the submit that is
    """
    return Refusal(
        422,
        "PYTHON_MISMATCH",
        f"{what} compiled by Python {made_by}, and the endpoint's workers run Python {workers}, which cannot read it. "
        f"Send source instead of compiled code, submit from Python {'.'.join(workers.split('.')[:2])}, or use an "
        f"endpoint whose workers run Python {'.'.join(made_by.split('.')[:2])}.",
        about,
    )


def body_too_large(limit: int) -> Refusal:
    """More bytes than any request may have."""
    return Refusal(
        413, "BATCH_RUN_TOO_LARGE", f"A request may have at most {limit:,} bytes. Send the tasks in smaller batches."
    )


def batch_too_large(count: int, limit: int) -> Refusal:
    """More tasks than one submit may have."""
    return Refusal(
        413,
        "BATCH_RUN_TOO_LARGE",
        f"One submit may hold at most {limit:,} tasks, and this one holds {count:,}. Send them in smaller batches.",
    )


def too_many_requests(seconds: int) -> Refusal:
    """Somebody asks more often than they may (RFC 6585 section 4).

    :param seconds: after which they may again; clients wait for so long
    """
    return Refusal(
        429,
        "TOO_MANY_REQUESTS",
        f"You ask more often than this service lets one person ask. Ask again in {seconds} s; put more tasks into one "
        "submit, and let results stream in instead of asking for them.",
        headers={"retry-after": str(seconds)},
    )


def too_many_waiting(message: str) -> Refusal:
    """A queue is full, and may have room in a while. Published clients wait for at most ten seconds at a time."""
    return Refusal(429, "TOO_MANY_TASKS_WAITING", message, headers={"retry-after": "10"})


def payload_too_large(size: int, limit: int) -> Refusal:
    """The arguments of one task are too large."""
    return Refusal(
        413,
        "TASK_PAYLOAD_TOO_LARGE",
        f"The arguments of a task may have at most {limit:,} bytes when serialized, and these have {size:,}. "
        "Put large data where the endpoint can read it, and send its place.",
    )


def function_too_large(size: int, limit: int) -> Refusal:
    """The code of a function is too large."""
    return Refusal(
        413,
        "FUNCTION_TOO_LARGE",
        f"A function may have at most {limit:,} bytes when serialized, and this one has {size:,}. "
        "It probably drags data along: pass that as an argument, or load it inside the function.",
    )


def function_not_found(function_id: str) -> Refusal:
    """No such function."""
    return Refusal(404, "FUNCTION_NOT_FOUND", f"There is no function {function_id} here. Register it first.")


def function_forbidden(function_id: str) -> Refusal:
    """Somebody else's function."""
    return Refusal(
        403,
        "FUNCTION_ACCESS_FORBIDDEN",
        f"Function {function_id} belongs to somebody else, who has not made it public.",
    )


def function_not_permitted(function_id: str, endpoint_id: str) -> Refusal:
    """The endpoint runs only some functions."""
    return Refusal(
        403,
        "FUNCTION_NOT_PERMITTED",
        f"Endpoint {endpoint_id} runs only the functions that its owner lists, and {function_id} is not one of them.",
    )


def function_bound_elsewhere(function_id: str, endpoint_id: str, bound_to: str) -> Refusal:
    """A function of high assurance, and another endpoint than its own."""
    return Refusal(
        403,
        "FUNCTION_NOT_PERMITTED",
        f"Function {function_id} was registered for endpoint {bound_to} alone, as one of high assurance, and cannot "
        f"run on {endpoint_id}. Submit it there, or register it anew without ha_endpoint_id.",
    )


def broker_away() -> Refusal:
    """What was asked needs the broker, which does not answer the service just now."""
    return Refusal(
        503,
        "SERVICE_UNAVAILABLE",
        "The service does not reach its message broker just now. Nothing is lost; try again in a moment.",
        headers={"retry-after": "2"},
    )


def store_away() -> Refusal:
    """What was asked needs the database, which does not answer the service just now."""
    return Refusal(
        503,
        "SERVICE_UNAVAILABLE",
        "The service does not reach its database just now. What it had accepted is kept; try again in a moment.",
        headers={"retry-after": "2"},
    )


def endpoint_not_found(endpoint_id: str) -> Refusal:
    """No such endpoint."""
    return Refusal(
        404, "ENDPOINT_NOT_FOUND", f"There is no endpoint {endpoint_id} here. Is it registered with this service?"
    )


def endpoint_forbidden(endpoint_id: str, doing: str) -> Refusal:
    """Somebody else's endpoint.

    :param doing: what the caller wanted, as in "may not … endpoint X"
    """
    return Refusal(
        403,
        "ENDPOINT_ACCESS_FORBIDDEN",
        f"You may not {doing} endpoint {endpoint_id}: it belongs to somebody else. Ask its owner.",
    )


def endpoint_runs_no_guests(endpoint_id: str) -> Refusal:
    """A published endpoint that was shared: it would drop every task but its owner's."""
    return Refusal(
        403,
        "ENDPOINT_ACCESS_FORBIDDEN",
        f"Endpoint {endpoint_id} is shared with you, and runs the published endpoint software, which runs only its "
        "owner's tasks. Ask its owner to run Afield's endpoint software there (`afield endpoint start`), or to set up "
        "identity mapping.",
    )


def endpoint_unprotected(policy_id: str) -> Refusal:
    """What protects an endpoint is gone: nobody gets in."""
    return Refusal(
        403,
        "ENDPOINT_ACCESS_FORBIDDEN",
        f"The endpoint is protected by authentication policy {policy_id}, which does not exist any more. Ask its owner "
        "to start it with another one.",
    )


def conflict(message: str) -> Refusal:
    """Somebody else has it at this moment."""
    return Refusal(409, "RESOURCE_CONFLICT", message)


def locked(endpoint_id: str, seconds: float) -> Refusal:
    """An endpoint was stopped from afar a moment ago."""
    return Refusal(
        423,
        "RESOURCE_LOCKED",
        f"Endpoint {endpoint_id} was stopped remotely and stays locked for another {seconds:.0f} s. Start it then, "
        f"or unlock it before: afield endpoint unlock {endpoint_id}",
    )


def task_not_found(task_id: str) -> Refusal:
    """No such task, or not the caller's: which of the two is nobody else's business."""
    return Refusal(404, "TASK_NOT_FOUND", f"There is no task {task_id} here, or its retention has ended.")


def group_not_found(group_id: str) -> Refusal:
    """No such task group."""
    return Refusal(404, "TASK_GROUP_NOT_FOUND", f"There is no task group {group_id} here.")


def group_forbidden(group_id: str) -> Refusal:
    """Somebody else's task group."""
    return Refusal(403, "TASK_GROUP_ACCESS_FORBIDDEN", f"Task group {group_id} belongs to somebody else.")
