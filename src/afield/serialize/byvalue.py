"""Functions and classes of the running script, written by value with what they use of it.

Theory. Every reader of pickles of dill must understand what is written here, the published one included. So nothing is
named in it but Python's own functions and the few of dill that make functions and classes. What dill does not do, and
this does:

1. A function takes along the globals that it uses: imports, other functions, classes, constants. All functions of one
   pickle that come from one module share one new dict of globals, as they did at home. It is filled after the function
   exists, so functions may use each other.
2. A class is made first and filled afterwards, so its methods may use it, ``super()`` included. Enums and named tuples
   are made again by what made them.
3. Nothing refers to ``__main__`` by name: the reader's is another one. What could only be named is an error here, where
   somebody can do something about it, and not there.

Of the globals, what cannot travel stays behind, and the function goes; scripts were written for that. The new globals
hold the reasons, for the day when somebody misses one.
"""

from __future__ import annotations

import _thread
import pickle
import sys
import threading
import typing
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from operator import is_
from types import CellType, FunctionType, ModuleType
from typing import Any, ClassVar, Final

from dill._dill import Pickler, _create_function, _import_module, _setitems

from afield.serialize import classes
from afield.serialize.identities import LEFT_BEHIND
from afield.serialize.names import all_code, by_name, global_names, home_of, is_main, submodules

__all__ = ["write"]

#: From this size on in bytes, a global that travels with a function is worth a warning.
_HEAVY: Final = 1_000_000

_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not in C
_LIGHT: Final = (type(None), bool, int, float, complex, type(...), range)

#: What is part of this process, by the names of its classes: dill would send some of it, and it would mean nothing.
_LIVES_HERE: Final = {
    "_io._IOBase": "an open file",
    "_socket.socket": "a socket",
    "concurrent.futures._base.Executor": "an executor",
    "concurrent.futures._base.Future": "a future",
    "asyncio.events.AbstractEventLoop": "an event loop",
    "subprocess.Popen": "a process",
    "threading.Thread": "a thread",
}
#: The same, where it is a global itself. Inside of objects they are replaced by new ones, which is what one wants.
_LOCKS: Final = {
    "threading.Condition": "a lock",
    "threading.Event": "an event",
    "threading.Semaphore": "a lock",
}
_IN_MEMORY: Final = ("_io.BytesIO", "_io.StringIO")


def write(data: Any) -> bytes:
    """``data`` as a pickle for dill, with what it needs of the running script.

    :raises Exception: whatever dill or the object's own methods raise
    """
    file = _File()
    writer = _Writer(file)
    writer.dump(data)  # type: ignore[no-untyped-call]
    if writer.heavy:
        named = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in writer.heavy.items())
        warnings.warn(
            f"a function travels with large variables of its script: {named}. They go along with it to each worker; "
            "read or make them inside the function, or pass as an argument what is needed of them",
            UserWarning,
            stacklevel=2,
        )
    return b"".join(file.parts)


class _File:
    """A file that only grows."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.parts.append(bytes(data))


class _Scale:
    """A file that forgets, and knows how much."""

    size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)


class _Call:
    """In a pickle: what a call returns."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


class _Globals:
    """The globals of one module, and what of them travels."""

    def __init__(self, there: dict[str, Any]) -> None:
        self.there = there
        self.new: dict[str, Any] = {"__name__": "__main__"}
        #: names that need not be looked at again
        self.seen = {"__name__", "__builtins__"}


class _Writer(Pickler):
    """dill's pickler, with other ways for functions, their variables, classes and modules.

    :param root: where it only tries whether this can be written: functions then come without their globals
    """

    def __init__(self, file: Any, root: Any = None) -> None:
        super().__init__(file)  # type: ignore[no-untyped-call]
        self._root = root
        self._globals: dict[int, _Globals] = {}
        #: large globals, with their sizes in bytes
        self.heavy: dict[str, int] = {}

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if reducer := self._reducers.get(kind):
            return reducer(self, obj)
        if isinstance(obj, type):
            return self._class(obj)
        if self._root is not None and (what := _lives_here(kind, alone=obj is self._root)):
            raise pickle.PicklingError(f"{what} lives in one process only")
        if kind.__module__ == "dataclasses":
            return classes.sentinel(obj)
        return NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if is_main(getattr(obj, "__module__", None)):
            raise pickle.PicklingError(f"{name or obj!r} of the script ({type(obj).__name__}) can only be named")
        super().save_global(obj, name)  # type: ignore[misc]

    # ---- functions -------------------------------------------------------------------------------------------------

    def _function(self, function: FunctionType) -> Any:
        if by_name(function):
            return NotImplemented
        names = function.__globals__
        module = sys.modules.get(str(names.get("__name__")))
        if module is not None and vars(module) is names and not is_main(module.__name__):
            new, steps = names, []
        else:
            known = self._globals.get(id(names))
            if known is None:
                known = self._globals[id(names)] = _Globals(names)
            new, steps = known.new, self._filling(function, known)
        steps = [_Call(setattr, function, name, value) for name, value in _own_attributes(function)] + steps
        made = (function.__code__, new, function.__name__, None, function.__closure__)
        return _in_steps(_create_function, made, steps)

    def _filling(self, function: FunctionType, names: _Globals) -> list[_Call]:
        """What puts the globals that ``function`` uses into its new ones."""
        if self._root is not None:
            return []
        steps: list[_Call] = []
        taken: dict[str, Any] = {}
        for name in global_names(function):
            if name in names.seen or name not in names.there:
                continue
            names.seen.add(name)
            value = names.there[name]
            if isinstance(value, ModuleType):
                steps += [_Call(import_module, each) for each in submodules(value, all_code(function.__code__))]
            if home := home_of(name, value):
                taken[name] = _Call(getattr, sys.modules[home[0]], home[1])
            elif reason := self._why_not(name, value):
                taken[LEFT_BEHIND + name] = reason
            else:
                taken[name] = value
        return [*steps, _Call(_setitems, names.new, taken)] if taken else steps

    def _why_not(self, name: str, value: Any) -> str:
        """Why a global cannot travel; empty: it can."""
        if isinstance(value, _LIGHT) or _is_plain_function(value):
            return ""
        scale = _Scale()
        try:
            _Writer(scale, value).dump(value)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - objects raise what they like when they are pickled
            return f"{type(value).__name__}: {error}"
        if scale.size > _HEAVY:
            self.heavy[name] = scale.size
        return ""

    def _cell(self, cell: CellType) -> Any:
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            return CellType, ()
        return _in_steps(CellType, (), [_Call(setattr, cell, "cell_contents", value)])

    # ---- classes and modules ---------------------------------------------------------------------------------------

    def _class(self, kind: type) -> Any:
        script = is_main(kind.__module__) or "<locals>" in kind.__qualname__
        if not script or not kind.__flags__ & _HEAP_TYPE or by_name(kind):
            return NotImplemented
        make, arguments, calls = classes.parts(kind)
        return _in_steps(make, arguments, [_Call(*call) for call in calls])

    def _module(self, module: ModuleType) -> Any:
        # dill sends the contents of modules that it does not take for installed.
        return (_import_module, (module.__name__,)) if _is_importable(module) else NotImplemented

    _reducers: ClassVar[dict[type, Callable[[_Writer, Any], Any]]] = {
        FunctionType: _function,
        CellType: _cell,
        ModuleType: _module,
        # dill's copies of locks may come out locked, for ever.
        type(_thread.allocate_lock()): lambda self, obj: _lock(obj, self._root, _thread.allocate_lock),
        type(threading.RLock()): lambda self, obj: _lock(obj, self._root, threading.RLock),
        **dict.fromkeys((typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple), lambda _, obj: _variable(obj)),
        # from Python 3.12 on: ``type Names = list[str]``
        getattr(typing, "TypeAliasType", typing.NewType): lambda _, obj: _alias(obj),
        typing.NewType: lambda _, obj: (typing.NewType, (obj.__name__, obj.__supertype__)),
    }


def _in_steps(make: Any, arguments: tuple[Any, ...], steps: list[_Call]) -> tuple[Any, ...]:
    """In a pickle: make it, then do something more with it. ``is_`` is there to throw away what the steps return."""
    return (make, arguments, tuple(steps), None, None, is_) if steps else (make, arguments)


def _variable(variable: Any) -> Any:
    # Those of ``def f[T](x: T)`` are said to be of typing, and are not there.
    module = variable.__module__
    if not is_main(module) and getattr(sys.modules.get(module), variable.__name__, None) is variable:
        return NotImplemented
    make, arguments, calls = classes.type_variable(variable)
    return _in_steps(make, arguments, [_Call(*call) for call in calls])


def _alias(alias: Any) -> Any:
    if not is_main(alias.__module__):
        return NotImplemented
    kind: Any = type(alias)
    return partial(kind, type_params=alias.__type_params__), (alias.__name__, alias.__value__)


def _lock(lock: Any, root: Any, make: Callable[[], Any]) -> Any:
    if lock is root:
        raise pickle.PicklingError("a lock lives in one process only")
    return make, ()


def _own_attributes(function: FunctionType) -> list[tuple[str, Any]]:
    code = function.__code__
    found: dict[str, Any] = dict(vars(function))
    for name in ("__defaults__", "__kwdefaults__"):
        if (value := getattr(function, name)) is not None:
            found[name] = value
    if notes := classes.notes(function):
        found["__annotations__"] = notes
    if function.__qualname__ != code.co_qualname:
        found["__qualname__"] = function.__qualname__
    if function.__doc__ != next(iter(code.co_consts), None):
        found["__doc__"] = function.__doc__
    return list(found.items())


def _is_plain_function(value: Any) -> bool:
    return (
        type(value) is FunctionType
        and not (value.__closure__ or value.__defaults__ or value.__kwdefaults__ or vars(value))
        and not classes.notes(value)
    )


def _is_importable(module: ModuleType) -> bool:
    return sys.modules.get(module.__name__) is module


def _lives_here(kind: type, *, alone: bool) -> str:
    names = [f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__]
    if names[0] in _IN_MEMORY:
        return ""
    known = _LIVES_HERE | _LOCKS if alone else _LIVES_HERE
    return next((known[name] for name in names if name in known), "")
