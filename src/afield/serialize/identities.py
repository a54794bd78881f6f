"""Which class is which, where classes of a script travel by value.

A function takes its script's classes along, and so does each argument that is an instance of one. Read one after the
other, they would be different classes of the same name, and ``colour is Colour.RED`` would be false where the script
says it is true. So each class that travels has an identity, made when it is first written:

1. Where a class was written, what comes back with its identity is that class, and stays as it is there.
2. Elsewhere, what one task brings is one class: the task's function makes it, and its arguments take it. The next task
   makes its own, so that nothing which a task does to a class is seen by another one, or by one in another thread.

The published reader knows nothing of it, and is not disturbed.
"""

from __future__ import annotations

import threading
from os import urandom
from typing import Any, Final
from weakref import WeakValueDictionary, ref

__all__ = [
    "LEFT_BEHIND",
    "MARK",
    "MARKS",
    "begin_task",
    "class_at_home",
    "class_of_task",
    "identity_of",
    "module_with",
    "remember",
    "split_module",
]

#: Under this name the identity is among what a class is made of.
MARK: Final = "__afield_class__"

#: And under this one are, in source, all its classes by their identities.
MARKS: Final = "__afield_classes__"

#: Before the names of globals that could not travel with a function: there its new globals hold the reasons.
LEFT_BEHIND: Final = "left behind: "

#: Between module and identity, where a class is made of its module's name and little else.
_IN_MODULE: Final = ".afield:"


class _Known:
    """A class that has an identity, as long as somebody has the class."""

    __slots__ = ("identity", "is_born_here", "kind")

    def __init__(self, kind: type, identity: str, *, is_born_here: bool) -> None:
        number = id(kind)
        self.identity, self.is_born_here = identity, is_born_here
        self.kind = ref(kind, lambda _: _forget(number, self))


class _Task(threading.local):
    """The task that this thread reads."""

    #: what it brought, by identity; None: there was none
    classes: WeakValueDictionary[str, type] | None = None


# Both change by single steps, so they need no lock: a finalizer, or a process that was forked, could wait for it for
# ever. By number, for classes may be compared and hashed as their metaclasses like it.
_known: Final[dict[int, _Known]] = {}
#: the classes that were written here
_written: Final[dict[str, _Known]] = {}
_task: Final = _Task()


def identity_of(kind: type) -> str:
    """The identity of a class that is written; it gets one when somebody first asks."""
    known = _known.get(id(kind))
    if known is None:
        known = _known.setdefault(id(kind), _Known(kind, urandom(16).hex(), is_born_here=True))
    _written[known.identity] = known
    return known.identity


def begin_task() -> None:
    """From here on this thread reads another task, whose classes are its own."""
    _task.classes = WeakValueDictionary()


def class_at_home(identity: Any) -> type | None:
    """The class of that identity, if it was written here; between tasks also one that came from elsewhere before."""
    known = _written.get(identity) if isinstance(identity, str) else None
    return known.kind() if known is not None and (known.is_born_here or _task.classes is None) else None


def class_of_task(identity: Any) -> type | None:
    """The class of that identity that this thread's task brought already."""
    return _task.classes.get(identity) if _task.classes is not None and isinstance(identity, str) else None


def remember(kind: type, identity: Any) -> type:
    """Give a class that was made here the identity with which it came.

    :returns: the class
    """
    if isinstance(identity, str):
        _known[id(kind)] = _Known(kind, identity, is_born_here=False)
        if _task.classes is not None:
            _task.classes[identity] = kind
    return kind


def module_with(module: str, kind: type) -> str:
    """The name of a module that is none, and holds the identity of ``kind``, for what has no better place for it."""
    return f"{module}{_IN_MODULE}{identity_of(kind)}"


def split_module(name: Any) -> tuple[Any, str | None]:
    """Module and identity of what :func:`module_with` made."""
    if not isinstance(name, str) or _IN_MODULE not in name:
        return name, None
    module, _, identity = name.partition(_IN_MODULE)
    return module, identity


def _forget(number: int, known: _Known) -> None:
    if _known.get(number) is known:
        del _known[number]
    if _written.get(known.identity) is known:
        del _written[known.identity]
