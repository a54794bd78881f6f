"""How the service says no: an HTTP status, a published code name and a sentence for people.

Clients act on the status (reference: wire contract section 3.1), scripts on the code, people on the sentence. So each
refusal is made in one place, here, by a function named for its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = [
    "Refusal",
    "batch_too_large",
    "body_too_large",
    "conflict",
    "endpoint_forbidden",
    "endpoint_not_found",
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
    "options_not_supported",
    "payload_too_large",
    "python_mismatch",
    "task_not_found",
    "unauthenticated",
]


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """The answer to a request is no.

    :param status: HTTP status, 400-499
    :param code: the published name, such as ``ENDPOINT_NOT_FOUND``
    :param message: for people: what, whose fault, what to do next
    :param about: for programs: what it is about, such as ids and versions
    :ivar headers: of the answer, names in lower case, such as ``retry-after``
    """

    def __init__(
        self, status: int, code: str, message: str, about: Sequence[str] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message, about)
        self.status, self.code, self.message, self.about = status, code, message, about
        self.headers: Mapping[str, str] = headers or {}

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.code})"


def unauthenticated() -> Refusal:
    """No token, or one that lets nobody in."""
    return Refusal(
        401,
        "USER_UNAUTHENTICATED",
        "This service does not know the token that came with the request, or none came. Send `Authorization: Bearer "
        "<token>`; beside a service of your own that is the token in its file below ~/.afield/services, elsewhere "
        "set AFIELD_TOKEN.",
    )


def malformed(message: str) -> Refusal:
    """The body is not what the route takes."""
    return Refusal(400, "REQUEST_MALFORMED", message)


def invalid_id(message: str) -> Refusal:
    """An id is not a UUID."""
    return Refusal(400, "INVALID_UUID", message)


def invalid(message: str) -> Refusal:
    """Understood, and it cannot be."""
    return Refusal(422, "SEMANTICALLY_INVALID", message)


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


def conflict(message: str) -> Refusal:
    """Somebody else has it at this moment."""
    return Refusal(409, "RESOURCE_CONFLICT", message)


def locked(endpoint_id: str, seconds: float) -> Refusal:
    """An endpoint was stopped from afar a moment ago."""
    return Refusal(
        423,
        "RESOURCE_LOCKED",
        f"Endpoint {endpoint_id} was stopped remotely and stays locked for another {seconds:.0f} s. Start it then.",
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
