"""A function as source that any Python reads, with what it uses of its script: one text that needs nothing else.

Theory. Source found on a disk or in a notebook need not be what was loaded, and running a definition again need not
give what it gave the first time. So nothing is believed: the text is put together, run here in a namespace of its own,
and what comes out is compared with what is there, byte code, default values, attributes and all. Only what is equal is
sent. So that running it does no harm, only definitions are run whose decorators, default values and class bodies
compute nothing but values; what calls anything else is refused, by name.

Data of the script travels as it is now, not by the statement that once made it.
"""

from __future__ import annotations

import ast
import builtins
import pickle
import sys
import typing
from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from inspect import unwrap
from types import FunctionType, ModuleType
from typing import Any, Final

from afield.errors import SerializationError
from afield.serialize.identities import MARKS, identity_of
from afield.serialize.names import all_code, by_name, global_names, home_of, is_main, submodules
from afield.serialize.same import Comparison
from afield.serialize.sources import TEXT_NOTES, Found, early_names, find_class, find_function

__all__ = ["portable_source"]

_MAIN_BYTES: Final = b"_main__"
_PROTOCOL: Final = 4  # every supported Python reads it
_LITERALS: Final = (type(None), bool, int, float, str, bytes)
_LAMBDA: Final = "lambda_"
_FUTURE: Final = "from __future__ import annotations\n"


def portable_source(function: Any) -> tuple[str, str]:
    """The name of ``function`` and a text that defines it, and all it needs of its script, under that name.

    :raises SerializationError: naming what stands in the way
    """
    if not isinstance(unwrap(function) if callable(function) else function, FunctionType | type):
        raise SerializationError(
            f"it is not a function that a def made, but an object of type {type(function).__name__}"
        )
    text = _Text(_globals_of(function))
    try:
        return text.of(function)
    except RecursionError:
        raise SerializationError("what it uses of its script is nested too deeply") from None


class _Text:
    """The text as it grows."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._imports: list[str] = []
        self._data: dict[str, Any] = {}
        self._definitions: list[str] = []
        #: what each name of the text stands for
        self._known: dict[str, Any] = {}
        #: names whose definitions are on their way
        self._open: set[str] = set()
        #: names to be defined before the end
        self._late: deque[str] = deque()
        self._flags: set[int] = set()

    def of(self, function: Any) -> tuple[str, str]:
        name = function.__name__
        if name == "<lambda>":
            name = next(each for each in (_LAMBDA + "_" * more for more in range(99)) if each not in self._names)
        self._define(name, function)
        while self._late:
            self._need(self._late.popleft())
        text = "".join(self._parts())
        if not self._flags - {0} and _notes_in_class(text):
            # Readers may make text of annotations; then dataclasses look up in the module what they mean, in vain.
            text = f"exec(compile({text!r}, '<portable source of {name}>', 'exec', dont_inherit=True))\n"
        self._prove(text)
        return name, text

    def _parts(self) -> Iterator[str]:
        if len(self._flags) > 1:
            raise SerializationError("some of it was compiled with 'from __future__ import annotations', some without")
        if self._flags - {0}:
            yield _FUTURE
        if any(isinstance(value, type) for value in self._known.values()):
            yield "__name__ = '__main__'\n"  # where classes are of that are not imported
        yield from dict.fromkeys(self._imports)
        if self._data:
            # In one, for two of them may hold the same object.
            names = ", ".join(self._data)
            pickled = b64encode(_pickled(tuple(self._data.values()), "its data")).decode("ascii")
            yield f"({names},) = __import__('pickle').loads(__import__('base64').b64decode('{pickled}'))\n"
        yield from self._definitions
        if classes := [text for name, value in self._known.items() for text in _marked(name, value)]:
            yield f"{MARKS} = {{{', '.join(classes)}}}\n"

    # ---- what a name needs -----------------------------------------------------------------------------------------

    def _need(self, name: str) -> None:
        if name in self._known:
            if self._known[name] is not self._names.get(name):
                raise SerializationError(f"{name} is its own name, and also that of something else that it uses")
            return
        if name not in self._names:
            return  # a builtin, or missing there as here
        if name in self._open:
            raise SerializationError(f"{name} is needed to define itself")
        value = self._names[name]
        if isinstance(value, ModuleType):
            self._known[name] = value
            self._imports.append(f"import {value.__name__} as {name}\n")
        elif by_name(value):
            self._import(name, value)
        elif text := _made_by_call(value):
            self._known[name] = value
            self._imports.append(f"{name} = {text}\n")
        elif isinstance(value, FunctionType | type) or isinstance(getattr(value, "__wrapped__", None), FunctionType):
            self._define(name, value)
        else:
            self._keep(name, value)

    def _import(self, name: str, value: Any) -> None:
        module, path = value.__module__, value.__qualname__
        if module == "builtins" and getattr(builtins, name, None) is value:
            return
        self._known[name] = value
        if "." in path:
            self._imports.append(f"{name} = __import__({module!r}, fromlist=['_']).{path}\n")
        else:
            self._imports.append(f"from {module} import {path} as {name}\n")

    def _keep(self, name: str, value: Any) -> None:
        self._known[name] = value
        if home := home_of(name, value):
            self._imports.append(f"from {home[0]} import {home[1]} as {name}\n")
            return
        if type(value) in _LITERALS and value == value:  # noqa: PLR0124 - not what is not a number
            literal = repr(value)
            if "inf" not in literal:
                self._imports.append(f"{name} = {literal}\n")
                return
        _pickled(value, name)
        self._data[name] = value

    def _define(self, name: str, value: Any) -> None:
        """A function or class of the script, by its source, after what its definition needs."""
        _refuse_closure(name, value)
        own = getattr(value, "__name__", name)
        if own not in {name, "<lambda>"} and own.isidentifier():
            # Another name for it.
            if self._names.get(own) is not value:
                raise SerializationError(f"{name} was defined as {own}, and {own} is something else by now")
            self._need(own)
            self._known[name] = value
            self._definitions.append(f"{name} = {own}\n")
            return
        self._open.add(name)
        found = self._find(name, value)
        early = early_names(found, self._names)
        for each in early:
            self._need(each)
        self._open.discard(name)
        if name in self._known:
            return
        self._known[name] = value
        self._flags.add(found.flags & TEXT_NOTES)
        self._definitions.append(found.text(name))
        self._late += self._used_by(found)

    def _find(self, name: str, value: Any) -> Found:
        if isinstance(value, type):
            return find_class(value)
        function = unwrap(value)
        if not isinstance(function, FunctionType):
            raise SerializationError(f"{name} is not a function that a def made")
        if function.__globals__ is not self._names:
            raise SerializationError(f"{name} was defined in another module, and cannot be imported from it")
        found = find_function(function)
        if found.is_decorated and self._names.get(name) is not value:
            raise SerializationError(f"{name} is not what its definition, with its decorators, gave that name")
        return found

    def _used_by(self, found: Found) -> list[str]:
        names: list[str] = []
        codes = [code for function in found.functions for code in all_code(function.__code__)]
        for function in found.functions:
            names += global_names(function)
        for name in names:
            module = self._names.get(name)
            if isinstance(module, ModuleType):
                self._imports += [f"__import__({each!r})\n" for each in submodules(module, codes)]
        return names

    # ---- the proof ---------------------------------------------------------------------------------------------------

    def _prove(self, text: str) -> None:
        made: dict[str, Any] = {"__name__": "__main__"}
        try:
            exec(compile(text, "<portable>", "exec", dont_inherit=True), made)  # noqa: S102 - definitions only
        except Exception as error:
            raise SerializationError(
                f"its source, put together, does not run: {type(error).__name__}: {error}"
            ) from error
        comparison = Comparison()
        for name, value in self._known.items():
            if name in self._data or (isinstance(value, type) and by_name(value)):
                continue
            if difference := name if name not in made else comparison.difference(value, made[name], name):
                raise SerializationError(
                    f"its source, run again, would not give the same: {difference} was changed since it was loaded, in "
                    "its file or by the script"
                )


def _refuse_closure(name: str, value: Any) -> None:
    function = unwrap(value) if callable(value) else value
    if isinstance(function, FunctionType) and function.__closure__:
        free = ", ".join(function.__code__.co_freevars)
        raise SerializationError(f"{name} is a closure: it uses {free} of the function in which it was defined")


def _marked(path: str, kind: Any) -> Iterator[str]:
    """For a class of the script and those in it: the identity, and where it is."""
    if not isinstance(kind, type) or by_name(kind):
        return
    yield f"{identity_of(kind)!r}: {path}"
    for name, value in vars(kind).items():
        if isinstance(value, type) and value.__qualname__.startswith(f"{kind.__qualname__}."):
            yield from _marked(f"{path}.{name}", value)


def _made_by_call(value: Any) -> str:
    """How to make what is made by a call and compared by what it says; empty: it is of another kind."""
    if isinstance(value, typing.TypeVar) and not value.__constraints__ and value.__bound__ is None:
        variance = f"covariant={value.__covariant__}, contravariant={value.__contravariant__}"
        return f"__import__('typing').TypeVar({value.__name__!r}, {variance})"
    if isinstance(value, typing.ParamSpec) and value.__bound__ in (None, type(None)):  # the second from 3.12 on
        return f"__import__('typing').ParamSpec({value.__name__!r})"
    if (
        isinstance(value, typing.NewType)
        and getattr(builtins, value.__supertype__.__name__, None) is value.__supertype__
    ):
        return f"__import__('typing').NewType({value.__name__!r}, {value.__supertype__.__name__})"
    if isinstance(value, type) and value.__bases__ == (tuple,) and "__orig_bases__" not in vars(value):
        fields, defaults = getattr(value, "_fields", ()), getattr(value, "_field_defaults", {})
        if fields and all(type(each) in _LITERALS for each in defaults.values()):
            options = f"defaults={tuple(defaults.values()) or None}, module={value.__module__!r}"
            return f"__import__('collections').namedtuple({value.__name__!r}, {fields}, {options})"
    return ""


def _globals_of(function: Any) -> dict[str, Any]:
    inner = unwrap(function)
    if isinstance(inner, FunctionType):
        return inner.__globals__
    module = sys.modules["__main__" if is_main(inner.__module__) else inner.__module__]
    return vars(module)


def _notes_in_class(text: str) -> bool:
    return any(
        isinstance(statement, ast.AnnAssign)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        for statement in node.body
    )


def _pickled(value: Any, name: str) -> bytes:
    try:
        made = pickle.dumps(value, _PROTOCOL)
    except Exception as error:
        raise SerializationError(f"{name}, which it uses, cannot be sent: {type(error).__name__}: {error}") from error
    if _MAIN_BYTES in made:
        raise SerializationError(f"{name}, which it uses, is made of classes or functions of the script")
    return made
