"""Many calls in one task: a function that makes several calls of another.

The worker need not have this package, so such a function must travel by value, and not by name: what says that it is
defined in ``__main__`` does. Where the other function can go as source, this one can, too: its text is kept where
:mod:`inspect` looks for it, and it finds the other among its globals, as functions of a script find each other. Else it
is a closure without source, which only what takes compiled functions takes.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, TypeVar

from afield.serialize.names import by_name, is_main

__all__ = ["in_chunks"]

T = TypeVar("T")

_BY_NAME: Final = """\
def {name}_in_chunks({name}_calls):
    return [{name}(*{name}_call) for {name}_call in {name}_calls]
"""
_CLOSURE: Final = """\
def around(function):
    def in_chunks(calls):
        return [function(*call) for call in calls]
    return in_chunks
"""


def in_chunks(function: Callable[..., T]) -> Callable[[list[tuple[Any, ...]]], list[T]]:
    """A function that takes the arguments of several calls and returns the list of what these return."""
    name = getattr(function, "__name__", "")
    place = _globals_for(function, name)
    made: dict[str, Any] = {}
    if place is None:
        exec(_CLOSURE, {"__name__": "__main__"}, made)  # noqa: S102 - our own text, here and below
        return made["around"](function)  # type: ignore[no-any-return]
    text = _BY_NAME.format(name=name)
    file = f"<calls of {name} in chunks>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec", dont_inherit=True), place, made)  # noqa: S102
    return made[f"{name}_in_chunks"]  # type: ignore[no-any-return]


def _globals_for(function: Any, name: str) -> dict[str, Any] | None:
    """Where a name stands for the function, as it will where it is called; None: it has to be given along."""
    if not name.isidentifier():
        return None
    if by_name(function) and function.__qualname__ == name:
        return {"__name__": "__main__", name: function}
    if isinstance(function, FunctionType) and not function.__closure__ and is_main(function.__module__):
        names: dict[str, Any] = function.__globals__
        return names if names.get(name) is function else None
    return None
