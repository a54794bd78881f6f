r"""The packed form of functions and arguments, as far as the service looks at it: lengths, never contents.

A packed list is ``<length>\n<value>`` repeated, lengths counted in characters (reference: wire contract sections 3.3
and 6). An endpoint cannot answer for a task whose packing is broken, it could only drop it again and again, so what is
broken is refused at the door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

__all__ = ["bunches", "is_packed", "pack_source"]

T = TypeVar("T")

#: The identifier of a strategy whose payload is ``name:source``.
_SOURCE: Final = "st"


def is_packed(text: str, count: int) -> bool:
    """Whether ``text`` is exactly ``count`` packed buffers."""
    at = 0
    for _ in range(count):
        end = text.find("\n", at, at + 20)
        digits = text[at:end]
        if end < 0 or not digits.isascii() or not digits.isdigit():
            return False
        at = end + 1 + int(digits)
    return at == len(text)


def pack_source(name: str, source: str) -> str:
    """A function that was registered as plain source, as a packed buffer."""
    value = f"{_SOURCE}\n{name}:{source}"
    return f"{len(value)}\n{value}"


def bunches(items: Sequence[T], size: Callable[[T], int], *, most: int, most_bytes: int) -> Iterator[Sequence[T]]:
    """Cut ``items`` into runs of at most ``most`` items and about ``most_bytes`` bytes; a larger item goes alone."""
    begin, total = 0, 0
    for i, item in enumerate(items):
        more = size(item)
        if i > begin and (i - begin >= most or total + more > most_bytes):
            yield items[begin:i]
            begin, total = i, 0
        total += more
    if begin < len(items):
        yield items[begin:]
