"""Functions that a worker keeps between jobs, so that each is sent and read once.

Theory. A function that was read from bytes is a new object each time, with new default values, a new closure and, if it
came as source, new globals. Whoever wrote ``def f(x, seen=[])`` may not know that there is anything to know; so two
calls of one function must not see each other, whether or not they happen to meet in one worker. Hence: code is always
kept, but the function made of it is used again only where nothing in it could carry anything from one call to the next.
Functions that go by name are shared in any case, for what they name is a module that stays.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final

from afield.errors import DeserializationError
from afield.serialize import ComputeSerializer, SerializationStrategy
from afield.serialize.buffers import unpack_buffers
from afield.serialize.strategy import strategy_of

__all__ = ["FunctionCache", "carries_nothing"]

_CONSTANTS: Final = (type(None), bool, int, float, complex, str, bytes, type(...), range)


class _Entry:
    __slots__ = ("code", "fresh", "function", "strategy")

    def __init__(self, code: bytes) -> None:
        #: the function, packed
        self.code = code
        #: the function, read; None: it must be read again
        self.function: Callable[..., Any] | None = None
        #: what it is serialized by; None: nobody looked yet
        self.strategy: SerializationStrategy | None = None
        #: whether each call needs one of its own
        self.fresh = False


class FunctionCache:
    """The functions that came lately, by the digest of their code. Threads may share one.

    :param size: how many; the one that was not used for longest goes first
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, digest: object) -> bool:
        return digest in self._entries

    def keep(self, digest: bytes, code: bytes) -> None:
        """Have the packed function ``code`` from now on, under the digest of it. Nothing is read yet."""
        with self._lock:
            if digest not in self._entries:
                self._entries[digest] = _Entry(code)
            self._entries.move_to_end(digest)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def get(self, digest: bytes, serializer: ComputeSerializer) -> Callable[..., Any]:
        """The function that ``digest`` names.

        :param serializer: says what may be read
        :raises DeserializationError: it is not here, or cannot or may not be read
        """
        with self._lock:
            entry = self._entries.get(digest)
            if entry is None:
                raise DeserializationError(
                    f"the endpoint sent a task without its function, which it believed to be here, and it is not "
                    f"(digest {digest.hex()}; a worker keeps {self._size} functions). Submitting the task again helps; "
                    "please report this as an error of Afield"
                )
            self._entries.move_to_end(digest)
        if (function := entry.function) is None or entry.strategy is None:
            return self._read(entry, serializer)
        serializer.assert_deserializer_allowed(entry.strategy)
        return function

    def used(self, digest: bytes, function: Callable[..., Any]) -> None:
        """Say that a call of ``function`` ended. If it left something on it, nobody else gets that one."""
        if isinstance(function, FunctionType) and function.__dict__ and not _is_named(function):
            entry = self._entries.get(digest)
            if entry is not None:
                entry.function, entry.fresh = None, True

    def _read(self, entry: _Entry, serializer: ComputeSerializer) -> Callable[..., Any]:
        buffers = unpack_buffers(entry.code.decode())
        if len(buffers) != 1:
            raise DeserializationError(f"a function should be one serialized value; {len(buffers)} came")
        function: Callable[..., Any] = serializer.deserialize(buffers[0])
        if not entry.fresh:
            if carries_nothing(function):
                entry.strategy, entry.function = strategy_of(buffers[0]), function
            else:
                entry.fresh = True
        return function


def carries_nothing(function: object) -> bool:
    """Whether one call of ``function`` cannot leave anything for the next, as far as the function itself goes."""
    return _is_safe(function, set())


def _is_safe(value: object, seen: set[int]) -> bool:
    if isinstance(value, _CONSTANTS):
        return True
    if id(value) in seen:
        return True  # a function that refers to itself; what else it refers to is being looked at
    seen.add(id(value))
    if isinstance(value, tuple | frozenset):
        return all(_is_safe(part, seen) for part in value)
    if isinstance(value, ModuleType):
        return sys.modules.get(value.__name__) is value
    if isinstance(value, FunctionType | BuiltinFunctionType | type):
        return _is_named(value) or (isinstance(value, FunctionType) and _is_safe_by_value(value, seen))
    return False


def _is_named(value: object) -> bool:
    # Found under its name in a module that stays: then every reader of it gets this same object.
    found: object = sys.modules.get(getattr(value, "__module__", None) or "")
    for part in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is value


def _is_safe_by_value(function: FunctionType, seen: set[int]) -> bool:
    kept = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    codes = list(_all_code(function.__code__))
    return (
        not function.__dict__
        and all(_is_safe(value, seen) for value in kept)
        and _has_safe_closure(function, codes, seen)
        and _has_safe_globals(function, codes, seen)
    )


def _has_safe_closure(function: FunctionType, codes: list[CodeType], seen: set[int]) -> bool:
    if not function.__closure__:
        return True
    if _uses(codes, "STORE_DEREF", "DELETE_DEREF"):  # nonlocal; or a variable of its own that a function in it uses
        return False
    return all(_is_safe_cell(cell, seen) for cell in function.__closure__)


def _is_safe_cell(cell: CellType, seen: set[int]) -> bool:
    try:
        return _is_safe(cell.cell_contents, seen)
    except ValueError:  # not assigned yet
        return True


def _has_safe_globals(function: FunctionType, codes: list[CodeType], seen: set[int]) -> bool:
    names = function.__globals__
    module = sys.modules.get(names.get("__name__") or "")
    if module is not None and vars(module) is names:
        return True  # the globals of a module that stays, such as this script's, are the same for every reader
    if _uses(codes, "STORE_GLOBAL", "DELETE_GLOBAL"):
        return False
    used = {name for code in codes for name in code.co_names}
    return all(_is_safe(names[name], seen) for name in used if name in names)


def _all_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_code(constant)


def _uses(codes: list[CodeType], *instructions: str) -> bool:
    from opcode import opmap

    numbers = {opmap[name] for name in instructions}
    return any(not numbers.isdisjoint(code.co_code[::2]) for code in codes)
