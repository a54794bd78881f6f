"""Why something could not be serialized or read: in words, with what to do next.

The errors below come from pickle, dill, json, inspect and from the objects themselves; they say what happened inside
those. What a person needs is which part of their object it was, and whether to change the object, the strategy or the
other machine.
"""

from __future__ import annotations

import binascii
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from types import FunctionType
from typing import Any, Final

from afield.errors import DeserializationError, SerializationError
from afield.serialize.strategy import SerializationStrategy

__all__ = ["MissingModule", "described", "unreadable", "why_not_written"]

_UNPICKLABLE: Final = re.compile(r"[Cc]an(?:no|')t pickle '?([\w.<>]+)'? objects?")
_NOT_JSON: Final = re.compile(r"Object of type (\w+) is not JSON serializable")
_MAX_DEPTH: Final = 6  # of the search for the part that fails
_MAX_CHILDREN: Final = 500


class MissingModule(DeserializationError, ModuleNotFoundError):  # noqa: N818 - says what it is
    """A value needs a module that is not installed where it is read.

    :param message: what needs it, where, and what to do
    :param name: of the module
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.name)


def described(data: Any) -> str:
    """What an object is, in a sentence: ``the function f``, ``a list``, ``an object of type numpy.ndarray``."""
    if isinstance(data, type) or callable(data):
        name = getattr(data, "__qualname__", None)
        kind = "class" if isinstance(data, type) else "function"
        return f"the {kind} {name}" if name else f"a callable of type {_type_name(data)}"
    return _a(_type_name(data))


def why_not_written(strategy: SerializationStrategy, data: Any, error: BaseException) -> str:
    """The message for an object that a strategy could not serialize."""
    path, part = _failing_part(data, strategy)
    where = f" (the part that fails is at {path}: {described(part)})" if path else ""
    return f"{type(strategy).__name__} cannot serialize {described(data)}{where}: {_reason_written(error)}"


def unreadable(strategy: SerializationStrategy, error: BaseException) -> DeserializationError:
    """What to raise for a value that a strategy could not read."""
    message = f"{type(strategy).__name__} cannot read this value: {_reason_read(error)}"
    if isinstance(error, ModuleNotFoundError):
        return MissingModule(message, error.name)
    return DeserializationError(message)


def _a(name: str) -> str:
    return f"{'an' if name.lstrip('_')[:1] in 'aeiouAEIOU' else 'a'} {name}"


def _type_name(data: Any) -> str:
    kind = type(data)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _reason_written(error: BaseException) -> str:
    text = str(error)
    if found := _UNPICKLABLE.search(text):
        return (
            f"{_a(found[1])} cannot be pickled, for it lives in this process only. Leave it out, or make it inside the "
            "function, where it is used"
        )
    if found := _NOT_JSON.search(text):
        return f"JSON has nothing for {_a(found[1])}; use DillDataBase64 or AllDataStrategies"
    if isinstance(error, RecursionError):
        return "it is nested too deeply to be pickled; send it in another shape, for instance as a list"
    if isinstance(error, OSError) and "source" in text:
        return f"its source cannot be found ({text}): it was typed at a prompt or made by exec. Use DillCode"
    if isinstance(error, SerializationError):
        return text
    return f"{type(error).__name__}: {text}"


def _reason_read(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, DeserializationError):
        return text
    if isinstance(error, ModuleNotFoundError):
        return (
            f"it needs the module {error.name!r}, which is not installed in this Python ({sys.executable}, version "
            f"{sys.version.split()[0]}). Install it here; or, if it is your own, define in your script what the task "
            "uses, so that it travels along"
        )
    if isinstance(error, AttributeError) and "__main__" in text:
        return (
            f"{text}: it names something of the script that made it, which did not travel along. Define it inside the "
            "function that uses it, or in a module that is installed here"
        )
    if isinstance(error, AttributeError | ImportError):
        return f"{text}: the module is there, but another version of it than where the value was made"
    if isinstance(error, EOFError | pickle.UnpicklingError | binascii.Error | UnicodeError):
        return f"it is truncated, or was not made by this strategy ({type(error).__name__}: {text})"
    if isinstance(error, ValueError) and "pickle protocol" in text:
        return f"it was made by a newer version of Python than this one, {sys.version.split()[0]} ({text})"
    if isinstance(error, ValueError):
        return f"it is damaged, or was not made by this strategy ({type(error).__name__}: {text})"
    return f"{type(error).__name__}: {text}"


def _failing_part(data: Any, strategy: SerializationStrategy) -> tuple[str, Any]:
    # Walks down to the smallest part that fails by itself, so that the message can say "at [1].connection".
    def fails(part: Any) -> bool:
        try:
            strategy.serialize(part)
        except RecursionError:
            return False
        except Exception:  # noqa: BLE001 - objects raise what they like when they are pickled
            return True
        return False

    path = ""
    for _ in range(_MAX_DEPTH):
        failing = next(((step, part) for step, part in islice(_parts(data), _MAX_CHILDREN) if fails(part)), None)
        if failing is None:
            break
        path += failing[0]
        data = failing[1]
    return path, data


def _parts(data: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        yield from ((f"[{_key(key)}]", part) for key, part in data.items())
    elif isinstance(data, list | tuple):
        yield from ((f"[{place}]", part) for place, part in enumerate(data))
    elif isinstance(data, FunctionType):
        yield from _captured(data)
    elif isinstance(own := getattr(data, "__dict__", None), dict) and not _pickles_itself(type(data)):
        yield from ((f".{name}", part) for name, part in own.items())


def _pickles_itself(kind: type) -> bool:
    # Then its attributes are not what is pickled, and say nothing.
    return any(isinstance(getattr(kind, name, None), FunctionType) for name in ("__reduce__", "__reduce_ex__"))


def _captured(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f" its variable {name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _key(key: Any) -> str:
    return repr(key) if isinstance(key, str | int) else f"a {type(key).__name__}"
