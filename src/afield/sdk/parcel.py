"""One submit: the calls in it, what it says, and how to send it again in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from afield.errors import ComputeAPIError, DeserializationError
from afield.sdk.calls import Call
from afield.sdk.coalesce import NOTHING_ASKED, Lane, halves
from afield.sdk.functions import Function
from afield.serialize import carries_code
from afield.wire.rest import FunctionRegistration, SubmitRequest

__all__ = ["Parcel", "is_compiled", "of_fit_size"]

_json = msgspec.json.Decoder(dict[str, Any]).decode


class Parcel:
    """Calls of one lane that go together. Functions that the service does not have yet ride along.

    :param calls: at least one
    """

    def __init__(self, lane: Lane, calls: Sequence[Call]) -> None:
        self.lane = lane
        #: by what stands for their function in the request: its id, or a name that only this request knows
        self.calls: dict[str, list[Call]] = {}
        #: functions that ride, by that name
        self.riding: dict[str, Function] = {}
        #: whether arguments hold compiled code
        self.compiled = False
        # Mostly there is one function, so what is looked up for each call is only whether it is another one.
        function: Function | None = None
        places: dict[Function, list[Call]] = {}
        some: list[Call] = []
        for call in calls:
            if call.function is not function:
                function = call.function
                some = places.get(function) or self._place(function, places)
            some.append(call)
            if not self.compiled and is_compiled(call.payload):
                self.compiled = True

    def _place(self, function: Function, places: dict[Function, list[Call]]) -> list[Call]:
        key = function.id
        if key is None:
            key = f"new-{len(self.riding)}"
            self.riding[key] = function
        # Two objects may stand for one registered function.
        places[function] = some = self.calls.setdefault(key, [])
        return some

    def request(self, user_runtime: dict[str, Any]) -> SubmitRequest:
        """What is sent.

        :param user_runtime: what is said of this program
        """
        options = self.lane.options
        return SubmitRequest(
            tasks={key: [call.payload for call in calls] for key, calls in self.calls.items()},
            create_queue=True,
            task_group_id=self.lane.group.id,
            resource_specification=_json(options.resource_specification) if options.resource_specification else None,
            user_endpoint_config=_json(options.user_endpoint_config) if options.user_endpoint_config else None,
            user_runtime=user_runtime,
            result_serializers=list(options.result_serializers) or None,
            options=None if options.call == NOTHING_ASKED else options.call,
            functions={key: _registration(function) for key, function in self.riding.items()} or None,
            compiled=self.compiled,
        )

    def parts(self, error: BaseException) -> Sequence[Sequence[Call]]:
        """How to send a refused parcel again so that only what is refused fails; nothing: that would not help."""
        calls = [call for some in self.calls.values() for call in some]
        if not isinstance(error, ComputeAPIError) or len(calls) < 2:
            return ()
        if error.http_status == 413:
            return halves(calls)
        if error.code.startswith("FUNCTION_") and len(self.calls) > 1:
            return list(self.calls.values())
        return ()


def is_compiled(payload: str) -> bool:
    """Whether packed arguments hold compiled code. Of what a strategy wrote that is not known here, nobody knows."""
    try:
        return carries_code(payload)
    except DeserializationError:
        return False


def _registration(function: Function) -> FunctionRegistration:
    assert function.registration is not None  # without an id there is one
    return function.registration


def of_fit_size(
    calls: Sequence[Call], most: int | None
) -> tuple[Sequence[Call], Sequence[tuple[Call, ComputeAPIError]]]:
    """Calls whose arguments a service takes; and the others, each with the answer that it would get.

    :param most: bytes of a task's arguments that the service said it takes; None: it did not say
    """
    if most is None or all(len(call.payload) <= most for call in calls):
        return calls, ()
    fit = [call for call in calls if len(call.payload) <= most]
    return fit, [(call, _too_large(len(call.payload), most)) for call in calls if len(call.payload) > most]


def _too_large(size: int, most: int) -> ComputeAPIError:
    return ComputeAPIError(
        413,
        "TASK_PAYLOAD_TOO_LARGE",
        f"The arguments of a task may have at most {most:,} bytes when serialized, and these have {size:,}; they were "
        "not sent. Put large data where the endpoint can read it, and send its place.",
    )
