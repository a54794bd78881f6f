"""Functions as the service knows them: serialized once, registered once.

A function object is serialized when it is first submitted; what happens to it afterwards does not matter. Bound methods
and objects that cannot be weakly referenced are serialized each time, because a new object stands for them each time;
what comes out byte for byte the same is not registered again.
"""

from __future__ import annotations

import inspect
import platform
import weakref
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from types import MethodType
from typing import Any, Final

from afield.errors import SerializationError
from afield.sdk.version import sdk_version
from afield.serialize import ComputeSerializer
from afield.wire.rest import FunctionRegistration

__all__ = ["Function", "FunctionCache", "describe"]

#: Distinct functions of which one client remembers the text.
_MOST_KNOWN: Final = 10_000


class Function:
    """One function on its way to the service, or there.

    :param name: for messages
    :param id: its UUID; None: not registered yet
    :param registration: how to register it; None where the id is known
    """

    __slots__ = ("id", "name", "registration")

    def __init__(self, name: str, id: str | None, registration: FunctionRegistration | None = None) -> None:  # noqa: A002
        self.name, self.id, self.registration = name, id, registration


class FunctionCache:
    """Which function is which. Each step is atomic, so that threads need no lock here.

    :param by_text: functions by the digest of what is registered; may be shared
    """

    def __init__(self, by_text: dict[bytes, Function] | None = None) -> None:
        #: with what each was serialized by; None: its id was given
        self._by_object: dict[int, tuple[weakref.ref[Any], Function, ComputeSerializer | None]] = {}
        self._by_text = by_text if by_text is not None else {}

    def find(self, fn: Callable[..., Any], serializer: ComputeSerializer) -> Function | None:
        """The function that this object was found to be, unless it would be serialized otherwise now."""
        entry = self._by_object.get(id(fn))
        return entry[1] if entry is not None and entry[0]() is fn and entry[2] in {None, serializer} else None

    def take(self, fn: Callable[..., Any], serializer: ComputeSerializer) -> Function:
        """Serialize an object that :meth:`find` does not know.

        :raises SerializationError: it cannot be
        """
        registration = describe(fn, serializer)
        text = "\0".join((registration.function_name, registration.description or "", registration.function_code))
        digest = blake2b(text.encode(), digest_size=16).digest()
        function = self._by_text.setdefault(digest, Function(registration.function_name, None, registration))
        if len(self._by_text) > _MOST_KNOWN:
            self._by_text.pop(next(iter(self._by_text)), None)
        self.put(fn, function, serializer)
        return function

    def put(self, fn: Callable[..., Any], function: Function, serializer: ComputeSerializer | None = None) -> None:
        """From now on this object is that function.

        :param serializer: as long as it is the one in use; None: always
        """
        if isinstance(fn, MethodType):
            return
        key, by_object = id(fn), self._by_object

        def gone(_reference: object) -> None:
            by_object.pop(key, None)

        with suppress(TypeError):  # builtins of some kinds; they are quickly serialized
            by_object[key] = (weakref.ref(fn, gone), function, serializer)


def describe(
    fn: Callable[..., Any],
    serializer: ComputeSerializer,
    description: str | None = None,
    metadata: dict[str, Any] | None = None,
    **sharing: Any,
) -> FunctionRegistration:
    """What the service needs to know of a function.

    :param description: for people; None: its docstring
    :param metadata: more to say about it
    :param sharing: ``public``, ``group``, ``ha_endpoint_id``
    :raises SerializationError: it cannot be serialized
    :raises TypeError: it cannot be called
    """
    if not callable(fn):
        raise TypeError(f"{fn!r} cannot be called; pass the function itself, not what it returns")
    name = getattr(fn, "__name__", None) or type(fn).__name__
    try:
        code = serializer.serialize(fn)
    except SerializationError as error:
        raise SerializationError(f"the function {name} cannot be sent: {error}") from error
    return FunctionRegistration(
        function_name=name,
        function_code=serializer.pack_buffers([code]),
        meta=runtime_meta() | {"serde_identifier": code[:2]} | (metadata or {}),
        description=description if description is not None else _docstring(fn),
        **sharing,
    )


def runtime_meta() -> dict[str, Any]:
    """What is said of this program with each function."""
    return {"python_version": platform.python_version(), "sdk_version": sdk_version()}


def _docstring(fn: Callable[..., Any]) -> str | None:
    # Of an object that can be called, the docstring is its class's: about the class, not about this call.
    return inspect.getdoc(fn) if inspect.isroutine(fn) or inspect.isclass(fn) else None
