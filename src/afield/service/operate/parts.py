"""The parts of a service that can fail while its process lives, and how each is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from afield.broker.base import Connection
from afield.service.domain.names import RESULTS
from afield.service.operate.health import Part, PartFailed
from afield.service.store.base import Store

__all__ = ["broker_part", "loops_part", "store_part"]

#: Of nothing: to ask for it is the shortest question that goes all the way to the tables.
_NOWHERE = "00000000-0000-7000-8000-000000000000"


def store_part(store: Store) -> Part:
    """The store answers a question."""

    async def probe() -> None:
        await store.function(_NOWHERE)

    return Part("store", probe)


def broker_part(connection: Connection) -> Part:
    """The service's own connection is alive, and the broker knows the queue of results."""

    async def probe() -> None:
        if connection.closed.done():
            raise PartFailed("the connection is closed")
        await connection.check(queue=RESULTS)

    return Part("broker", probe)


def loops_part(ended: Callable[[], Sequence[str]]) -> Part:
    """All loops are going.

    :param ended: the names of those that are not
    """

    async def probe() -> None:
        if names := ended():
            raise PartFailed(f"not running: {', '.join(names)}")

    return Part("loops", probe)
