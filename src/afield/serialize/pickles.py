"""Pickles: written by C where that says the same, by dill where it would not; read by one reader for both.

dill pickles by value what pickle only names: functions and classes of the script that is running, lambdas, closures.
That takes its Python-written pickler, some 30 times as long, and 50 ms for its import. Most arguments and results need
nothing of it. So:

1. Write with the C pickler; what it makes, any dill reads. Where it fails, dill writes.
2. What it made is not good enough if it names something of ``__main__``, for that is another module elsewhere. Such a
   pickle holds the text ``__main__``; then dill writes. (A string that merely says so costs time, no more.)
3. The reader knows the few names that dill's reader knows, and imports dill only when a pickle names something of it.

What dill makes of a function is the byte code of one Python, and running that of another one crashes the process. So
byte code is looked at before it becomes a function, and refused where it is plainly foreign.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from types import CodeType
from typing import Any, Final

from afield.errors import DeserializationError

__all__ = ["Reader", "dumps", "loads"]

_MAIN: Final = "__main__"
_MAIN_BYTES: Final = _MAIN.encode()


def dumps(data: Any) -> bytes:
    """``data`` as a pickle that ``dill.loads`` reads.

    :raises Exception: whatever dill or the object's own methods raise
    """
    # Any failure means the same: this needs dill, or fails there too and says why.
    with suppress(Exception):
        made = pickle.dumps(data)
        if _MAIN_BYTES not in made:
            return made
    import dill

    by_value: bytes = dill.dumps(data)  # type: ignore[attr-defined, no-untyped-call]
    return by_value


def loads(pickled: bytes) -> Any:
    """What :func:`dumps`, ``dill.dumps`` or ``pickle.dumps`` made a pickle of.

    :raises DeserializationError: it holds byte code of another version of Python
    :raises Exception: whatever unpickling raises
    """
    return Reader(io.BytesIO(pickled)).load()


class Reader(pickle.Unpickler):
    """Reads pickles of pickle and of dill."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, as dill's reader understands it."""
        if module == "__builtin__":
            if name == _MAIN:  # dill's name for the globals of the running script
                return vars(sys.modules[_MAIN])
            if name == "NoneType":
                return type(None)
        elif module == "dill.dill":
            module = "dill._dill"  # where it was until dill 0.2.8
        found = super().find_class(module, name)
        return _checking(found) if name == "_create_code" else found

    def load(self) -> Any:
        """The object. An instance of a class that travelled along becomes one of this script's class of that name."""
        found = super().load()
        if type(found).__module__ == _MAIN:
            # There may be none, or one whose instances are made differently: then it keeps the class that came along.
            with suppress(AttributeError, TypeError):
                found.__class__ = getattr(sys.modules[_MAIN], type(found).__name__)
        return found


def _checking(create_code: Callable[..., CodeType]) -> Callable[..., CodeType]:
    def create(*parts: Any) -> CodeType:
        # First a line table, unless it was made before 3.10; then numbers; then the byte code.
        code = next((part for part in parts[1:] if isinstance(part, bytes)), b"")
        if _is_foreign(code):
            here = ".".join(map(str, sys.version_info[:3]))
            raise DeserializationError(
                f"it holds a function compiled by another version of Python than this one, {here}. Use the same minor "
                "version at both ends, or send functions as source: "
                "ComputeSerializer(strategy_code=AllCodeStrategies())"
            )
        return create_code(*parts)

    return create


@lru_cache(maxsize=1024)
def _is_foreign(code: bytes) -> bool:
    # Every function begins with RESUME, whose number differs in 3.13 and 3.14. Between 3.11 and 3.12 other numbers do,
    # and the room behind instructions. What fits all through, a few short functions, means the same in both.
    return _resume() not in code[::2] or not _fits(code, _room())


def _fits(code: bytes, room: dict[int, int]) -> bool:
    """Whether ``code`` is made of instructions of this Python, each with zeros in the room behind it."""
    at = 0
    while room and at < len(code):
        zeros = room.get(code[at])
        if zeros is None:
            return False
        at += 2
        if zeros and any(code[at : at + 2 * zeros]):
            return False
        at += 2 * zeros
    return True


@cache
def _room() -> dict[int, int]:
    """The instructions of this Python, and how many units of room each leaves behind it; empty: unknown."""
    import opcode

    # By name since 3.13, by number before. There is no public way to ask, so it must prove itself.
    known: Any = getattr(opcode, "_inline_cache_entries", {})
    by_name = known if isinstance(known, dict) else dict(zip(opcode.opname, known, strict=False))
    room = {number: by_name.get(name, 0) for name, number in opcode.opmap.items() if 0 < number < 256}
    return room if _fits(_fits.__code__.co_code, room) else {}


@cache
def _resume() -> int:
    from opcode import opmap

    return opmap["RESUME"]
