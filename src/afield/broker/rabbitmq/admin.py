"""What a service does to the queues of a RabbitMQ: by AMQP where that can do it, for it is exact and quick; by the
management API where it cannot.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pika.channel import Channel

from afield.broker.amqp import AmqpConnection
from afield.broker.base import Binding, ExchangeKind, QueueSpec
from afield.broker.rabbitmq.answers import answers_only
from afield.broker.rabbitmq.api import ManagementApi
from afield.broker.rabbitmq.arguments import QueueType, queue_arguments
from afield.errors import BrokerRefused

__all__ = ["RabbitAdmin"]

logger = logging.getLogger("afield.broker")

_NO_SUCH: Final = "(404)"
_OTHERWISE: Final = "(406)"


class RabbitAdmin:
    """A :class:`~afield.broker.base.BrokerAdmin` for RabbitMQ.

    A confirm means here that the message is in a durable queue, on disk. ``confirm_on_ack`` asks for no more than that:
    what such a queue holds is not lost, and its reader acknowledges after the commit.

    :param up: gives a connection with the right to everything
    :param api: for what AMQP cannot do
    :param kind: of queues that are declared
    """

    def __init__(
        self, up: Callable[[], Awaitable[AmqpConnection]], api: ManagementApi, kind: QueueType = "classic"
    ) -> None:
        self._up = up
        self._api = api
        self._kind = kind

    async def declare_exchange(self, name: str, kind: ExchangeKind) -> None:
        """Make it exist.

        :raises BrokerRefused: it exists, and is of another kind
        """
        await self._ask(lambda channel, done: channel.exchange_declare(name, kind, durable=True, callback=done))

    async def declare_queue(self, spec: QueueSpec, *bindings: Binding) -> None:
        """Make it and its bindings exist; what it holds stays.

        One that was declared otherwise, by an older version or by an administrator, is used as it is.

        :raises BrokerRefused: a binding speaks of an exchange that does not exist
        """
        try:
            await self._declare(spec, bindings)
        except BrokerRefused as error:
            if _NO_SUCH not in str(error):
                raise
            await self._declare(spec, bindings)  # it was deleted before it was bound

    async def _declare(self, spec: QueueSpec, bindings: Sequence[Binding]) -> None:
        arguments = queue_arguments(spec, self._kind)
        try:
            await self._ask(
                lambda channel, done: channel.queue_declare(spec.name, durable=True, arguments=arguments, callback=done)
            )
        except BrokerRefused as error:
            if _OTHERWISE not in str(error):
                raise
            logger.info("queue %r was declared otherwise, and is used as it is: %s", spec.name, error)
        for one in bindings:
            await self._bind(one)

    async def _bind(self, one: Binding) -> None:
        await self._ask(lambda channel, done: channel.queue_bind(one.queue, one.exchange, one.pattern, callback=done))

    async def delete_queue(self, name: str) -> None:
        """Remove it with what it holds; its consumers are told."""
        await self._ask(lambda channel, done: channel.queue_delete(name, callback=done))

    async def purge(self, name: str) -> int:
        """Drop what waits in it and is not delivered; how many that were."""
        answer = await self._ask_of(lambda channel, done: channel.queue_purge(name, callback=done))
        return 0 if answer is None else int(answer.method.message_count)

    async def depth(self, name: str) -> int:
        """How many messages wait in it, not counting delivered ones."""
        return (await self._counts(name))[0]

    async def consumers(self, name: str) -> int:
        """How many consume it."""
        return (await self._counts(name))[1]

    async def exists(self, name: str) -> bool:
        """Whether there is such a queue."""
        return await self._declared(name) is not None

    async def logins(self, beginning: str) -> list[str]:
        """The logins whose names begin so and that have connections, or are users of RabbitMQ's own; each once.

        A connection that is no user's may be missing in its first seconds.
        """
        names = [*await self._api.users(), *await self._api.connected()]
        return [name for name in dict.fromkeys(names) if name.startswith(beginning)]

    async def drop(self, login: str) -> int:
        """End every connection of this login now, and let it in no more if RabbitMQ keeps it; how many that were."""
        open_now = await self._api.connections_of(login)
        await self._api.delete_user(login)
        # Where the login is no user of RabbitMQ's own, the above did nothing.
        await self._api.end_connections(open_now, f"the credentials of {login} were revoked")
        return len(open_now)

    async def _counts(self, name: str) -> tuple[int, int]:
        answer = await self._declared(name)
        return (0, 0) if answer is None else (int(answer.method.message_count), int(answer.method.consumer_count))

    async def _declared(self, name: str) -> Any:
        return await self._ask_of(lambda channel, done: channel.queue_declare(name, passive=True, callback=done))

    async def _ask_of(self, request: Callable[[Channel, Callable[[Any], None]], object]) -> Any:
        """The answer about a queue; None: there is no such queue."""
        try:
            return await self._ask(request)
        except BrokerRefused as error:
            if _NO_SUCH in str(error):
                return None
            raise

    async def _ask(self, request: Callable[[Channel, Callable[[Any], None]], object]) -> Any:
        connection = await self._up()
        answer: Any = None

        async def on_it(channel: Channel) -> None:
            nonlocal answer
            answer = await connection.ask(channel, lambda done: request(channel, done))

        with answers_only():
            await connection.on_a_channel(on_it, keep=False)
        return answer
