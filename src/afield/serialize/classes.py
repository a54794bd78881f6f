"""Classes taken apart: how to make each again elsewhere, by what every reader of dill's pickles has."""

from __future__ import annotations

import abc
import dataclasses
import enum
import pickle
import types
import typing
from collections import namedtuple
from collections.abc import Callable
from functools import partial
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final, TypeAlias

from dill._dill import _create_namedtuple, _create_type, _setitems

from afield.serialize.identities import MARK, identity_of, module_with
from afield.serialize.names import is_main

__all__ = ["notes", "parts", "sentinel", "type_variable"]

#: a function and its arguments
_Call: TypeAlias = tuple[Any, ...]

#: How to make a class without what is in it, and the calls that fill it.
Parts: TypeAlias = tuple[Callable[..., type], tuple[Any, ...], list[_Call]]

#: What a class must have at the end only, for it is called when another is derived from it. Those that it knows by then
#: were told of at home.
_LAST: Final = "__init_subclass__"

#: What a class must have from the beginning.
_FIRST: Final = ("__module__", "__doc__", "__slots__", "__orig_bases__")

#: What is made anew with it, or says the same as ``__annotations__`` in other words.
_MADE: Final = {
    "__dict__",
    "__weakref__",
    "_abc_impl",
    "__annotate_func__",
    "__annotate__",
    "__annotations_cache__",
    "__slotnames__",
    MARK,
}

#: Of a type variable.
_VARIANCES: Final = ("covariant", "contravariant", "infer_variance")

#: Of an enum: how its members were made, which they are by then.
_MAKERS: Final = {"__new__", "__new_member__", "_new_member_"}


def parts(kind: type) -> Parts:
    """A class of the script in parts.

    :raises pickle.PicklingError: it cannot be made again from outside
    """
    if isinstance(kind, enum.EnumMeta):
        return _enum_parts(kind)
    if kind.__bases__ == (tuple,) and hasattr(kind, "_fields") and hasattr(kind, "_field_defaults"):
        return _named_tuple_parts(kind)
    if typing.is_typeddict(kind):
        return _typed_dict_parts(kind)
    own = {name: value for name, value in vars(kind).items() if not _is_made(kind, name, value)}
    first: dict[str, Any] = {"__qualname__": kind.__qualname__, MARK: identity_of(kind)}
    first |= {name: own.pop(name) for name in _FIRST if name in own}
    if first.get("__doc__", "") is None:
        del first["__doc__"]
    if noted := notes(kind):
        own["__annotations__"] = noted
    if _LAST in own:
        own[_LAST] = own.pop(_LAST)
    calls: list[_Call] = [(setattr, kind, name, value) for name, value in own.items()]
    if isinstance(kind, abc.ABCMeta):
        calls += [(abc.ABCMeta.register, kind, each) for each in _registered(kind)]
    return _create_type, (type(kind), kind.__name__, kind.__bases__, first), calls


def notes(thing: Any) -> dict[str, Any]:
    """Its own annotations; none where they cannot be evaluated."""
    # Of a class without any, the attribute would be its base's.
    if isinstance(thing, type) and not {"__annotations__", "__annotate_func__"} & vars(thing).keys():
        return {}
    try:
        return dict(thing.__annotations__)
    except (AttributeError, NameError):  # from Python 3.14 on they are evaluated when somebody asks
        return {}


def type_variable(variable: Any) -> tuple[Callable[..., Any], tuple[Any, ...], list[_Call]]:
    """A type variable of the script in parts."""
    named = {name: True for name in _VARIANCES if getattr(variable, f"__{name}__", False)}
    if (bound := getattr(variable, "__bound__", None)) is not None:
        named["bound"] = bound
    if getattr(variable, "has_default", bool)():  # from Python 3.13 on
        named["default"] = variable.__default__
    kind: Any = type(variable)
    make = partial(kind, variable.__name__, *getattr(variable, "__constraints__", ()), **named)
    # Who makes it is where it is, unless somebody says so; then it could go no further.
    return make, (), [(setattr, variable, "__module__", "__main__")]


def sentinel(obj: Any) -> Any:
    """The marks of :mod:`dataclasses`, such as MISSING, are compared by identity, so they go by name."""
    name = next((name for name, value in vars(dataclasses).items() if value is obj), None)
    return NotImplemented if name is None else (getattr, (dataclasses, name))


def _is_made(kind: type, name: str, value: Any) -> bool:
    slot = isinstance(value, MemberDescriptorType | GetSetDescriptorType) and value.__objclass__ is kind
    return slot or name in _MADE or name == "__annotations__"


def _registered(kind: abc.ABCMeta) -> list[type]:
    # There is no public way to ask who was registered.
    from _abc import _get_dump  # type: ignore[import-not-found]

    return [found for reference in _get_dump(kind)[0] if (found := reference()) is not None]


def _named_tuple_parts(kind: Any) -> Parts:
    defaults = tuple(kind._field_defaults.values()) or None
    plain = namedtuple(kind.__name__, kind._fields, defaults=defaults, module="__main__")  # type: ignore[misc]  # noqa: PYI024
    calls: list[_Call] = [(setattr, kind, name, value) for name, value in _added(kind, plain)]
    calls += [(setattr, kind, name, getattr(kind, name)) for name in ("__module__", "__qualname__")]
    return _create_namedtuple, (kind.__name__, kind._fields, module_with("__main__", kind), defaults), calls


def _typed_dict_parts(kind: Any) -> Parts:
    # Nobody is an instance of it, so it needs no identity.
    calls: list[_Call] = [
        (setattr, kind, name, value)
        for name, value in vars(kind).items()
        if name in {"__module__", "__qualname__", "__doc__", "__orig_bases__"} or name.endswith("_keys__")
    ]
    make: Any = typing.TypedDict
    return partial(make, total=kind.__total__), (kind.__name__, notes(kind)), calls


def _enum_parts(kind: enum.EnumMeta) -> Parts:
    members: dict[str, Any] = dict(kind.__members__)
    body = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    body |= {name: member._value_ for name, member in members.items()}
    options = {"boundary": kind.__dict__["_boundary_"]} if issubclass(kind, enum.Flag) else {}
    body[MARK] = identity_of(kind)
    arguments = (kind.__name__, kind.__bases__, options, partial(_setitems, source=body))
    try:
        # If it works here, it works there.
        plain: Any = types.new_class(*arguments)
        same = all(plain[name]._value_ == member._value_ for name, member in members.items())
    except Exception as error:
        raise _stubborn(kind) from error
    if not same:
        raise _stubborn(kind)
    calls: list[_Call] = [
        (setattr, kind, name, value)
        for name, value in _added(kind, plain)
        if name not in members and name not in _MAKERS
    ]
    for member in dict.fromkeys(members.values()):
        extra = vars(member).keys() - vars(plain[member._name_]).keys()
        calls += [(setattr, member, name, vars(member)[name]) for name in sorted(extra)]
    return types.new_class, arguments, calls


def _stubborn(kind: type) -> pickle.PicklingError:
    return pickle.PicklingError(
        f"the enum {kind.__qualname__} makes its members in a way of its own, and cannot be made from their values"
    )


def _added(kind: type, plain: type) -> list[tuple[str, Any]]:
    """What the script put into a class that is otherwise like ``plain``."""
    made = vars(plain)
    return [
        (name, value)
        for name, value in vars(kind).items()
        if name not in _MADE and (name not in made or _is_written(value) or _is_other_text(value, made[name]))
    ]


def _is_written(value: Any) -> bool:
    found = getattr(value, "__func__", value)
    return isinstance(found, FunctionType) and is_main(found.__module__)


def _is_other_text(value: Any, made: Any) -> bool:
    return isinstance(value, str) and value != made
