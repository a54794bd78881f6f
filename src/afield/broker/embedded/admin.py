"""What a service does to the queues of a broker that lives in its own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from afield.broker.base import Binding, ExchangeKind, Properties, QueueSpec
from afield.broker.embedded import properties
from afield.broker.embedded.core import Broker, Refusal
from afield.broker.embedded.queues import Message
from afield.errors import BrokerRefused, WireError

__all__ = ["CoreAdmin"]


class CoreAdmin:
    """A :class:`~afield.broker.base.BrokerAdmin` on the core; nothing here ever waits."""

    def __init__(self, core: Broker) -> None:
        self._core = core

    async def declare_exchange(self, name: str, kind: ExchangeKind) -> None:
        """Make it exist.

        :raises BrokerRefused: it exists, and is of another kind
        """
        self._usable()
        try:
            self._core.declare_exchange(name, kind)
        except Refusal as error:
            raise BrokerRefused(error.text) from error

    async def declare_queue(self, spec: QueueSpec, *bindings: Binding) -> None:
        """Make it and its bindings exist; what it holds stays.

        :raises BrokerRefused: a binding speaks of an exchange that does not exist
        """
        self._usable()
        try:
            self._core.declare_queue(spec, bindings)
        except Refusal as error:
            raise BrokerRefused(error.text) from error

    async def delete_queue(self, name: str) -> None:
        """Remove it with what it holds; its consumers are told."""
        self._usable()
        self._core.delete_queue(name)

    async def purge(self, name: str) -> int:
        """Drop what waits in it and is not delivered; how many that were."""
        self._usable()
        return self._core.purge(name)

    async def depth(self, name: str) -> int:
        """How many messages wait in it, not counting delivered ones."""
        self._usable()
        return self._core.depth(name)

    def waiting_bytes(self, name: str) -> int:
        """How many bytes wait in it, roughly, not counting delivered messages."""
        queue = self._core.queues.get(name)
        return queue.size if queue else 0

    def unacknowledged(self, name: str) -> int:
        """How many messages were delivered from it and are not acknowledged."""
        queue = self._core.queues.get(name)
        return queue.held if queue else 0

    def tell_when_low(self, name: str, size: int, on_low: Callable[[str], None]) -> None:
        """Call ``on_low``, once, with the queue's name when no more than so many bytes wait in it.

        At once if that is so. It must not wait, raise, or call the broker.
        """
        queue = self._core.queues.get(name)
        if queue is not None:
            queue.tell_when_low(size, on_low)

    def leave_out(self, queues: Callable[[str], bool], is_unwanted: Callable[[Properties], bool]) -> None:
        """From now on, drop messages instead of delivering them to peers. Neither may wait, raise, or call the broker.

        :param queues: by the name: those that are meant
        :param is_unwanted: by its properties: which messages
        """
        self._core.is_unwanted = lambda name, message: queues(name) and is_unwanted(_read(message))

    def discard(self, name: str, is_unwanted: Callable[[Properties], bool]) -> int:
        """Drop those of the messages that wait in a queue; how many that were. It looks at all of them."""
        return self._core.discard(name, lambda message: is_unwanted(_read(message)))

    async def consumers(self, name: str) -> int:
        """How many consume it."""
        self._usable()
        return self._core.consumers(name)

    async def logins(self, beginning: str) -> list[str]:
        """The logins whose names begin so and that have connections; each once."""
        self._usable()
        names = (session.permissions.name for session in self._core.sessions)
        return [name for name in dict.fromkeys(names) if name.startswith(beginning)]

    async def drop(self, login: str) -> int:
        """End every connection of this login now; how many that were."""
        self._usable()
        return self._core.drop(login, f"the credentials of {login} were revoked")

    def _usable(self) -> None:
        """Where a subclass says, by raising BrokerUnreachable, that the broker cannot be reached just now."""


def _read(message: Message) -> Properties:
    if isinstance(message.properties, Properties):
        return message.properties
    try:
        return properties.decode(cast("bytes", message.properties))
    except WireError:
        return Properties()  # a peer's; nobody here knows what it is
