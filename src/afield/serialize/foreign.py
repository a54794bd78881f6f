"""Byte code of other Pythons: how to tell, and what to say.

Nothing in a code object says which version compiled it, and running it in another one crashes the process or gives
wrong results. So it is looked at before it becomes a function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, lru_cache
from types import CodeType
from typing import Any, Final, NoReturn

from afield.errors import DeserializationError

__all__ = ["VERSION", "Unusable", "checking", "foreign"]

#: this Python
VERSION: Final = "{}.{}.{}".format(*sys.version_info)


class Unusable:
    """Stands for a function whose byte code cannot be used."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Not to be called."""
        raise foreign("another version of Python")


def foreign(maker: str) -> DeserializationError:
    """What to say about code that ``maker`` compiled."""
    return DeserializationError(
        f"it holds code that was compiled by {maker}, and this is Python {VERSION}. Use the same minor version at "
        "both ends, or send functions as source: ComputeSerializer(strategy_code=AllCodeStrategies())"
    )


def checking(create_code: Callable[..., CodeType]) -> Callable[..., CodeType]:
    """``create_code`` of dill for pickles that do not say which Python made them.

    What it returns raises DeserializationError for byte code of another one.
    """

    def create(*parts: Any) -> CodeType:
        # First a line table, unless it was made before 3.10; then numbers; then the byte code.
        code = next((part for part in parts[1:] if isinstance(part, bytes)), b"")
        if _is_foreign(code):
            raise foreign("another version of Python")
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
