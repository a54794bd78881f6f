"""PURE: values that callers give, checked by kind and range, so that a wrong one is told where it was given.

Each check returns the value as it is used from there on. What it raises names the option, says what would be right, and
shows what came.
"""

from __future__ import annotations

import math
import operator
from datetime import timedelta
from typing import Any, Final

import msgspec

__all__ = ["flag", "json_object", "said", "seconds", "text", "whole"]

#: What a message can hold: signed below, unsigned above, as in MessagePack.
_LEAST_INTEGER: Final = -(1 << 63)
_MOST_INTEGER: Final = (1 << 64) - 1


def seconds(name: str, value: object, *, over: float | None = None, most: float = math.inf) -> float:
    """A time in seconds, given as a number or a timedelta.

    :param name: of the option, for the message
    :param over: it must be greater than that; None: at least 0
    :param most: it must not be greater than that
    :raises TypeError: it is neither
    :raises ValueError: it is out of range
    """
    right = f"a number of seconds or a timedelta, {'at least 0' if over is None else f'greater than {over}'}"
    if isinstance(value, timedelta):
        value = value.total_seconds()
    number = _number(value)
    if number is None:
        raise TypeError(f"{name} should be {right}, and is {said(value)}")
    # Written so that NaN, which compares as neither, fails too.
    if not (number >= 0 if over is None else number > over):
        raise ValueError(f"{name} should be {right}, and is {value!r}")
    if number > most:
        raise ValueError(f"{name} should be at most {most:g} seconds, and is {value!r}")
    return number


def whole(name: str, value: object, least: int, most: int) -> int:
    """A whole number within bounds.

    :param name: of the option, for the message
    :raises TypeError: it is none
    :raises ValueError: it is out of bounds
    """
    right = f"a whole number from {least} to {most}"
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name} should be {right}, and is {said(value)}")
    found = operator.index(value)  # type: ignore[arg-type]  # it has __index__
    if not least <= found <= most:
        raise ValueError(f"{name} should be {right}, and is {found}")
    return found


def flag(name: str, value: object) -> bool:
    """True or False, and nothing that is only taken for one: ``"no"`` would count as yes.

    :param name: of the option, for the message
    :raises TypeError: it is neither
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} should be True or False, and is {said(value)}")
    return value


def text(name: str, value: object, most: int | None = None) -> str:
    """Text that can travel and be kept.

    :param name: of the option, for the message
    :param most: how many characters it may have
    :raises TypeError: it is none
    :raises ValueError: it is too long, or holds a NUL character or half of a character (a lone surrogate), which
        databases do not keep
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} should be text, and is {said(value)}")
    if most is not None and len(value) > most:
        raise ValueError(f"{name} should have at most {most} characters, and has {len(value)}")
    if "\0" in value or _has_surrogate(value):
        raise ValueError(f"{name} holds a NUL character or a lone surrogate, which cannot be kept: {value!r}")
    return value


def json_object(value: dict[str, Any] | None, name: str) -> bytes:
    """A dictionary as it travels; empty for an empty one and None.

    :param name: of the option, for the message
    :raises TypeError: it is neither, or holds what JSON has nothing for
    :raises ValueError: it holds a number or text that no message can hold
    """
    if value is None:
        return b""
    if not isinstance(value, dict):
        raise TypeError(f"{name} should be a dictionary or None, and is a {type(value).__name__}")
    try:
        _check_part(value, name)
    except RecursionError:
        raise ValueError(f"{name} cannot be written as JSON: it holds itself, or is too deep") from None
    try:
        return msgspec.json.encode(value, order="sorted") if value else b""
    except (TypeError, msgspec.MsgspecError) as error:
        raise TypeError(f"{name} cannot be written as JSON: {error}") from error


def said(value: object) -> str:
    """A value for the end of a message, with its type, for ``1`` and ``"1"`` look alike in some."""
    kind = type(value).__name__
    return f"{value!r} (a{'n' if kind[0] in 'aeioAEIO' else ''} {kind})"


def _check_part(value: object, place: str) -> None:
    """What the encoder would change without a word (NaN becomes null), or refuse without saying where it is."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {said(key)}, and keys are text")
            _check_part(key, f"the key {key!r} of {place}")
            _check_part(part, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            _check_part(part, f"{place}[{number}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value!r}, which JSON has nothing for: leave it out, or write it as text")
    elif isinstance(value, int):
        if not _LEAST_INTEGER <= value <= _MOST_INTEGER:
            raise ValueError(f"{place} is a number that needs more than 64 bits: write it as text")
    elif isinstance(value, str) and _has_surrogate(value):
        raise ValueError(f"{place} holds half of a character (a lone surrogate), which no message can hold: {value!r}")


def _has_surrogate(value: str) -> bool:
    # Nearly all text is ASCII, which is known without looking.
    return not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value)


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return value
    return float(operator.index(value)) if hasattr(type(value), "__index__") else None  # type: ignore[arg-type]
