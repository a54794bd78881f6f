"""PURE: which exchanges and queues there are, and who may do what with them."""

from __future__ import annotations

from collections.abc import Iterable

from afield.broker.base import Binding, ExchangeKind, Permissions, QueueSpec
from afield.broker.embedded.queues import Queue
from afield.broker.embedded.replies import Reply
from afield.broker.embedded.routing import Exchange

__all__ = ["Refusal", "Register"]


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """The broker says no.

    :param code: in words of AMQP 0-9-1
    :param text: for people
    """

    def __init__(self, code: Reply, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


class Register:
    """All exchanges and queues of one broker.

    :ivar queues: by name; others look, and leave changes to this
    """

    def __init__(self) -> None:
        # The nameless exchange leads to every queue by its name (AMQP 0-9-1, section 2.1.2.4).
        self._exchanges: dict[str, Exchange[Queue]] = {"": Exchange("", "direct")}
        self.queues: dict[str, Queue] = {}

    def exchange(self, name: str) -> Exchange[Queue]:
        """By name.

        :raises Refusal: there is none
        """
        exchange = self._exchanges.get(name)
        if exchange is None:
            raise Refusal(Reply.NOT_FOUND, f"no exchange {name!r}")
        return exchange

    def declare_exchange(self, name: str, kind: ExchangeKind) -> None:
        """Make it exist.

        :raises Refusal: it exists, and is of another kind
        """
        exchange = self._exchanges.setdefault(name, Exchange(name, kind))
        if exchange.kind != kind:
            raise Refusal(Reply.PRECONDITION_FAILED, f"exchange {name!r} is {exchange.kind}, not {kind}")

    def declare_queue(self, spec: QueueSpec, bindings: Iterable[Binding]) -> None:
        """Make it and its bindings exist.

        :raises Refusal: a binding speaks of an exchange that does not exist; nothing was done
        """
        wanted = [(binding, self.exchange(binding.exchange)) for binding in bindings]
        queue = self.queues.get(spec.name)
        if queue is None:
            queue = self.queues[spec.name] = Queue(spec.name, confirm_on_ack=spec.confirm_on_ack)
            self._exchanges[""].bind(queue, spec.name)
            queue.bindings.add(("", spec.name))
        queue.confirm_on_ack = spec.confirm_on_ack
        for binding, exchange in wanted:
            exchange.bind(queue, binding.pattern)
            queue.bindings.add((binding.exchange, binding.pattern))

    def forget_queue(self, name: str) -> Queue | None:
        """Take a queue out of all that leads to it; what it holds, and who reads it, is for the caller to settle."""
        queue = self.queues.pop(name, None)
        if queue is not None:
            queue.deleted = True
            for exchange, pattern in queue.bindings:
                self._exchanges[exchange].unbind(queue, pattern)
        return queue

    def check(self, permissions: Permissions, *, exchange: str | None, queue: str | None) -> None:
        """Make sure that these exist, whatever their attributes.

        :raises Refusal: one does not, or may not be known
        """
        for what, name, known in (("exchange", exchange, self._exchanges), ("queue", queue, self.queues)):
            if name is None:
                continue
            if not permissions.may_inspect(name):
                raise Refusal(Reply.ACCESS_REFUSED, f"{permissions.name} has no access to {what} {name!r}")
            if name not in known:
                raise Refusal(Reply.NOT_FOUND, f"no {what} {name!r}")

    def check_publish(self, permissions: Permissions, exchange: str, routing_key: str) -> None:
        """Make sure that somebody may publish there.

        :raises Refusal: they may not
        """
        if not permissions.may_publish(exchange, routing_key):
            raise Refusal(
                Reply.ACCESS_REFUSED,
                f"{permissions.name} has no access to exchange {exchange!r} with routing key {routing_key!r}",
            )

    def readable(self, permissions: Permissions, name: str) -> Queue:
        """A queue to read from.

        :raises Refusal: there is none, or it is not theirs
        """
        if not permissions.may_consume(name):
            raise Refusal(Reply.ACCESS_REFUSED, f"{permissions.name} has no access to queue {name!r}")
        queue = self.queues.get(name)
        if queue is None:
            raise Refusal(Reply.NOT_FOUND, f"no queue {name!r}")
        return queue
