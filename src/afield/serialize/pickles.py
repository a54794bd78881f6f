"""Pickles: written by C where that says the same, by dill where it would not; read by one reader for both.

dill pickles by value what pickle only names: functions and classes of the script that is running, lambdas, closures.
That takes its Python-written pickler, some 30 times as long, and 50 ms for its import. Most arguments and results need
nothing of it. So:

1. Write with the C pickler; what it makes, any dill reads. Where it fails, dill writes, as ``byvalue`` tells it to.
2. What it made is not good enough if it names something of ``__main__``, for that is another module elsewhere. Such a
   pickle holds the text ``__main__``; then dill writes. (A string that merely says so costs time, no more.)
3. The reader knows the few names that dill's reader knows, and imports dill only when a pickle names something of it.
4. A class of the script that comes back to it, as the type of a result or of something in it, is the script's own, as
   it is there; and one that came with the function of a task is the same in its arguments (see ``identities``), as it
   came last.

What dill makes of a function is the byte code of one Python, and running that of another one crashes the process, or
worse. So a pickle with byte code ends with the version that made it: behind the end, where no reader looks but ours.
Of pickles by others the byte code is looked at before it becomes a function, and refused where it is plainly foreign.
"""

from __future__ import annotations

import gc
import io
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from types import FunctionType
from typing import Any, Final, Self
from weakref import WeakSet

from afield.serialize.foreign import VERSION, Unusable, checking, foreign
from afield.serialize.identities import LEFT_BEHIND, MARK, class_at_home, class_of_task, remember, split_module
from afield.serialize.published import stand_in

__all__ = ["CODE_MARK", "LEFT_BEHIND", "Reader", "dumps", "loads"]

_MAIN: Final = "__main__"
#: also in ``__mp_main__``, which is the same module in processes of multiprocessing
_MAIN_BYTES: Final = b"_main__"

#: What dill makes code with. No pickle by dill holds code without it; one that merely holds the word is taken for one
#: that does.
CODE_MARK: Final = b"_create_code"
#: And classes.
_CLASSES: Final = re.compile(rb"_create_type|_create_namedtuple|new_class")
_STAMP: Final = b"\ncompiled by Python " + VERSION.encode()
_STAMPED: Final = re.compile(rb"\ncompiled by Python ((\d+)\.(\d+)\.\d+)\Z")
_STAMP_MOST: Final = 40


def dumps(data: Any) -> bytes:
    """``data`` as a pickle that ``dill.loads`` reads.

    :raises Exception: whatever dill or the object's own methods raise
    """
    # Any failure means the same: this needs dill, or fails there too and says why.
    with suppress(Exception):
        made = pickle.dumps(data)
        if _MAIN_BYTES not in made:
            return made
    from afield.serialize.byvalue import write

    by_value = write(data)
    return by_value + _STAMP if CODE_MARK in by_value else by_value


def loads(pickled: bytes) -> Any:
    """What :func:`dumps`, ``dill.dumps`` or ``pickle.dumps`` made a pickle of.

    :raises DeserializationError: it holds byte code of another version of Python
    :raises Exception: whatever unpickling raises
    """
    if pickled[-1:] != pickle.STOP:
        stamp = _STAMPED.search(pickled, max(0, len(pickled) - _STAMP_MOST))
        if stamp is not None and (int(stamp[2]), int(stamp[3])) != sys.version_info[:2]:
            return _without_code(pickled, f"Python {stamp[1].decode()}")
    return Reader(pickled).load()


class Reader(pickle.Unpickler):
    """Reads pickles of pickle and of dill."""

    def __init__(self, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled))
        self._pickled = pickled
        self._here = _Here()

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, as dill's reader understands it."""
        if module == "__builtin__":
            if name == _MAIN:  # dill's name for the globals of the running script
                return vars(sys.modules[_MAIN])
            if name == "NoneType":
                return type(None)
        elif module == "dill.dill":
            module = "dill._dill"  # where it was until dill 0.2.8
        try:
            found = super().find_class(module, name)
        except ModuleNotFoundError:
            if (ours := stand_in(module, name)) is None:
                raise
            return ours
        wrap = _WRAPPED.get((module, name))
        # Somebody may well send ``setattr`` itself.
        if wrap is None or (wrap is _filling_classes and not _CLASSES.search(self._pickled)):
            return found
        return wrap(found, self._here)


class _OthersReader(Reader):
    """Reads pickles of another version.

    :param here: which classes need not be made
    :param others: what some names in it mean instead
    :param absent: makes something for names that mean nothing here
    """

    def __init__(
        self, pickled: bytes, here: _Here, others: Mapping[tuple[str, str], Any], absent: Callable[[], Any]
    ) -> None:
        super().__init__(pickled)
        self._here, self._others, self._absent = here, others, absent

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, or what is to take its place."""
        if (other := self._others.get((module, name))) is not None:
            return other
        try:
            return super().find_class(module, name)
        except (AttributeError, ImportError):
            return self._absent()


def _without_code(pickled: bytes, maker: str) -> Any:
    """The object, if it needs nothing of the byte code in its pickle.

    So it is with instances of a class of this script that come back to it: the class came along with its methods, and
    the script has it.

    :raises DeserializationError: it needs it
    """
    alive: WeakSet[Unusable] = WeakSet()

    class Absent(Unusable):
        def __new__(cls, *_: Any) -> Self:
            made = super().__new__(cls)
            alive.add(made)
            return made

    def no_class(*_: Any) -> Any:
        raise foreign(maker)

    here = _Here(fills=False)
    others = {
        ("dill._dill", "_create_code"): lambda *_: None,
        ("dill._dill", "_create_function"): Absent,
        ("dill._dill", "_create_type"): _making_classes(no_class, here),
        # What dataclasses keep in a class differs from version to version.
        ("dataclasses", "Field"): Absent,
        ("dataclasses", "_DataclassParams"): Absent,
    }
    try:
        found = _OthersReader(pickled, here, others, Absent).load()
    except Exception:  # noqa: BLE001 - it was tried; what is wrong is that the versions differ
        raise foreign(maker) from None
    # What was read on the way is gone by now, so those that are left are part of it; or of a ring.
    if alive:
        gc.collect()
    if alive:
        raise foreign(maker)
    return found


# ---- classes that are here already -----------------------------------------------------------------------------------


_METHODS: Final = (FunctionType, classmethod, property, staticmethod)


class _Here:
    """Which classes of a pickle are here and need not be made.

    :param fills: whether those that came with the task are filled again: the script may have changed them since
    """

    def __init__(self, *, fills: bool = True) -> None:
        self._fills = fills
        #: those that stay as they are, by number
        self._settled: dict[int, type] = {}
        #: those that are filled again
        self._again: dict[int, type] = {}

    def find(self, identity: Any, module: Any, name: Any) -> type | None:
        """The class that is about to be made."""
        found = class_at_home(identity)
        if found is None:
            found = _own_class(module, name)
        if found is None:
            found = class_of_task(identity)
            if found is None:
                return None
            if self._fills:
                self._again[id(found)] = found
                return found
        self._settled[id(found)] = found
        return found

    def is_settled(self, thing: Any) -> bool:
        """Whether nothing is to be done to this class, or member of an enum."""
        kind = thing if isinstance(thing, type) else type(thing)
        return id(kind) in self._settled and (kind is thing or isinstance(thing, Enum))

    def has(self, kind: Any, name: str, value: Any) -> bool:
        """Whether a class that came with the task has just that method under that name.

        Then it keeps its own, which came with the function, and changes the globals that the function sees.
        """
        if id(kind) not in self._again or name not in vars(kind) or not isinstance(value, _METHODS):
            return False
        from afield.serialize.same import Comparison

        return not Comparison().difference(vars(kind)[name], value, name)


def _making_classes(create_type: Callable[..., Any], here: _Here) -> Callable[..., Any]:
    def create(*parts: Any) -> Any:
        # A metaclass, a name, bases, and what is in it.
        names = parts[3] if len(parts) == 4 and isinstance(parts[3], dict) else {}
        identity = names.pop(MARK, None)
        name = names.get("__qualname__", parts[1] if len(parts) > 1 else "")
        known = here.find(identity, names.get("__module__"), name)
        return remember(create_type(*parts), identity) if known is None else known

    return create


def _making_enums(new_class: Callable[..., Any], here: _Here) -> Callable[..., Any]:
    def create(*parts: Any) -> Any:
        # A name, bases, options, and a function with what is in it.
        names = getattr(parts[3], "keywords", {}).get("source") if len(parts) == 4 else None
        if not isinstance(names, dict):
            return new_class(*parts)
        identity = names.pop(MARK, None)
        name = names.get("__qualname__", parts[0])
        known = here.find(identity, names.get("__module__"), name)
        return remember(new_class(*parts), identity) if known is None else known

    return create


def _making_named_tuples(create: Callable[..., Any], here: _Here) -> Callable[..., Any]:
    def make(name: Any, fields: Any, module: Any, defaults: Any = None) -> Any:
        # Its qualified name comes later, so one that came from inside of a class is not found by name.
        module, identity = split_module(module)
        known = here.find(identity, module, name)
        return remember(create(name, fields, module, defaults), identity) if known is None else known

    return make


def _filling_classes(set_attribute: Callable[..., Any], here: _Here) -> Callable[..., Any]:
    def fill(thing: Any, name: str, value: Any) -> None:
        if not here.is_settled(thing) and not here.has(thing, name, value):
            set_attribute(thing, name, value)

    return fill


def _own_class(module: Any, name: Any) -> type | None:
    """The class of this script of that name, if there is one that was defined in it."""
    if module != _MAIN or not isinstance(name, str):
        return None
    found: Any = sys.modules[_MAIN]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and found.__module__ == _MAIN else None


_WRAPPED: Final[dict[tuple[str, str], Callable[[Callable[..., Any], _Here], Callable[..., Any]]]] = {
    ("dill._dill", "_create_code"): lambda create_code, _: checking(create_code),
    ("dill._dill", "_create_namedtuple"): _making_named_tuples,
    ("dill._dill", "_create_type"): _making_classes,
    ("types", "new_class"): _making_enums,
    ("builtins", "setattr"): _filling_classes,
}
