"""The strategies behind one face: text of anything, anything of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from afield.errors import DeserializationError, SerdeError, SerializationError
from afield.serialize.buffers import pack_buffers, unpack_buffers
from afield.serialize.code import DEFAULT_STRATEGY_CODE
from afield.serialize.data import DEFAULT_STRATEGY_DATA
from afield.serialize.identities import begin_task
from afield.serialize.selection import Allowed, Strategylike, allowed_types, strategy_for
from afield.serialize.strategy import SerializationStrategy, strategy_of

__all__ = ["ComputeSerializer"]


class ComputeSerializer:
    """Serializes callables by one strategy and everything else by another; reads what any strategy made.

    ::

        serializer = ComputeSerializer(strategy_code=AllCodeStrategies())
        function, args, kwargs = serializer.check_strategies(f, 3, y=4)  # would it survive the journey?

    :param strategy_code: for callables, as instance, class or import path; None: :class:`DillCode`
    :param strategy_data: for everything else, likewise; None: :class:`DillDataBase64`
    :param allowed_deserializer_types: strategies that may be read, likewise, and the wildcards ``afield.*Code`` and
        ``afield.*Data``; at least one for code and one for data. Empty or None: all may
    :raises SerdeError: one of them does not exist or is of the wrong kind
    """

    def __init__(
        self,
        strategy_code: Strategylike | None = None,
        strategy_data: Strategylike | None = None,
        *,
        allowed_deserializer_types: Allowed | None = None,
    ) -> None:
        #: what callables are serialized by
        self.code_serializer: SerializationStrategy = strategy_for(
            DEFAULT_STRATEGY_CODE if strategy_code is None else strategy_code, for_code=True
        )
        #: what everything else is serialized by
        self.data_serializer: SerializationStrategy = strategy_for(
            DEFAULT_STRATEGY_DATA if strategy_data is None else strategy_data, for_code=False
        )
        #: what may be read; empty: everything
        self.allowed_deserializer_types: frozenset[type[SerializationStrategy]] = allowed_types(
            allowed_deserializer_types
        )

    def serialize(self, data: Any) -> str:
        """``data`` as text.

        :raises SerializationError: naming the object, the part of it that fails, and why
        """
        return _write(self.code_serializer if callable(data) else self.data_serializer, data)

    def deserialize(self, payload: str) -> Any:
        """The object that :meth:`serialize`, of any serializer, made ``payload`` of.

        A callable begins a task: classes of a script that come with it, and with what the same thread reads after it
        until the next one, are the same classes.

        :raises DeserializationError: naming the strategy and the likely cause
        """
        strategy = strategy_of(payload)
        if self.allowed_deserializer_types:
            self.assert_deserializer_allowed(strategy)
        if strategy.for_code:
            begin_task()
        try:
            return strategy.deserialize(payload)
        except Exception as error:
            # Unpickling runs code of whoever made the value; it may raise anything.
            from afield.serialize.reasons import unreadable

            raise unreadable(strategy, error) from error

    @staticmethod
    def pack_buffers(buffers: Iterable[str]) -> str:
        """Several serialized values in one text."""
        return pack_buffers(buffers)

    @staticmethod
    def unpack_buffers(packed_buffer: str) -> list[str]:
        """The serialized values that :meth:`pack_buffers` put together.

        :raises DeserializationError: the text is truncated or damaged
        """
        return unpack_buffers(packed_buffer)

    def unpack_and_deserialize(self, packed_buffer: str) -> list[Any]:
        """What a task holds: its function, its positional and its keyword arguments.

        :raises DeserializationError: the text is damaged or does not hold three values, or one of them cannot be read
        """
        buffers = unpack_buffers(packed_buffer)
        if len(buffers) != 3:
            raise DeserializationError(
                f"a task holds three serialized values, function, arguments and keyword arguments; {len(buffers)} came"
            )
        return [self.deserialize(buffer) for buffer in buffers]

    def check_strategies(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Send a call through this serializer and back, without sending it anywhere.

        Takes what ``Executor.submit`` takes.

        :returns: the function, the positional and the keyword arguments, as a worker would see them
        :raises SerializationError: one of them cannot be serialized
        :raises DeserializationError: one of them cannot be read again
        """
        packed = pack_buffers(self.serialize(part) for part in (function, args, kwargs))
        return self.unpack_and_deserialize(packed)

    @staticmethod
    def serialize_from_list(data: Any, strategies: Sequence[Strategylike]) -> str:
        """``data`` by the first of ``strategies`` that can take it.

        :param strategies: instances, classes or import paths; empty: the default for data, then the default for code
        :raises SerializationError: none can; the message says of each why
        """
        if not strategies:
            return _write(DEFAULT_STRATEGY_CODE if callable(data) else DEFAULT_STRATEGY_DATA, data)
        failures: list[SerdeError] = []
        for named in strategies:
            try:
                return _write(strategy_for(named, for_code=callable(data)), data)
            except SerdeError as error:
                failures.append(error)
        raise SerializationError("; ".join(map(str, failures))) from failures[0].__cause__

    def assert_deserializer_allowed(self, strategy: SerializationStrategy) -> None:
        """Nothing, where this serializer may read what ``strategy`` made.

        :raises DeserializationError: it may not; the message says which would be allowed
        """
        if self.allowed_deserializer_types and type(strategy) not in self.allowed_deserializer_types:
            kind = "code" if strategy.for_code else "data"
            names = sorted(
                allowed.__name__ for allowed in self.allowed_deserializer_types if allowed.for_code == strategy.for_code
            )
            raise DeserializationError(
                f"{type(strategy).__name__} is disabled by the configuration of this endpoint: for {kind} it allows "
                f"{', '.join(names)}. Submit with ComputeSerializer(strategy_{kind}={names[0]}())"
            )


def _write(strategy: SerializationStrategy, data: Any) -> str:
    try:
        return strategy.serialize(data)
    except Exception as error:
        # Objects raise what they like when they are pickled.
        from afield.serialize.reasons import why_not_written

        raise SerializationError(why_not_written(strategy, data, error)) from error
