"""What a caller may ask for beyond the call itself: each value is checked when it is given, and merged with earlier
ones.

``...`` stands for "as before" all through: None has a meaning of its own for some options.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from types import EllipsisType
from typing import Any, Final, TypedDict

import msgspec

from afield.sdk.checks import json_object, said, seconds, text, whole
from afield.sdk.coalesce import NOTHING_ASKED, Lane
from afield.wire.messages import CallOptions

__all__ = ["Asked", "Resources", "bytes_of"]

_UNITS: Final = {"B": 1} | {
    f"{prefix}{suffix}": base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for suffix, base in (("B", 1000), ("IB", 1024))
}
_AMOUNT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
#: No Python starts in less, so whoever asks for less has another unit in mind.
_LEAST_MEMORY: Final = 1 << 20
_MOST_MEMORY: Final = 1 << 62
#: More than 30 years (wire.messages.CallOptions).
_MOST_SECONDS: Final = 1e9
#: An endpoint never lets more time pass between two attempts.
_MOST_BACKOFF: Final = 300.0
_MOST_LABEL: Final = 200


class Resources(TypedDict, total=False):
    """What one call needs of the machine that it runs on. A key that is left out stays as it was; None resets it."""

    #: processors; None: one worker's share
    cores: int | None
    #: bytes, or text with a unit: ``"2 GB"`` (2·10⁹), ``"512 MiB"`` (512·2²⁰); None: no bound
    memory: int | str | None
    #: accelerators; None: none
    gpus: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for so far."""

    call: CallOptions = NOTHING_ASKED
    #: a JSON object, or empty; None: as the Executor has it
    config: bytes | None = None
    #: likewise
    specification: bytes | None = None

    def merged(
        self,
        *,
        timeout: float | timedelta | EllipsisType | None = ...,
        retries: int | EllipsisType = ...,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] | EllipsisType | None = ...,
        backoff: float | timedelta | EllipsisType = ...,
        priority: int | EllipsisType = ...,
        resources: Resources | EllipsisType | None = ...,
        user_endpoint_config: dict[str, Any] | EllipsisType | None = ...,
        resource_specification: dict[str, Any] | EllipsisType | None = ...,
        label: str | EllipsisType | None = ...,
    ) -> Asked:
        """With these besides; a later value wins.

        :raises TypeError: a value is of the wrong kind
        :raises ValueError: a value is out of range
        """
        new: dict[str, Any] = {}
        if timeout is not ...:
            new["timeout_s"] = None if timeout is None else seconds("timeout", timeout, over=0, most=_MOST_SECONDS)
        if retries is not ...:
            new["retries"] = whole("retries", retries, 0, 1000)
        if retry_on is not ...:
            new["retry_on"] = _names(retry_on)
        if backoff is not ...:
            new["backoff_s"] = seconds("backoff", backoff, most=_MOST_BACKOFF)
        if priority is not ...:
            new["priority"] = whole("priority", priority, -1000, 1000)
        if resources is not ...:
            new |= _NO_RESOURCES if resources is None else _resources(resources)
        if label is not ...:
            new["label"] = _label(label)
        config = self.config if user_endpoint_config is ... else json_object(user_endpoint_config, _CONFIG)
        nodes = resource_specification
        specification = self.specification if nodes is ... else json_object(nodes, _SPECIFICATION)
        return Asked(msgspec.structs.replace(self.call, **new), config, specification)

    def applied(self, lane: Lane) -> Lane:
        """The lane of calls for which this was asked, where ``lane`` is that of the Executor's others."""
        options = lane.options
        if self.config is not None:
            options = replace(options, user_endpoint_config=self.config)
        if self.specification is not None:
            options = replace(options, resource_specification=self.specification)
        if self.call != NOTHING_ASKED:
            options = replace(options, call=self.call)
        return Lane(lane.group, lane.endpoint_id, options)

    def __bool__(self) -> bool:
        return self != Asked()

    def __str__(self) -> str:
        said = [f"{name}={value!r}" for name, value in _differences(self.call)]
        if self.config is not None:
            said.append(f"{_CONFIG}={self.config.decode() or None}")
        if self.specification is not None:
            said.append(f"{_SPECIFICATION}={self.specification.decode() or None}")
        return ", ".join(said)


_CONFIG: Final = "user_endpoint_config"
_SPECIFICATION: Final = "resource_specification"
_NO_RESOURCES: Final = {name: getattr(NOTHING_ASKED, name) for name in ("cores", "memory", "gpus")}


def bytes_of(name: str, value: object) -> int:
    """An amount of memory in bytes, given so or as text with a unit.

    :param name: of the option, for the message
    :raises TypeError: it is neither a whole number nor text
    :raises ValueError: it is out of range, or text that says nothing
    """
    right = "bytes as a whole number, or text like '2 GB' or '512 MiB'"
    if isinstance(value, str):
        found = _bytes_of_text(name, value, right)
    elif isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name} should be {right}, and is {said(value)}")
    else:
        found = operator.index(value)  # type: ignore[arg-type]  # it has __index__
    if found < _LEAST_MEMORY:
        raise ValueError(
            f"{name} should be at least 1 MiB, and {value!r} is {found} bytes; with a unit it reads '2 GB' or '512 MiB'"
        )
    if found > _MOST_MEMORY:
        raise ValueError(f"{name} should be at most 4 EiB, and is {value!r}")
    return found


def _bytes_of_text(name: str, amount: str, right: str) -> int:
    found = _AMOUNT.fullmatch(amount)
    if found is None:
        raise ValueError(f"{name} should be {right}, and is {amount!r}")
    unit = found[2].upper()
    factor = _UNITS.get(unit)
    if factor is None:
        wanted = f"{unit[0]}B or {unit[0]}iB" if unit[:1] in set("KMGT") else "B, KB, MB, GB, TB, KiB, MiB, GiB or TiB"
        raise ValueError(
            f"{name} is {amount!r}, which {'has no unit' if not unit else f'has the unit {found[2]!r}'}: write {wanted}"
        )
    number = str(found[1])
    return round(float(number) * factor) if "." in number else int(number) * int(factor)


def _names(classes: object) -> tuple[str, ...]:
    each = () if classes is None else classes if isinstance(classes, tuple) else (classes,)
    for kind in each:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(
                f"retry_on should be an exception class or a tuple of them, such as (OSError, TimeoutError), and "
                f"{'holds' if isinstance(classes, tuple) else 'is'} {said(kind)}"
            )
    return tuple(dict.fromkeys(f"{kind.__module__}.{kind.__qualname__}" for kind in each))


def _resources(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"resources should be a dictionary of cores, memory and gpus, and is {said(value)}")
    new: dict[str, Any] = {}
    for key, amount in value.items():
        if key not in _NO_RESOURCES:
            close = get_close_matches(str(key), _NO_RESOURCES, 1, 0.65)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"resources may say cores, memory and gpus, and has {key!r}{hint}")
        name = f"resources[{key!r}]"
        if amount is None:
            new[key] = _NO_RESOURCES[key]
        elif key == "memory":
            new[key] = bytes_of(name, amount)
        else:
            new[key] = whole(name, amount, *((1, 1_000_000) if key == "cores" else (0, 1024)))
    return new


def _label(value: object) -> str | None:
    return text("label", value, _MOST_LABEL) if value is not None and value != "" else None


def _differences(call: CallOptions) -> list[tuple[str, Any]]:
    fields = ((name, getattr(call, name)) for name in call.__struct_fields__)
    return [(name, value) for name, value in fields if value != getattr(NOTHING_ASKED, name)]
