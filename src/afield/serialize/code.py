"""The strategies for functions and other callables.

Two families. dill's carry the compiled function: everything works, decorators and closures too, but both ends need the
same minor version of Python. The others carry source: any version reads it, but it must be a plain ``def`` whose source
can be found. What it uses of its script comes along where ``as_source`` can say it, too.
"""

from __future__ import annotations
import __future__

import binascii
import pickle
import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from afield.errors import DeserializationError, SerializationError
from afield.serialize.data import pickle_from_text, text_holds_code, text_of_pickle
from afield.serialize.identities import MARKS, remember
from afield.serialize.names import is_complete
from afield.serialize.strategy import (
    IDENTIFIER_LENGTH,
    STRATEGIES,
    ComboSerializationStrategy,
    SerializationStrategy,
)

__all__ = [
    "DEFAULT_STRATEGY_CODE",
    "AllCodeStrategies",
    "CombinedCode",
    "DillCode",
    "DillCodeSource",
    "DillCodeTextInspect",
    "DillTextInspect",
    "PickleCode",
    "PureSourceDill",
    "PureSourceTextInspect",
]


@SerializationStrategy.register
class DillCode(SerializationStrategy):
    """The function itself, by dill, in base64. The default for code.

    What can be imported goes by name and must be importable, in a version that fits, where it is called. The functions
    of the running script, lambdas and closures travel along, compiled, with the globals that they use: imports, other
    functions, classes and values, as they are when it is serialized. Of those, what cannot travel stays behind.
    """

    identifier: ClassVar[str] = "01\n"
    for_code: ClassVar[bool] = True

    def serialize(self, data: Any) -> str:
        """The callable as a pickle in base64."""
        return self.identifier + text_of_pickle(data)

    def deserialize(self, payload: str) -> Any:
        """The callable."""
        return pickle_from_text(self.chomp(payload))

    def carries_code(self, payload: str) -> bool:
        """Whether it goes by value."""
        return text_holds_code(self.chomp(payload))


@SerializationStrategy.register
class PickleCode(SerializationStrategy):
    """A plain pickle of a function. Only read, for functions that were registered long ago."""

    identifier: ClassVar[str] = "02\n"
    for_code: ClassVar[bool] = True

    def serialize(self, data: Any) -> str:  # noqa: ARG002 - the base says so
        """Never.

        :raises SerializationError: always
        """
        raise SerializationError("PickleCode only reads functions that were registered long ago; use DillCode")

    def deserialize(self, payload: str) -> Any:
        """The callable."""
        return pickle.loads(binascii.a2b_base64(self.chomp(payload)))


class _Source(SerializationStrategy):
    """The source of a function together with its name. Who inherits says where it is found and how it is spelled."""

    for_code: ClassVar[bool] = True

    def serialize(self, data: Any) -> str:
        """Name and source of the function."""
        return self._write(*self._find(data, whole=False))

    def serialize_beside_others(self, data: Any) -> str:
        """The same, where nothing of its script is missing in it."""
        return self._write(*self._find(data, whole=True))

    @abstractmethod
    def _write(self, name: str, source: str) -> str: ...

    def _find(self, function: Callable[..., Any], *, whole: bool) -> tuple[str, str]:
        import inspect

        name = getattr(function, "__name__", "")
        if not name.isidentifier():
            raise SerializationError(
                f"{name or type(function).__name__} has no name under which its source defines it: source strategies "
                "take functions made by def; DillCode takes others"
            )
        if not (inspect.isroutine(function) or inspect.isclass(function) or hasattr(function, "__wrapped__")):
            raise SerializationError(
                f"{name} is an object of the class {type(function).__name__}: its source is that of the class and says "
                "nothing of what is in it. DillCode takes it"
            )
        if is_complete(function):
            return name, self._source(function)
        from afield.serialize.as_source import portable_source

        try:
            return portable_source(function)
        except SerializationError:
            if whole:
                raise
            # As published: who calls it may never come to where it would be missed.
            return name, self._source(function)

    def _source(self, function: Callable[..., Any]) -> str:
        import inspect

        return inspect.getsource(function)


class _PickledSource(_Source):
    def _write(self, name: str, source: str) -> str:
        return self.identifier + text_of_pickle((name, source))

    def deserialize(self, payload: str) -> Any:
        """The function, made of its source."""
        name, source = pickle_from_text(self.chomp(payload))
        return _define(name, source)


class _PureSource(_Source):
    def _write(self, name: str, source: str) -> str:
        return f"{self.identifier}{name}:{source}"

    def deserialize(self, payload: str) -> Any:
        """The function, made of its source."""
        name, _, source = self.chomp(payload).partition(":")
        return _define(name, source)


@SerializationStrategy.register
class DillCodeTextInspect(_PickledSource):
    """Source as :mod:`inspect` finds it, pickled. Old; :class:`PureSourceTextInspect` does the same in the open."""

    identifier: ClassVar[str] = "03\n"


@SerializationStrategy.register
class DillCodeSource(_PickledSource):
    """Source as dill finds it, pickled. Old; :class:`PureSourceDill` does the same in the open."""

    identifier: ClassVar[str] = "04\n"

    def _source(self, function: Callable[..., Any]) -> str:
        return _source_by_dill(function)


@SerializationStrategy.register
class PureSourceTextInspect(_PureSource):
    """Source as :mod:`inspect` finds it: from files and notebooks."""

    identifier: ClassVar[str] = "st\n"


@SerializationStrategy.register
class PureSourceDill(_PureSource):
    """Source as dill finds it: also of functions typed at a prompt."""

    identifier: ClassVar[str] = "sd\n"

    def _source(self, function: Callable[..., Any]) -> str:
        return _source_by_dill(function)


@SerializationStrategy.register
class CombinedCode(ComboSerializationStrategy):
    """Five strategies in one, joined by colons. Old; :class:`AllCodeStrategies` cannot be confused by what it holds."""

    identifier: ClassVar[str] = "10\n"
    for_code: ClassVar[bool] = True
    strategies: ClassVar = (DillCodeSource, DillCode, DillCodeTextInspect, PureSourceDill, PureSourceTextInspect)

    # Each member is "<identifier>:<payload>". Source holds colons too; so a member begins only where an identifier,
    # with its newline, stands between two of them.
    _BEGINNING: ClassVar = r"(?:\A|:)((?:01|03|04|sd|st)\n):"

    def _join(self, made: list[str]) -> str:
        return ":".join(f"{part[:IDENTIFIER_LENGTH]}:{part[IDENTIFIER_LENGTH:]}" for part in made)

    def _split(self, payload: str) -> list[str]:
        _, *pieces = re.split(self._BEGINNING, payload)
        return [identifier + rest for identifier, rest in zip(pieces[::2], pieces[1::2], strict=True)]


@SerializationStrategy.register
class AllCodeStrategies(ComboSerializationStrategy):
    """Source where it can be found, and the compiled function for those who have the same Python."""

    identifier: ClassVar[str] = "12\n"
    for_code: ClassVar[bool] = True
    strategies: ClassVar = (PureSourceTextInspect, PureSourceDill, DillCode)


_TEXT_NOTES: Final[int] = __future__.annotations.compiler_flag

#: an older published name
DillTextInspect = DillCodeTextInspect

#: what callables are serialized by when nobody says otherwise
DEFAULT_STRATEGY_CODE: Final = STRATEGIES[DillCode.identifier]


def _source_by_dill(function: Callable[..., Any]) -> str:
    import dill.source

    found: str = dill.source.getsource(function, lstrip=True)  # type: ignore[no-untyped-call]
    return found


def _define(name: str, source: str) -> Any:
    import linecache

    if source[:1] in {" ", "\t"}:
        source = "if True:\n" + source  # it was defined inside something
    file = f"<source of {name}>"
    # So that tracebacks show lines, and the function can be sent on by its source.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    # Of __main__, as if it were in the script: that is where dill and we know that names mean nothing elsewhere.
    namespace: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(source, file, "exec", dont_inherit=True), namespace)  # noqa: S102 - running what was sent is the purpose
    except NameError:
        # As the published reader does it always: annotations become text, so they may name what is not here.
        exec(compile(source, file, "exec", _TEXT_NOTES, dont_inherit=True), namespace)  # noqa: S102 - likewise
    for identity, kind in namespace.pop(MARKS, {}).items():
        remember(kind, identity)
    if name not in namespace:
        defined = ", ".join(sorted(namespace.keys() - {"__name__", "__builtins__"})) or "nothing"
        raise DeserializationError(f"the source should define {name}, and it defines {defined}")
    return namespace[name]
