"""How commands and their results travel: such that a worker or a client with the published package only reads them.

Theory. An object goes by the name of its class, and where Afield is not installed there is no such name. What every
reader has is Python; so what travels instead of the name is an expression that finds the class there. Of results it
finds ours, else the published one, which has the same fields. The published ShellFunction does not quote values, so of
functions it finds ours, else makes it: the expression holds the sources of this folder, which need nothing but the
standard library of Python 3.10. They become modules under a name of their own, with a digest in it, so that two
versions do not meet.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final

__all__ = ["blank"]

_PACKAGE: Final = "afield.shell"
#: In an order in which each needs only what stands before it when it is loaded.
_MODULES: Final = ("travel", "result", "quoting", "running", "function")
_PUBLISHED: Final = "globus_compute_sdk.sdk.shell_function"

#: Makes the modules, unless they are there already.
_UNPACK: Final = """
import base64, json, sys, threading, types, zlib
def unpack(name, packed):
    with vars(sys).setdefault("_afield_shell", threading.Lock()):
        if name not in sys.modules:
            sources = json.loads(zlib.decompress(base64.b85decode(packed)))
            made = {each: types.ModuleType(name + "." + each) for each in sources}
            for each, source in sources.items():
                sys.modules[name + "." + each] = made[each]
                exec(compile(source, "<" + name + "." + each + ">", "exec"), vars(made[each]))
            made["travel"]._carried = name, packed
            sys.modules[name] = types.ModuleType(name)
    return sys.modules[name + ".function"]
"""
#: Of modules that were made so: what they were made of, for the next reader.
_carried: tuple[str, str] | None = None


class _Blank:
    """Makes an object of a class here without calling it; in a pickle, the expression that does so elsewhere."""

    __slots__ = ("_kind", "_where")

    def __init__(self, kind: type, where: str) -> None:
        self._kind, self._where = kind, where

    def __call__(self) -> Any:
        return object.__new__(self._kind)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        kind = f"getattr({self._where}, {self._kind.__name__!r})"
        return eval, (f"__import__('functools').partial(object.__new__, {kind})",)


def blank(kind: type) -> Callable[[], Any]:
    """What makes an empty object of ``kind``, a class of this folder: the first part of what ``__reduce__`` returns."""
    return _Blank(kind, _published() if kind.__name__ == "ShellResult" else _by_source())


@cache
def _published() -> str:
    return _here_or(f"__import__('importlib').import_module({_PUBLISHED!r})")


@cache
def _by_source() -> str:
    name, packed = _carried or _packed()
    return _here_or(f"(lambda names: [exec({_UNPACK!r}, names), names['unpack']({name!r}, {packed!r})][1])({{}})")


def _packed() -> tuple[str, str]:
    """A name for the modules, and their sources."""
    import json

    text = json.dumps({name: inspect.getsource(import_module(f"{_PACKAGE}.{name}")) for name in _MODULES})
    name = "afield_shell_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    text = text.replace(f"from {_PACKAGE}.", f"from {name}.")
    return name, base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _here_or(other: str) -> str:
    here = f"__import__('importlib').import_module({_PACKAGE!r})"
    # A mere folder of that name is found as well, and has no origin.
    found = "getattr(__import__('importlib.util').util.find_spec('afield'), 'origin', None)"
    return f"({here} if {found} else {other})"
