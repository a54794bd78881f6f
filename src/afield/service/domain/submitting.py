"""What a submit may hold: all that can be refused by looking at the request alone.

Whatever could fail after the commit (a number that no message can hold, a payload that no worker can take apart) is
refused here, before it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from afield.service.domain import refusals
from afield.service.domain.packing import is_packed
from afield.service.domain.records import EndpointRecord, FunctionRecord
from afield.service.domain.refusals import Refusal
from afield.service.domain.user_endpoints import check_options
from afield.wire import v2
from afield.wire.messages import CallOptions
from afield.wire.plain import is_plain
from afield.wire.rest import SubmitRequest

__all__ = ["asked_for", "check_function", "check_submit"]

#: Options as their users name them, where that is not the name of the field.
_SPOKEN: Final = {"timeout_s": "timeout"}

#: What needs nothing of an endpoint: a label is for people, a pause is nothing without retries.
_HARMLESS: Final = frozenset({"label", "backoff_s"})

#: How many exceptions may be named, and how many characters each may have; they are kept with every task.
_MOST_NAMES: Final = 100
_LONGEST_NAME: Final = 300

#: Bytes as JSON. The first two travel in the headers of each task, which have to fit into one frame of 128 KiB: a
#: broker hangs up on whoever sends a longer one, and that would be us. The others are in every start command; what a
#: published endpoint makes of them has to fit into 64 KiB (reference: wire contract section 5.6).
_MOST_SAID: Final = {
    "resource_specification": 32_768,
    "result_serializers": 32_768,
    "user_endpoint_config": 262_144,
    "user_runtime": 262_144,
}

_NOTHING: Final = CallOptions()


def asked_for(options: CallOptions | None) -> list[str]:
    """Which options only an endpoint of ours can honour, as their users name them."""
    if options is None:
        return []
    return [
        _SPOKEN.get(name, name)
        for name in CallOptions.__struct_fields__
        if name not in _HARMLESS and getattr(options, name) != getattr(_NOTHING, name)
    ]


def check_submit(
    request: SubmitRequest, *, client_wire: int, endpoint_wire: int, most_tasks: int, most_bytes: int
) -> Refusal | None:
    """Why it cannot be accepted; None: nothing in it speaks against it.

    :param client_wire: the highest version of the envelope that the submitter reads
    :param endpoint_wire: the highest one that the endpoint reads
    :param most_tasks: in one submit
    :param most_bytes: of the serialized arguments of one task
    """
    count = sum(map(len, request.tasks.values()))
    if not count:
        return refusals.invalid("tasks is empty: a submit holds at least one task.")
    if count > most_tasks:
        return refusals.batch_too_large(count, most_tasks)
    return (
        check_options(request.user_endpoint_config)
        or _check_plain(request)
        or _check_sizes(request)
        or _check_call(request, endpoint_wire)
        or _check_functions(request, client_wire)
        or _check_payloads(request, most_bytes)
    )


def check_function(function: FunctionRecord, endpoint: EndpointRecord, named: str) -> Refusal | None:
    """Why a function cannot run there; None: it can, as far as the endpoint is concerned.

    :param named: as the request names it
    """
    if endpoint.allowed_functions is not None and function.id not in endpoint.allowed_functions:
        return refusals.function_not_permitted(named, endpoint.id)
    bound = function.ha_endpoint_id
    if bound is not None and not (bound == endpoint.id and endpoint.high_assurance):
        return refusals.function_bound_elsewhere(named, endpoint.id, bound)
    return None


def _check_plain(request: SubmitRequest) -> Refusal | None:
    for name in ("resource_specification", "user_endpoint_config", "user_runtime"):
        if not is_plain(getattr(request, name)):
            return refusals.invalid(f"{name} holds a number that needs more than 64 bits: write it as text.")
    return None


def _check_sizes(request: SubmitRequest) -> Refusal | None:
    for name, most in _MOST_SAID.items():
        said = getattr(request, name)
        if said and (size := len(msgspec.json.encode(said))) > most:
            return refusals.invalid(
                f"{name} has {size:,} bytes as JSON, and may have {most:,}: write large things where the endpoint can "
                "read them, and name their place."
            )
    return None


def _check_call(request: SubmitRequest, endpoint_wire: int) -> Refusal | None:
    options = request.options
    if options is None:
        return None
    names = options.retry_on
    if len(names) > _MOST_NAMES or any(len(name) > _LONGEST_NAME for name in names):
        return refusals.invalid(
            f"options.retry_on may name at most {_MOST_NAMES} exceptions of at most {_LONGEST_NAME} characters each: "
            "name a class that they have in common."
        )
    asked = asked_for(options)
    return refusals.options_not_supported(asked) if asked and endpoint_wire < v2.VERSION[0] else None


def _check_functions(request: SubmitRequest, client_wire: int) -> Refusal | None:
    if not request.functions:
        return None
    if client_wire < v2.VERSION[0]:
        return refusals.malformed(
            f"functions in a submit are only for clients that send the header {v2.WIRE_HEADER}: 2, for only they are "
            "told which ids these got. Send it, or register the functions first."
        )
    idle = [key for key in request.functions if key not in request.tasks]
    if idle:
        return refusals.invalid(f"functions[{idle[0]}] belongs to no task: use it as a key of tasks, or leave it out.")
    return None


def _check_payloads(request: SubmitRequest, most: int) -> Refusal | None:
    for function_id, payloads in request.tasks.items():
        for place, payload in enumerate(payloads):
            # A character is at most four bytes; only what could be too large is counted in bytes.
            if len(payload) > most // 4 and len(payload.encode()) > most:
                return refusals.payload_too_large(len(payload.encode()), most)
            if not is_packed(payload, 2):
                return refusals.invalid(
                    f"tasks[{function_id}][{place}] is not two packed buffers, for args and kwargs: send what the "
                    "SDK's serializer packs."
                )
    return None
