r"""Several serialized values in one text: each with its length before it.

``"<length>\n" + value``, one after the other. The length counts characters, not bytes (reference: wire contract
section 6), so ``"é"`` counts one.
"""

from __future__ import annotations

from collections.abc import Iterable

from afield.errors import DeserializationError

__all__ = ["pack_buffers", "unpack_buffers"]

# No value is longer than this many digits say; int() itself refuses numbers of thousands of digits.
_MAX_DIGITS = 19


def pack_buffers(buffers: Iterable[str]) -> str:
    """All of ``buffers`` in one text."""
    return "".join([f"{len(buffer)}\n{buffer}" for buffer in buffers])


def unpack_buffers(packed: str) -> list[str]:
    """The values that :func:`pack_buffers` put together; takes linear time.

    :param packed: nothing at all holds no values
    :raises DeserializationError: a length is missing or is not a number, or there is less text than it says
    """
    buffers, at, end = [], 0, len(packed)
    while at < end:
        newline = packed.find("\n", at, at + _MAX_DIGITS + 1)
        length = packed[at:newline]
        if newline < 0 or not (length.isascii() and length.isdigit()):
            raise DeserializationError(
                f"a packed value should begin with its length at character {at} of {end}, and {packed[at : at + 20]!r} "
                "is there: the text is damaged, or is not packed"
            )
        at = newline + 1 + int(length)
        if at > end:
            raise DeserializationError(
                f"a packed value should have {length} characters, and only {end - newline - 1} are left: "
                "the text was cut short on its way"
            )
        buffers.append(packed[newline + 1 : at])
    return buffers
