"""Functions in a form that every supported version of Python reads: by name where that will do, else as source."""

from __future__ import annotations

from typing import Any

from afield.serialize.as_source import portable_source
from afield.serialize.buffers import pack_buffers
from afield.serialize.code import AllCodeStrategies, DillCode, PureSourceTextInspect

__all__ = ["portable", "portable_source"]


def portable(function: Any) -> str:
    """A callable, serialized so that every supported version of Python reads it.

    :raises SerializationError: naming what stands in the way
    """
    try:
        made = DillCode().serialize(function)
        if not DillCode().carries_code(made):  # it goes by name, or is an object of a class that does
            return f"{AllCodeStrategies.identifier}{pack_buffers([made])}"
    except Exception:  # noqa: BLE001, S110 - whatever it is, source may do better
        pass
    name, text = portable_source(function)
    return f"{PureSourceTextInspect.identifier}{name}:{text}"
