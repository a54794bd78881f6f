"""Which names of its module a function uses, read from its byte code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

__all__ = ["all_code", "by_name", "global_names", "home_of", "is_complete", "is_main", "submodules"]

_MAIN: Final = "__main__"


def is_main(module: object) -> bool:
    """Whether this is a name of the module of the running script; multiprocessing gives it a second one."""
    return module == _MAIN or (module == "__mp_main__" and sys.modules.get("__mp_main__") is sys.modules[_MAIN])


def by_name(value: Any) -> bool:
    """Whether a function or class is what its module, which is not the script, has under its name."""
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or is_main(module):
        return False
    found: Any = sys.modules.get(module)
    for part in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is value


def all_code(code: CodeType) -> Iterator[CodeType]:
    """``code`` and the code of all functions and classes that are made in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from all_code(constant)


def global_names(function: FunctionType) -> list[str]:
    """The names that ``function``, or what is defined in it, looks up or assigns in its globals, each once.

    Attributes are no such names; names that are only used by text, as in ``eval("x")``, are not seen.
    """
    found: dict[str, None] = {}
    for code in all_code(function.__code__):
        found.update(dict.fromkeys(_names(code)))
    return list(found)


def home_of(name: str, value: Any) -> tuple[str, str] | None:
    """The module and the name there of an object that is compared by identity, such as ``dataclasses.MISSING``.

    :param name: under which the script has it
    """
    kind = type(value)
    if kind is object:
        for module, found in list(sys.modules.items()):
            if not is_main(module) and getattr(found, "__dict__", {}).get(name) is value:
                return module, name
    elif kind.__module__ != "builtins" and not is_main(kind.__module__):
        attributes = getattr(sys.modules.get(kind.__module__), "__dict__", {})
        there = next((each for each, found in list(attributes.items()) if found is value), None)
        return None if there is None else (kind.__module__, there)
    return None


def is_complete(function: Any) -> bool:
    """Whether a function, if it is one, uses nothing of where it was defined: no closure, no globals of its module."""
    if isinstance(function, type):
        return not is_main(function.__module__)
    if not isinstance(function, FunctionType):
        return True
    known = function.__globals__
    return not function.__closure__ and not any(name in known for name in global_names(function))


def submodules(module: ModuleType, codes: Iterable[CodeType]) -> list[str]:
    """Modules inside the package ``module`` that are loaded and that ``codes`` seem to use: ``scipy.stats`` of
    ``import scipy.stats``. Whoever imports the package only would not have them.
    """
    if not hasattr(module, "__path__"):
        return []
    beginning = f"{module.__name__}."
    used = {name for code in codes for name in code.co_names}
    return sorted(
        name
        for name in list(sys.modules)
        if name.startswith(beginning) and used.issuperset(name[len(beginning) :].split("."))
    )


def _names(code: CodeType) -> Iterator[str]:
    shifts, extended = _instructions()
    argument = 0
    for instruction, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = argument << 8 | low
        if instruction == extended:
            continue
        shift = shifts.get(instruction)
        if shift is not None:
            yield code.co_names[argument >> shift]
        argument = 0


@cache
def _instructions() -> tuple[dict[int, int], int]:
    """The instructions that name a global, with how far the name's number is shifted; and EXTENDED_ARG."""
    from opcode import opmap

    # In the body of a class LOAD_NAME may mean a global. The lowest bit of LOAD_GLOBAL says something else.
    shifts = {"LOAD_GLOBAL": 1, "STORE_GLOBAL": 0, "DELETE_GLOBAL": 0, "LOAD_NAME": 0, "LOAD_FROM_DICT_OR_GLOBALS": 0}
    return {opmap[name]: shift for name, shift in shifts.items() if name in opmap}, opmap["EXTENDED_ARG"]
