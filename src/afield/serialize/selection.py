"""Which strategies somebody means: given as instance, class or import path, alone or as a list of what may be read."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from importlib import import_module
from typing import Any, Final, TypeAlias

from afield.errors import SerdeError
from afield.serialize.code import PickleCode
from afield.serialize.names import is_main
from afield.serialize.strategy import STRATEGIES, SerializationStrategy, add

__all__ = ["Allowed", "AllowlistWildcard", "Strategylike", "allowed_types", "import_path", "strategy_for"]

#: a strategy as people name it: an instance, its class, or its import path
Strategylike: TypeAlias = SerializationStrategy | type[SerializationStrategy] | str

#: what may be read: strategies, and wildcards for all of a kind
Allowed: TypeAlias = Iterable[Strategylike]

#: those that everybody has
_BUILT_IN: Final = {type(found).__name__: found for found in STRATEGIES.values()}
_SELECTABLE: Final = {name: found for name, found in _BUILT_IN.items() if type(found) is not PickleCode}

#: Names that import paths end in: the classes, and the published names for some of them.
_NAMES: Final = _SELECTABLE | {
    "DillTextInspect": _SELECTABLE["DillCodeTextInspect"],
    "DEFAULT_STRATEGY_CODE": _SELECTABLE["DillCode"],
    "DEFAULT_STRATEGY_DATA": _SELECTABLE["DillDataBase64"],
}

#: Where they are said to be. The published package need not be installed: its names mean ours, here and in what comes
#: from its clients.
_PUBLISHED: Final = "globus_compute_sdk.serialize.concretes"
_MODULES: Final = frozenset(
    {"globus_compute_sdk.serialize", _PUBLISHED, "afield.serialize", "afield.serialize.code", "afield.serialize.data"}
)


class AllowlistWildcard(StrEnum):
    """Entries of a list of what may be read that stand for all strategies of a kind."""

    CODE = "globus_compute_sdk.*Code"
    DATA = "globus_compute_sdk.*Data"


_WILDCARDS: Final = {
    str(AllowlistWildcard.CODE): True,
    str(AllowlistWildcard.DATA): False,
    "afield.*Code": True,
    "afield.*Data": False,
}


def strategy_for(named: Strategylike, *, for_code: bool | None = None) -> SerializationStrategy:
    """The strategy that ``named`` means.

    Published names are not looked up in the published package, which need not be installed. What else a path names is
    imported. Using a strategy of another package registers it.

    :param for_code: True, False: it must be one for code, for data; None: either
    :raises SerdeError: there is none like that, or it is of the other kind
    """
    if isinstance(named, str):
        strategy = _by_path(named)
    elif isinstance(named, SerializationStrategy):
        # It may have been made with arguments of its own.
        add(type(named))
        strategy = named
    else:
        strategy = _by_class(named)
    if strategy is None or type(strategy) is PickleCode:
        raise SerdeError(
            f"{_shown(named)} is not a serialization strategy. Choose one of {', '.join(sorted(_SELECTABLE))} of "
            "afield.serialize, or one of your own that inherits from SerializationStrategy, as an instance, a class or "
            "an import path"
        )
    if for_code not in (None, strategy.for_code):
        wanted, given = ("code", "data") if for_code else ("data", "code")
        raise SerdeError(f"{type(strategy).__name__} is a strategy for {given}, and one for {wanted} is needed here")
    return strategy


def _by_path(path: str) -> SerializationStrategy | None:
    module, _, name = path.rpartition(".")
    if module in _MODULES:
        return _NAMES.get(name)
    if not module or path.startswith("globus_compute_sdk."):
        return None
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise SerdeError(
            f"the serialization strategy {path!r} cannot be imported here: {error}. A strategy of another package must "
            "be installed at both ends"
        ) from error
    return _by_class(found)


def _by_class(kind: Any) -> SerializationStrategy | None:
    return add(kind) if isinstance(kind, type) and issubclass(kind, SerializationStrategy) else None


def import_path(named: Strategylike) -> str:
    """The import path of a strategy: for messages. Of ours it is the published one, which every endpoint understands.

    :raises SerdeError: there is no such strategy, or it is in the running script, where nobody else can import it
    """
    kind = type(strategy_for(named))
    if kind.__name__ in _BUILT_IN and kind.__module__ in _MODULES:
        return f"{_PUBLISHED}.{kind.__name__}"
    if is_main(kind.__module__) or kind.__qualname__ != kind.__name__:
        raise SerdeError(
            f"the serialization strategy {kind.__qualname__} cannot be imported elsewhere: move it from "
            f"{kind.__module__} to the top of a module that is installed at both ends"
        )
    return f"{kind.__module__}.{kind.__name__}"


def allowed_types(allowed: Allowed | None) -> frozenset[type[SerializationStrategy]]:
    """The classes of the strategies that a list allows. Empty: no list, everything is allowed.

    :raises SerdeError: an entry is unknown, a wildcard and a single strategy are of the same kind, or there is not at
        least one for code and one for data, so that no task could be read
    """
    entries = list(allowed or ())
    if not entries:
        return frozenset()
    wildcards = {_WILDCARDS[entry] for entry in entries if isinstance(entry, str) and entry in _WILDCARDS}
    single = {strategy_for(entry) for entry in entries if not (isinstance(entry, str) and entry in _WILDCARDS)}
    shown = ", ".join(map(_shown, entries))
    for kind in wildcards & {strategy.for_code for strategy in single}:
        raise SerdeError(
            f"the list of allowed serializers ({shown}) has a wildcard for {'code' if kind else 'data'} and single "
            "strategies of the same kind: keep one or the other"
        )
    # A wildcard means those that everybody has; others are named.
    found = single | {strategy for strategy in _SELECTABLE.values() if strategy.for_code in wildcards}
    if len({strategy.for_code for strategy in found}) < 2:
        raise SerdeError(
            f"the list of allowed serializers ({shown}) should have at least one for code and one for data; "
            "without both no task can be read"
        )
    return frozenset(map(type, found))


def _shown(named: Strategylike) -> str:
    if isinstance(named, str):
        return repr(str(named))
    return getattr(named, "__name__", type(named).__name__)
