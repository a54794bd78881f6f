"""The Python of each endpoint's workers, and what is sent because of it.

Compiled code is read only by the minor version of Python that made it; another crashes, or computes something else
(reference: dependencies, section 7). The service knows the workers' version and refuses, before it accepts anything,
what they could not read; then it says what that was, and here it is decided what goes instead:

1. Where another minor version is known, functions that have a source go as source from the first. One that has none
   goes as it is: what is known here may be old, and the service knows.
2. Of what was refused, functions go again as source, and calls for which there is no other way fail.
3. What goes again has fewer calls or fewer compiled functions each time, so this ends.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any, Final

from afield.errors import SerializationError, VersionMismatch
from afield.sdk.calls import Call
from afield.sdk.coalesce import Lane
from afield.sdk.functions import Function
from afield.sdk.parcel import Parcel, is_compiled
from afield.sdk.transport.base import Refusal
from afield.serialize import ComputeSerializer

__all__ = ["MISMATCH", "Pythons", "minor"]

#: The code of the refusal.
MISMATCH: Final = "PYTHON_MISMATCH"

#: The identifiers of the strategies whose text is compiled code.
_COMPILED: Final = frozenset({"01", "02"})

#: Functions of which the other form is remembered.
_MOST_KNOWN: Final = 1000


def minor(version: str) -> str:
    """``3.12`` of ``3.12.1``."""
    return ".".join(version.split(".")[:2])


class Pythons:
    """What is known, for one client.

    :param here: the version of this program
    """

    def __init__(self, here: str | None = None) -> None:
        self.here = here or platform.python_version()
        #: by endpoint and configuration, because each configuration may start workers of its own
        self._there: dict[tuple[str, bytes], str] = {}
        self._sources: dict[Function, Function] = {}

    def learn(self, lane: Lane, version: str | None) -> None:
        """The service says what the workers run; None: it does not know."""
        if version is not None:
            self._there[lane.endpoint_id, lane.options.user_endpoint_config] = version

    def there(self, lane: Lane) -> str | None:
        """What is known of the workers, or None."""
        return self._there.get((lane.endpoint_id, lane.options.user_endpoint_config))

    def choose(self, lane: Lane, calls: Sequence[Call]) -> None:
        """Have what is compiled go as source, where that is known to be needed."""
        there = self.there(lane)
        if there is None or minor(there) == minor(self.here):
            return
        for call in calls:
            if _travels_compiled(call.function):
                call.function = self._source(call.function) or call.function

    def again(self, parcel: Parcel, refusal: Refusal, failed: Callable[[Call, Unreadable], None]) -> list[Call]:
        """What to send instead of what was refused.

        :param failed: called with each call for which there is no other way, and why
        """
        there, *keys = map(str, refusal.about or (self.there(parcel.lane) or "another version",))
        self.learn(parcel.lane, there)
        left: list[Call] = []
        changed = False
        for key, calls in parcel.calls.items():
            for call in calls:
                source = self._source(call.function) if key in keys else None
                if key in keys and source is None:
                    failed(call, Unreadable(call, self.here, there, self._why_not(call.function)))
                elif parcel.compiled and is_compiled(call.payload):
                    failed(call, Unreadable(call, self.here, there))
                else:
                    changed = changed or source is not None
                    call.function = source or call.function
                    left.append(call)
        if len(left) == sum(map(len, parcel.calls.values())) and not changed:
            for call in left:
                failed(call, Unreadable(call, self.here, there, str(refusal)))
            return []
        return left

    def _source(self, function: Function) -> Function | None:
        """The same function as source, or None."""
        found = self._sources.get(function)
        if found is None and function.registration is not None and _travels_compiled(function):
            try:
                registration = function.portable()
            except SerializationError:
                return None
            found = self._sources[function] = Function(function.name, None, registration)
            if len(self._sources) > _MOST_KNOWN:
                del self._sources[next(iter(self._sources))]
        return found

    def _why_not(self, function: Function) -> str:
        if function.registration is None:
            return f"it is registered as compiled code ({function.id}); register it again from a source"
        try:
            function.portable()
        except SerializationError as error:
            return str(error)
        return "its source is not read there either"


def _travels_compiled(function: Function) -> bool:
    """Whether it travels as code that only one minor version of Python reads, as far as is known here."""
    meta = function.registration.meta if function.registration is not None else None
    return meta is not None and meta.get("serde_identifier") in _COMPILED


class Unreadable:
    """The end of a call that the workers could not have read; see :class:`~afield.sdk.lazy.Sealed`.

    :param why: what is wrong with its function; None: an argument is to blame
    """

    failed = True

    def __init__(self, call: Call, here: str, there: str, why: str | None = None) -> None:
        self._name, self._endpoint_id = call.function.name, call.lane.endpoint_id
        self._here, self._there, self._why = here, there, why
        self._payload: str | None = call.payload if why is None else None
        self._serializer: ComputeSerializer = call.future.origin.serializer

    def open(self) -> tuple[Any, BaseException | None]:
        """The exception. To find the argument, arguments are unpickled, which may run anybody's code."""
        here, there = self._here, self._there
        if self._payload is None:
            what = f"{self._name} can only be sent as compiled code: {self._why}"
            way_out = "define it in a file, with all that it needs in it or importable"
        else:
            place = _argument_with_code(self._serializer, self._payload)
            what = f"{place} of {self._name} holds a function or class that can only be sent as compiled code"
            way_out = "define that in a module that is installed at both ends"
        return None, VersionMismatch(
            f"this program runs Python {here}, the workers of endpoint {self._endpoint_id} run Python {there}, and "
            f"{what}. Nothing was sent. Run this program with Python {minor(there)}, choose workers with Python "
            f"{minor(here)} (user_endpoint_config), or {way_out}"
        )


def _argument_with_code(serializer: ComputeSerializer, payload: str) -> str:
    """Which argument it is, as a person would say it."""
    try:
        args, kwargs = map(serializer.deserialize, serializer.unpack_buffers(payload))
        named = [(f"argument {place}", value) for place, value in enumerate(args, 1)]
        named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
        for name, value in named:
            if is_compiled(serializer.pack_buffers([serializer.serialize((value,))])):
                return name
    except Exception:  # noqa: BLE001 - classes of users; what is certain is said without it
        return "an argument"
    return "an argument"
