"""What the caller's side hands to the pump."""

from __future__ import annotations

from typing import Any, Protocol

from afield.sdk.coalesce import Lane
from afield.sdk.functions import Function
from afield.sdk.future import ComputeFuture
from afield.serialize import ComputeSerializer

__all__ = ["Call", "Canceller", "Origin"]


class Canceller(Protocol):
    """Where futures went."""

    def cancel(self, future: ComputeFuture[Any]) -> None:
        """Ask, from any thread, that its task be ended.

        :raises RuntimeError: the interpreter is ending
        """


class Origin:
    """The Executor that futures came from, as far as the pump needs it."""

    __slots__ = ("accepted", "awaited", "batch_size", "keeps", "port", "pump", "retired", "serializer")

    def __init__(self, serializer: ComputeSerializer, batch_size: int, port: int | None) -> None:
        self.serializer, self.batch_size, self.port = serializer, batch_size, port
        #: how many of its tasks the service has accepted
        self.accepted = 0
        #: whether its results are worth waiting for when the program ends
        self.awaited = True
        #: it sends no more, so streams need not stay open for it
        self.retired = False
        #: what must live as long as a result is expected: the client, whose end is the end of its connections
        self.keeps: object = None
        #: where its futures went, for those who want one cancelled; None: nothing was sent yet
        self.pump: Canceller | None = None


class Call:
    """One call on its way out."""

    __slots__ = ("function", "future", "lane", "payload")

    def __init__(self, future: ComputeFuture[Any], function: Function, lane: Lane, payload: str) -> None:
        self.future, self.function, self.lane, self.payload = future, function, lane, payload
        future.lane = lane
