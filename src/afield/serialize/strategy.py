"""What a strategy is: one way to make text of an object and an object of text again.

A serialized value begins with the identifier of its strategy: two characters and a newline. So whoever reads it needs
no agreement beforehand, and the strategies of this table can be told apart for ever.

Strategies of other packages join the table by ``@SerializationStrategy.register``. A worker that meets an identifier
which is not in its table looks among the entry points of the group ``afield.strategies``, so it is enough that the
package is installed there::

    [project.entry-points."afield.strategies"]
    arrow = "ourlab.strategies:ArrowData"
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Final, TypeVar

from afield.errors import DeserializationError, SerdeError, SerializationError
from afield.serialize.buffers import pack_buffers, unpack_buffers

__all__ = [
    "ENTRY_POINTS",
    "IDENTIFIER_LENGTH",
    "STRATEGIES",
    "ComboSerializationStrategy",
    "SerializationStrategy",
    "add",
    "carries_code",
    "strategy_of",
]

#: two characters and a newline
IDENTIFIER_LENGTH: Final = 3

#: No function takes less, compiled, pickled and in base64, in characters.
_SMALLEST_CODE: Final = 200

_Class = TypeVar("_Class", bound="type[SerializationStrategy]")


class SerializationStrategy(ABC):
    """One way to serialize: either callables (functions, classes, objects with ``__call__``), or everything else.

    To add one, inherit from this, set ``identifier`` and ``for_code``, write both methods, and decorate the class with
    ``@SerializationStrategy.register``. Both methods let the errors of what they use through;
    :class:`~afield.serialize.ComputeSerializer` says what they mean.
    """

    #: two characters that no other strategy has, and a newline
    identifier: ClassVar[str]
    #: whether it takes callables; else it takes everything that is not callable
    for_code: ClassVar[bool]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        identifier = cls.__dict__.get("identifier")
        if identifier is not None and (len(identifier) != IDENTIFIER_LENGTH or identifier[-1] != "\n"):
            raise ValueError(f"the identifier of {cls.__name__} is {identifier!r}: it should be two characters and \\n")

    @classmethod
    def register(cls, strategy: _Class) -> _Class:
        """Class decorator: have ``strategy`` in this process, to write by and to read what it made.

        Whoever reads must have it, too: by an entry point of the group ``afield.strategies``, or because a module that
        registers it was imported.

        :raises SerdeError: it cannot be made without arguments, or another strategy has its identifier
        """
        add(strategy)
        return strategy

    @abstractmethod
    def serialize(self, data: Any) -> str:
        """``data`` as text that begins with the identifier."""

    def serialize_beside_others(self, data: Any) -> str:
        """The same, as one of several forms of which the reader takes the first that it can read.

        :raises SerializationError: it could be read, and would not be all of ``data``
        """
        return self.serialize(data)

    @abstractmethod
    def deserialize(self, payload: str) -> Any:
        """The object that :meth:`serialize` made ``payload`` of."""

    def carries_code(self, payload: str) -> bool:  # noqa: ARG002 - a strategy of source or text need not look
        """Whether only the minor version of Python that made ``payload`` can read it.

        Strategies that write compiled functions say so here; then it is known before anything is sent.
        """
        return False

    def chomp(self, payload: str) -> str:
        """``payload`` without the identifier.

        :raises DeserializationError: it begins with something else
        """
        if not payload.startswith(self.identifier):
            raise DeserializationError(
                f"{type(self).__name__} reads values that begin with {self.identifier!r}; this one begins with "
                f"{payload[:IDENTIFIER_LENGTH]!r}"
            )
        return payload[IDENTIFIER_LENGTH:]


#: The strategies that exist, by identifier.
STRATEGIES: Final[dict[str, SerializationStrategy]] = {}

#: Where packages say which strategies they have.
ENTRY_POINTS: Final = "afield.strategies"


def add(kind: type[SerializationStrategy]) -> SerializationStrategy:
    """Put a strategy into the table, unless it is there.

    :returns: the one in the table
    :raises SerdeError: it cannot be made without arguments, or another one has its identifier
    """
    identifier = getattr(kind, "identifier", "")
    if not isinstance(getattr(kind, "for_code", None), bool) or not identifier:
        raise SerdeError(f"{kind.__name__} is no complete strategy: it should set identifier and for_code")
    known = STRATEGIES.get(identifier)
    # A notebook may define it again.
    if known is None or (type(known) is not kind and _full_name(type(known)) == _full_name(kind)):
        try:
            STRATEGIES[identifier] = known = kind()
        except TypeError as error:
            raise SerdeError(
                f"{kind.__name__} cannot be a strategy: {error}. Readers make it without arguments, and need both "
                "methods, serialize and deserialize"
            ) from error
    elif type(known) is not kind:
        raise SerdeError(
            f"{_full_name(kind)} and {_full_name(type(known))} have the same identifier, {identifier[:-1]!r}: values "
            "of one would be read by the other. Choose two other characters"
        )
    return known


def strategy_of(payload: str) -> SerializationStrategy:
    """Which strategy made ``payload``.

    :raises DeserializationError: none that exists here
    """
    identifier = payload[:IDENTIFIER_LENGTH]
    strategy = STRATEGIES.get(identifier)
    if strategy is None and len(identifier) == IDENTIFIER_LENGTH and identifier.endswith("\n"):
        _add_installed()
        strategy = STRATEGIES.get(identifier)
    if strategy is None:
        known = ", ".join(sorted(identifier[:-1] for identifier in STRATEGIES))
        raise DeserializationError(
            f"this value begins with {identifier!r}, and should begin with the two characters of its strategy "
            f"({known}) and a newline: it is damaged, is not a serialized value, or was made by a strategy that is not "
            "here. A strategy of another package must be installed at both ends, with an entry point in the group "
            f"{ENTRY_POINTS}"
        )
    return strategy


@cache
def _add_installed() -> None:
    from importlib.metadata import entry_points  # takes longer to import than all else here

    for point in entry_points(group=ENTRY_POINTS):
        try:
            add(point.load())
        except Exception as error:  # noqa: BLE001 - of somebody else's package; what it raises is for them to know
            warnings.warn(f"the serialization strategy {point.value} cannot be used: {error}", stacklevel=2)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def carries_code(packed: str) -> bool:
    """Whether a packed list of serialized values holds compiled code, which only one minor version of Python can read.

    :param packed: what ``pack_buffers`` made: the arguments of a task, or a function
    :returns: never False where code is in what the strategies of this package wrote
    :raises DeserializationError: it is damaged, or made by a strategy that does not exist here
    """
    if len(packed) < _SMALLEST_CODE:
        return False
    return any(strategy_of(buffer).carries_code(buffer) for buffer in unpack_buffers(packed))


class ComboSerializationStrategy(SerializationStrategy):
    """Several strategies at once: the reader takes the first one that works there.

    The payload is a packed list of what each of them made.
    """

    #: in the order in which the reader tries them; those that cannot take an object are left out
    strategies: ClassVar[Sequence[type[SerializationStrategy]]]

    def serialize(self, data: Any) -> str:
        """``data`` by each strategy that takes it."""
        made, failures = [], []
        for member in self.strategies:
            try:
                made.append(STRATEGIES[member.identifier].serialize_beside_others(data))
            except Exception as error:  # noqa: BLE001 - objects raise what they like when they are pickled
                failures.append(f"{member.__name__}: {type(error).__name__}: {error}")
        if not made:
            raise SerializationError(f"none of its strategies works: {'; '.join(failures)}")
        return self.identifier + self._join(made)

    def deserialize(self, payload: str) -> Any:
        """The object by the first member that works here."""
        failures = []
        for part in self._split(self.chomp(payload)):
            try:
                member = strategy_of(part)
            except DeserializationError as error:
                failures.append(str(error))
                continue
            try:
                return member.deserialize(part)
            except Exception as error:  # noqa: BLE001 - code of the sender runs here and raises what it likes
                failures.append(f"{type(member).__name__}: {type(error).__name__}: {error}")
        raise DeserializationError(
            f"none of the {len(failures)} values in it can be read here: {'; '.join(failures) or 'it is empty'}"
        )

    def carries_code(self, payload: str) -> bool:
        """Whether each member does."""
        parts = self._split(self.chomp(payload))
        return bool(parts) and all(strategy_of(part).carries_code(part) for part in parts)

    def _join(self, made: list[str]) -> str:
        return pack_buffers(made)

    def _split(self, payload: str) -> list[str]:
        return unpack_buffers(payload)
