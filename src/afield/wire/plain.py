"""Values that both envelopes, the store and the REST API can say alike.

JSON knows integers of any size, MessagePack knows bytes, times, extensions and keys of any type, and neither knows what
is special about the other. What came in one of them and goes on in the other is checked where it comes in; else it
would raise where it goes out, far from the one who sent it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["is_plain"]

_STRINGS: Final = frozenset({str})
#: What needs no further look; an integer does.
_SCALARS: Final = frozenset({str, float, bool, type(None)})
_LEAST, _MOST = -(2**63), 2**64 - 1


def is_plain(value: object) -> bool:
    """Whether it consists of nothing but null, booleans, floats, text, integers of 64 bits, lists, and dictionaries
    whose keys are text.

    :raises RecursionError: it is nested hundreds deep
    """
    if isinstance(value, dict):
        # Flat dictionaries of text, the usual ones, take the short way: a set operation instead of a call per value.
        flat = _SCALARS.issuperset(map(type, value.values()))
        return _STRINGS.issuperset(map(type, value)) and (flat or all(map(is_plain, value.values())))
    if isinstance(value, list):
        return all(map(is_plain, value))
    return type(value) in _SCALARS or (type(value) is int and _LEAST <= value <= _MOST)
