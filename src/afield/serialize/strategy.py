"""What a strategy is: one way to make text of an object and an object of text again.

A serialized value begins with the identifier of its strategy: two characters and a newline. So whoever reads it needs
no agreement beforehand, and the strategies of this table can be told apart for ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

from afield.errors import DeserializationError, SerializationError
from afield.serialize.buffers import pack_buffers, unpack_buffers

__all__ = [
    "IDENTIFIER_LENGTH",
    "STRATEGIES",
    "ComboSerializationStrategy",
    "SerializationStrategy",
    "built_in",
    "strategy_of",
]

#: two characters and a newline
IDENTIFIER_LENGTH: Final = 3

_Class = TypeVar("_Class", bound="type[SerializationStrategy]")


class SerializationStrategy(ABC):
    """One way to serialize: either callables (functions, classes, objects with ``__call__``), or everything else.

    Both methods let the errors of what they use through; :class:`~afield.serialize.ComputeSerializer` says what they
    mean.
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

    @abstractmethod
    def serialize(self, data: Any) -> str:
        """``data`` as text that begins with the identifier."""

    @abstractmethod
    def deserialize(self, payload: str) -> Any:
        """The object that :meth:`serialize` made ``payload`` of."""

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


#: The strategies that exist, by identifier. Filled by the modules that define them and by nobody else.
STRATEGIES: Final[dict[str, SerializationStrategy]] = {}


def built_in(strategy: _Class) -> _Class:
    """Class decorator: this strategy is in the table.

    :raises ValueError: another one has its identifier
    """
    if strategy.identifier in STRATEGIES:
        raise ValueError(f"{strategy.__name__} and {STRATEGIES[strategy.identifier]} have the same identifier")
    STRATEGIES[strategy.identifier] = strategy()
    return strategy


def strategy_of(payload: str) -> SerializationStrategy:
    """Which strategy made ``payload``.

    :raises DeserializationError: none that exists here
    """
    strategy = STRATEGIES.get(payload[:IDENTIFIER_LENGTH])
    if strategy is None:
        known = ", ".join(sorted(identifier[:-1] for identifier in STRATEGIES))
        raise DeserializationError(
            f"this value begins with {payload[:IDENTIFIER_LENGTH]!r}, and should begin with the two characters of its "
            f"strategy ({known}) and a newline: it is damaged, is not a serialized value, or was made by a strategy "
            "that this version does not have"
        )
    return strategy


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
                made.append(STRATEGIES[member.identifier].serialize(data))
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

    def _join(self, made: list[str]) -> str:
        return pack_buffers(made)

    def _split(self, payload: str) -> list[str]:
        return unpack_buffers(payload)
