"""Which class is which, where classes of a script travel by value.

A function takes its script's classes along, and so does each argument that is an instance of one. Read one after the
other, they would be different classes of the same name, and ``colour is Colour.RED`` would be false where the script
says it is true. So each class that travels has an identity, made when it is first written, and a reader that has made a
class of that identity takes that one. The published reader knows nothing of it, and is not disturbed.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Final
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakValueDictionary

__all__ = ["MARK", "identity_of", "known_class", "module_with", "remember", "split_module"]

#: Under this name the identity is among what a class is made of.
MARK: Final = "__afield_class__"

#: Between module and identity, where a class is made of its module's name and little else.
_IN_MODULE: Final = ".afield:"

_lock: Final = Lock()
_identities: Final[WeakKeyDictionary[type, str]] = WeakKeyDictionary()
_classes: Final[WeakValueDictionary[str, type]] = WeakValueDictionary()


def identity_of(kind: type) -> str:
    """The identity of a class; it gets one when somebody first asks."""
    with _lock:
        found = _identities.get(kind)
        if found is None:
            found = _identities[kind] = uuid4().hex
            _classes[found] = kind
        return found


def known_class(identity: Any) -> type | None:
    """The class of that identity, if it is in this process."""
    return _classes.get(identity) if isinstance(identity, str) else None


def remember(kind: type, identity: Any) -> type:
    """Give the class the identity with which it came; the one that has it already, if there is one.

    :returns: the class of that identity
    """
    if not isinstance(identity, str):
        return kind
    with _lock:
        _identities.setdefault(kind, identity)
        return _classes.setdefault(identity, kind)


def module_with(module: str, kind: type) -> str:
    """The name of a module that is none, and holds the identity of ``kind``, for what has no better place for it."""
    return f"{module}{_IN_MODULE}{identity_of(kind)}"


def split_module(name: Any) -> tuple[Any, str | None]:
    """Module and identity of what :func:`module_with` made."""
    if not isinstance(name, str) or _IN_MODULE not in name:
        return name, None
    module, _, identity = name.partition(_IN_MODULE)
    return module, identity
