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

import msgspec

from afield.errors import SerializationError
from afield.sdk.checks import json_object, text
from afield.sdk.version import sdk_version
from afield.serialize import ComputeSerializer
from afield.serialize.buffers import pack_buffers
from afield.wire.rest import FunctionRegistration

__all__ = ["Function", "FunctionCache", "describe", "not_callable"]

#: Strategies that may write compiled functions, and write nothing else beside them.
_COMPILED: Final = {"01", "02"}

#: Distinct functions of which one client remembers the text.
_MOST_KNOWN: Final = 10_000


class Function:
    """One function on its way to the service, or there.

    :param name: for messages
    :param id: its UUID; None: not registered yet
    :param registration: how to register it; None where the id is known
    :param fn: the object itself, where there is one
    """

    __slots__ = ("_find", "_id", "_portable", "name", "registration")

    def __init__(
        self,
        name: str,
        id: str | None,  # noqa: A002
        registration: FunctionRegistration | None = None,
        fn: Callable[..., Any] | None = None,
    ) -> None:
        self.name, self.registration = name, registration
        self._id = id
        self._portable: FunctionRegistration | None = None
        self._find: Callable[[], Callable[..., Any] | None] = lambda: None
        if fn is not None:
            self.remember(fn)

    @property
    def id(self) -> str | None:
        """Its UUID; None: not registered yet."""
        return self._id

    @id.setter  # noqa: A003 - its name on every other record
    def id(self, value: str | None) -> None:
        self._id = value
        if (fn := self._find()) is not None:
            self.remember(fn)

    def remember(self, fn: Callable[..., Any]) -> None:
        """Note that the function is this object.

        It is held until the function is registered: until then it may be found out that it must go as source. After
        that it is known to the service in one form, and another one is only needed by who submits it again; who does so
        has the object. So a program that makes functions in a loop does not keep them all.
        """
        if self._id is None:
            self._find = lambda: fn
            return
        try:
            self._find = weakref.ref(fn)
        except TypeError:  # builtins of some kinds
            self._find = lambda: None

    def portable(self) -> FunctionRegistration:
        """The same function in a form that every supported version of Python reads.

        What goes by name, and source, is that already; of other functions it is their source with what they use of
        their script.

        :raises SerializationError: it would not be the same; the message names what stands in the way
        """
        if self._portable is None:
            self._portable = self._make_portable()
        return self._portable

    def _make_portable(self) -> FunctionRegistration:
        made = self.registration
        if made is not None and (made.meta or {}).get("serde_identifier") not in _COMPILED:
            return made
        fn = self._find()
        if fn is None or made is None:
            raise SerializationError(f"the function {self.name} is known here by its id only, so its source is not")
        from afield.serialize.portable import portable

        try:
            code = portable(fn)
        except SerializationError as error:
            raise SerializationError(f"the function {self.name} cannot be sent as source: {error}") from error
        meta = (made.meta or {}) | {"serde_identifier": code[:2]}
        return msgspec.structs.replace(made, function_code=pack_buffers([code]), meta=meta)


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
        function.remember(fn)
        if len(self._by_text) > _MOST_KNOWN:
            with suppress(RuntimeError, StopIteration):  # another thread is at it
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
    :raises TypeError: it cannot be called, or what it returns could never be sent; or something else said of it is of
        the wrong kind
    :raises ValueError: ``description`` holds what cannot be kept
    """
    if not callable(fn):
        raise not_callable(fn)
    json_object(metadata, "metadata")
    name = getattr(fn, "__name__", None) or type(fn).__name__
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{name} is a generator function: what it returns is a generator, which lives on the worker only and "
            "cannot come back. Return a list instead"
        )
    try:
        code = serializer.serialize(fn)
    except SerializationError as error:
        raise SerializationError(f"the function {name} cannot be sent: {error}") from error
    return FunctionRegistration(
        function_name=name,
        function_code=serializer.pack_buffers([code]),
        meta=runtime_meta() | {"serde_identifier": code[:2]} | (metadata or {}),
        description=text("description", description) if description is not None else _docstring(fn),
        **sharing,
    )


def not_callable(fn: object) -> TypeError:
    """The error for what cannot be called."""
    return TypeError(f"{fn!r} cannot be called; pass the function itself, not what it returns")


def runtime_meta() -> dict[str, Any]:
    """What is said of this program with each function."""
    return {"python_version": platform.python_version(), "sdk_version": sdk_version()}


def _docstring(fn: Callable[..., Any]) -> str | None:
    # Of an object that can be called, the docstring is its class's: about the class, not about this call.
    found = inspect.getdoc(fn) if inspect.isroutine(fn) or inspect.isclass(fn) else None
    # Nobody asked for it to be kept, so what cannot be (see checks.text) is left out and nothing said.
    return None if found is None else found.replace("\0", "").encode(errors="ignore").decode()
