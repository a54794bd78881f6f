"""SEAM inside: who runs queries on which connection, and how calls that are under way together share a commit.

A group is run in the hope that all goes well: one transaction, one call after the other, one commit; neighbours that
are of one kind (:class:`Shared`) share their statements as well. When a call fails, the transaction is rolled back and
the group is run again with a savepoint around each call, so that the one that fails is alone with its failure. When
it and a group of another service wait for each other, each call gets a transaction of its own, which holds nothing that
others wait for but its own rows. That is why the work of a call must be a function of the connection alone, fit to run
more than once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, Transaction, exc

__all__ = ["GROUP", "Call", "Outcome", "Runner", "Shared", "Work", "connection_lost", "resolve", "run_group"]

A = TypeVar("A")
T = TypeVar("T")

#: what a call does; may be called twice
Work = Callable[[Connection], T]

#: Calls in one commit at most. More of them share its cost no better, and all would wait for the last.
GROUP = 256
#: SQLSTATEs of deadlocks and serialization failures
_ENTANGLED = frozenset({"40P01", "40001"})
#: how often a call is run that other services get in the way of
_TRIES = 5


class Runner(Protocol):
    """Runs work on a database; keeps the order, the atomicity and the durability that the store promises."""

    #: transactions committed so far
    commits: int

    async def open(self, prepare: Work[None]) -> None:
        """Connect, and run ``prepare`` in a transaction before anything else.

        :raises DataDirectoryError: the database cannot be used
        """

    async def close(self) -> None:
        """Finish all calls, then let go. Closing twice is fine."""

    async def run(self, work: Work[T], *, writes: bool, ready: Future[Any] | None = None, flushed: bool = True) -> T:
        """Run it; returns when what it wrote is durable.

        A caller that is cancelled while it waits gives up the answer, not the effect.

        :param writes: False promises that it only reads
        :param ready: what must be done before, such as writing files; when it failed, so does the call
        :param flushed: False: it is enough that what it wrote survives this process. Alone, or among its like, it
            spares the disk
        """

    def block(self, function: Callable[..., T], *arguments: object) -> T:
        """Called by work: call something that blocks for a moment, such as reading a file."""


class Call(msgspec.Struct, eq=False):
    """One caller's work under way."""

    work: Work[Any]
    future: asyncio.Future[Any]
    ready: Future[Any] | None = None
    #: done when the call is over, even if its caller has left
    over: asyncio.Future[None] | None = None
    #: whether its commit must survive the machine
    flushed: bool = True


class Shared(msgspec.Struct, Generic[A, T], frozen=True):
    """Work that is done for many callers at once as well as for one.

    :param function: given the connection and what each caller wants; the answer for each, in order
    :param wanted: what this caller wants
    """

    function: Callable[[Connection, Sequence[A]], Sequence[T]]
    wanted: A

    def __call__(self, connection: Connection) -> T:
        """For this caller alone."""
        return self.function(connection, [self.wanted])[0]


class Outcome(msgspec.Struct, eq=False):
    """What became of a call."""

    value: Any = None
    error: Exception | None = None


def run_group(connection: Connection, calls: Sequence[Call], first: str | None = None) -> list[Outcome]:
    """Run calls in one transaction; each fails alone.

    :param first: a statement about the transaction; left out when it has to be run again
    :return: their outcomes, in order, when the commit is done
    :raises Exception: what the commit or the connection raised: then none of the calls had an effect that is known of
    """
    transaction = connection.begin()
    try:
        if first is not None:
            connection.exec_driver_sql(first)
        outcomes = [Outcome(value) for kind, same in groupby(calls, _kind) for value in _run(connection, kind, [*same])]
    except Exception as error:  # noqa: BLE001 - it is handed to its caller, by the second run or right here
        transaction.rollback()
        if _in_each_others_way(error):
            return [_run_alone(connection, call) for call in calls]
        if len(calls) == 1 and not connection_lost(error):
            return [Outcome(error=error)]
        return _run_apart(connection, calls)
    _commit(transaction)
    return outcomes


def _kind(call: Call) -> Any:
    """What neighbours must have in common to be run together; of other calls, something that nobody else has."""
    return call.work.function if isinstance(call.work, Shared) else call


def _run(connection: Connection, kind: Any, calls: Sequence[Call]) -> Sequence[Any]:
    if kind is calls[0]:
        return [kind.work(connection)]
    wanted = [call.work.wanted for call in calls if isinstance(call.work, Shared)]
    return list(kind(connection, wanted))


def _run_apart(connection: Connection, calls: Sequence[Call]) -> list[Outcome]:
    transaction = connection.begin()
    try:
        outcomes = [_run_one(connection, call) for call in calls]
    except Exception as error:
        transaction.rollback()
        if _in_each_others_way(error):
            return [_run_alone(connection, call) for call in calls]
        raise
    _commit(transaction)
    return outcomes


def _run_alone(connection: Connection, call: Call) -> Outcome:
    """Its outcome, in a transaction of its own."""
    for tries_left in reversed(range(_TRIES)):
        try:
            with connection.begin():
                value = call.work(connection)
            return Outcome(value)
        except Exception as error:  # noqa: BLE001 - it is handed to its caller
            if not (tries_left and _in_each_others_way(error)):
                return Outcome(error=error)
    raise AssertionError("the last try returned")


def _run_one(connection: Connection, call: Call) -> Outcome:
    """Its outcome.

    :raises Exception: the savepoint is gone, and with it the effects of the calls before it: a full disk, a lost
        connection
    """
    savepoint = connection.begin_nested()
    try:
        value = call.work(connection)
    except Exception as error:
        if connection_lost(error) or _in_each_others_way(error):
            raise
        try:
            savepoint.rollback()
        except exc.DBAPIError:
            # The reason is more worth telling than its consequence.
            raise error from None
        return Outcome(error=error)
    savepoint.commit()
    return Outcome(value)


def _commit(transaction: Transaction) -> None:
    try:
        transaction.commit()
    except Exception:
        transaction.rollback()
        raise


def connection_lost(error: Exception) -> bool:
    """Whether a statement failed because the connection is gone.

    Nothing was committed then, and SQLAlchemy connects anew with the next statement.
    """
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def _in_each_others_way(error: Exception) -> bool:
    """Whether the database broke off one of two transactions that waited for each other."""
    return isinstance(error, exc.DBAPIError) and getattr(error.orig, "sqlstate", None) in _ENTANGLED


def resolve(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> None:
    """Tell the callers; those that have gone are not told."""
    for call, outcome in zip(calls, outcomes, strict=True):
        if call.over is not None:
            call.over.set_result(None)
        if call.future.done():
            continue
        if outcome.error is None:
            call.future.set_result(outcome.value)
        else:
            call.future.set_exception(outcome.error)
