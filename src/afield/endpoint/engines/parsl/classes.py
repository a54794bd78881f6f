"""Parsl's objects from blocks of an owner's file, such as ``{type: SlurmProvider, partition: debug}``.

``type`` names a class or function of one of Parsl's modules; other keys are its parameters. Both are checked against
what the installed Parsl has, so that a slip of the pen is told with file and line and not by a traceback.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from afield.endpoint.settings.reading import did_you_mean, shown
from afield.errors import ConfigurationError

__all__ = ["PROVIDERS", "Maker"]

PROVIDERS: Final = "parsl.providers"
_LAUNCHERS: Final = "parsl.launchers"

#: Keys whose values are blocks of their own -> the module that has their types.
_MODULES: Final = {
    "provider": PROVIDERS,
    "launcher": _LAUNCHERS,
    "address": "parsl.addresses",
    "storage_access": "parsl.data_provider.staging",
}
#: What Parsl's functions may not be called for: they are no addresses.
_NO_TYPES: Final = frozenset({"tcp_url", "get_all_addresses"})


class Maker:
    """Makes objects of blocks.

    :param places: key path -> ``file, line N``
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def make(self, path: str, block: Mapping[str, Any], **more: Any) -> Any:
        """The object of one block.

        :param path: of its key, such as ``engine.provider``
        :param more: parameters that it gets if it has them
        :raises ConfigurationError: it cannot be made; with file, line and key
        """
        kind, given = self._checked(path, block)
        parameters = inspect.signature(kind).parameters
        values: dict[str, Any] = {name: value for name, value in more.items() if name in parameters}
        for name, value in given.items():
            here = f"{path}.{name}"
            values[name] = self.make(here, value) if _is_block(name, value) else value
        return self.call(path, kind, values)

    def check(self, path: str, block: Mapping[str, Any]) -> None:
        """See that the keys of a block are right, as far as that shows without making its object.

        :param path: of its key
        :raises ConfigurationError: they are not; with file, line and key
        """
        _, given = self._checked(path, block)
        for name, value in given.items():
            if _is_block(name, value):
                self.check(f"{path}.{name}", value)

    def _checked(self, path: str, block: Mapping[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """What makes the object, and what is set for it. `account:` with nothing behind it is not set: so templates
        often render.
        """
        kind = self._kind(path, _MODULES[path.rpartition(".")[2]], block)
        parameters = inspect.signature(kind).parameters
        values = {name: value for name, value in block.items() if name != "type"}
        for name, value in values.items():
            here = f"{path}.{name}"
            if name not in parameters:
                raise self.error(
                    here,
                    f"nobody knows the key {here}: {kind.__name__} of Parsl has none{did_you_mean(name, parameters)}",
                )
            if not _is_block(name, value) and (should := _mistake(value, parameters[name].default)):
                raise self.error(here, f"{here} should be {should}, and is {shown(value)}")
        return kind, {name: value for name, value in values.items() if value is not None}

    def call(self, path: str, kind: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """Call it with these parameters.

        :raises ConfigurationError: it does not like them
        """
        try:
            return kind(**values)
        except Exception as error:  # classes of Parsl and of others: what they complain with may be of any kind
            raise self.error(path, f"{kind.__name__} does not take these values: {_one_line(error)}") from error

    def error(self, path: str, why: str) -> ConfigurationError:
        """A complaint about a key, with its place if that is known."""
        while path and path not in self._places:
            path = path.rpartition(".")[0]
        place = self._places.get(path)
        return ConfigurationError(f"{place}: {why}" if place else why)

    def _kind(self, path: str, module_name: str, block: Mapping[str, Any]) -> Callable[..., Any]:
        """The class or function that ``type`` names."""
        module = importlib.import_module(module_name)
        known = [name for name in dir(module) if _is_type(getattr(module, name), name, module_name)]
        name = block.get("type")
        if not isinstance(name, str):
            raise self.error(path, f"{path} should say its type: one of {', '.join(known)}")
        if name not in known:
            where = f"{path}.type"
            raise self.error(
                where, f"{where} {shown(name)} is not one of {', '.join(known)}{did_you_mean(name, known)}"
            )
        found: Callable[..., Any] = getattr(module, name)
        return found


def _is_block(name: str, value: object) -> bool:
    """It has a type and keys of its own."""
    return name in _MODULES and isinstance(value, Mapping)


def _mistake(value: object, default: object) -> str:
    """What a value should be, judged by the default, for Parsl often does not look; empty: it may be right."""
    if value is None or default is None or default is inspect.Parameter.empty:
        return ""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    if isinstance(default, str) and not isinstance(value, str):
        return "a text: write it in quotes (without, YAML takes 01:00:00 for a number)"
    return ""


def _is_type(value: object, name: str, module: str) -> bool:
    if name.startswith("_") or name in _NO_TYPES:
        return False
    if module == "parsl.addresses":
        return inspect.isfunction(value) and value.__module__ == module
    return inspect.isclass(value) and not inspect.isabstract(value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
