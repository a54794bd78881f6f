"""Whether what a definition made now is what it made before."""

from __future__ import annotations

import enum
import typing
from types import CellType, CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final

__all__ = ["Comparison"]

_CODE: Final = (
    "co_code",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_exceptiontable",
    "co_name",
)
_NESTED: Final = 0x10  # says where it was defined, not what it does
_OPTIMIZED: Final = 0x1  # not of the body of a class
_EXACT: Final = (type(None), bool, int, str, bytes, type(...))

#: Of a class: where it is, and what is kept for it by others.
_ELSEWHERE: Final = {
    "__dict__",
    "__weakref__",
    "_abc_impl",
    "__firstlineno__",
    "__annotate_func__",
    "__annotations_cache__",
    "__slotnames__",
    "__subclasshook__",
}


class Comparison:
    """Compares functions, classes and values part by part; what refers to itself is looked at once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._kept: list[Any] = []  # so that no number comes twice

    def difference(self, old: Any, new: Any, path: str) -> str:
        """Where they differ; empty: nowhere."""
        pair = (id(old), id(new))
        if old is new or pair in self._seen:
            return ""
        self._seen.add(pair)
        self._kept.append((old, new))
        if type(old) is not type(new) and not isinstance(old, enum.Enum):
            return path if not _same_class(type(old), type(new)) else self._state(old, new, path)
        return self._by_kind(old, new, path)

    def _by_kind(self, old: Any, new: Any, path: str) -> str:  # noqa: PLR0911 - one for each kind
        if isinstance(old, _EXACT):
            return "" if old == new else path
        if isinstance(old, float | complex):
            return "" if repr(old) == repr(new) else path
        if isinstance(old, CodeType):
            return self._code(old, new, path)
        if isinstance(old, FunctionType):
            return self._function(old, new, path)
        if isinstance(old, CellType):
            return self._cell(old, new, path)
        if isinstance(old, type):
            return self._class(old, new, path)
        if isinstance(old, MemberDescriptorType | GetSetDescriptorType):
            return "" if old.__name__ == new.__name__ else path
        if isinstance(old, typing.ParamSpec):
            return "" if old.__name__ == new.__name__ else path
        if isinstance(old, tuple | list):
            return self._all(list(enumerate(old)), list(enumerate(new)), path)
        if isinstance(old, dict):
            return self._all(list(old.items()), list(new.items()), path)
        return self._state(old, new, path)

    def _all(self, old: list[tuple[Any, Any]], new: list[tuple[Any, Any]], path: str) -> str:
        if [key for key, _ in old] != [key for key, _ in new]:
            return path
        for (key, one), (_, other) in zip(old, new, strict=True):
            if found := self.difference(one, other, f"{path}[{key!r}]"):
                return found
        return ""

    def _code(self, old: CodeType, new: CodeType, path: str) -> str:
        if any(getattr(old, name) != getattr(new, name) for name in _CODE):
            return path
        if old.co_flags & ~_NESTED != new.co_flags & ~_NESTED or len(old.co_consts) != len(new.co_consts):
            return path
        for one, other in zip(old.co_consts, new.co_consts, strict=True):
            if isinstance(one, frozenset) and isinstance(other, frozenset):
                if sorted(map(repr, one)) != sorted(map(repr, other)):
                    return path
            elif _says_where(one, old) and _says_where(other, new) and type(one) is type(other):
                continue
            elif self.difference(one, other, path):
                return path
        return ""

    def _function(self, old: FunctionType, new: FunctionType, path: str) -> str:
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__closure__", "__doc__"):
            if found := self.difference(getattr(old, name), getattr(new, name), path):
                return path if name in {"__code__", "__doc__"} else f"{path}.{name}{found.removeprefix(path)}"
        return self._all(sorted(vars(old).items()), sorted(vars(new).items()), path)

    def _cell(self, old: CellType, new: CellType, path: str) -> str:
        try:
            contents = old.cell_contents, new.cell_contents
        except ValueError:
            return path
        return self.difference(*contents, path)

    def _class(self, old: type, new: type, path: str) -> str:
        if not _same_class(old, new):
            return path
        if found := self.difference(old.__bases__, new.__bases__, f"the bases of {path}"):
            return found
        own = {name: value for name, value in vars(old).items() if name not in _ELSEWHERE}
        made = {name: value for name, value in vars(new).items() if name not in _ELSEWHERE}
        if changed := sorted(own.keys() ^ made.keys()):
            return f"{path}.{changed[0]}"
        for name, value in own.items():
            if found := self.difference(value, made[name], f"{path}.{name}"):
                return found
        return ""

    def _state(self, old: Any, new: Any, path: str) -> str:
        """Objects of any other kind: equal, or made of equal parts."""
        try:
            if type(old) is type(new) and bool(old == new):
                return ""
        except Exception:  # noqa: BLE001 - comparisons of users and of arrays raise what they like
            return path
        one, other = _parts(old), _parts(new)
        if not one or not other:
            return path
        return self._all(sorted(one.items()), sorted(other.items()), path)


def _says_where(constant: Any, code: CodeType) -> bool:
    # The body of a class has its qualified name among the constants and, since 3.13, its line.
    in_class = not code.co_flags & _OPTIMIZED
    return in_class and ((constant == code.co_qualname) or (type(constant) is int and constant == code.co_firstlineno))


def _same_class(old: type, new: type) -> bool:
    return (old.__module__, old.__qualname__) == (new.__module__, new.__qualname__)


def _parts(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(getattr(value, "__dict__", {}))
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    # What is written in C shows its parts as attributes.
    names += [name for name in ("fget", "fset", "fdel", "__func__", "func", "args", "keywords") if hasattr(value, name)]
    found.update({name: getattr(value, name) for name in names if hasattr(value, name)})
    found.pop("__objclass__", None)
    found.pop("lock", None)  # of cached_property
    if not found and "__reduce__" in vars(type(value)):
        found["reduced"] = value.__reduce__()
    if hasattr(value, "cache_parameters"):
        found["parameters"] = sorted(value.cache_parameters().items())
    return found
