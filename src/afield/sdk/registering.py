"""Functions that ride in no submit: they are registered before, each once, whoever needs it first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from afield.errors import ComputeAPIError
from afield.sdk.functions import Function
from afield.sdk.portal import Portal
from afield.sdk.retry import Pace, persist
from afield.sdk.transport.base import Transport

__all__ = ["Registering", "may_ride"]

#: Characters of code that ride in a submit beside its payload (see coalesce.MOST_BYTES); more is registered before.
_MOST_RIDING: Final = 1_000_000


def may_ride(functions: Iterable[Function]) -> bool:
    """Whether a submit takes along those of them that the service does not have yet."""
    return sum(map(_code, functions)) <= _MOST_RIDING


class Registering:
    """Registers functions. All is called in the loop."""

    def __init__(self, portal: Portal, transport: Transport, pace: Pace) -> None:
        self._portal, self._transport, self._pace = portal, transport, pace
        self._under_way: dict[Function, asyncio.Task[None]] = {}

    async def register(self, functions: Iterable[Function]) -> dict[Function, ComputeAPIError]:
        """Give an id to each that has none; those that the service did not take, and why.

        :raises ServiceError: it cannot be reached
        """
        missing = [function for function in functions if function.id is None]
        answers = await asyncio.gather(*map(self._registered, missing), return_exceptions=True)
        refused: dict[Function, ComputeAPIError] = {}
        for function, error in zip(missing, answers, strict=True):
            if isinstance(error, ComputeAPIError):
                refused[function] = error
            elif error is not None:
                raise error  # it is not about the function
        return refused

    async def close(self) -> None:
        """Ask no more."""
        under_way = [*self._under_way.values()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _registered(self, function: Function) -> None:
        task = self._under_way.get(function)
        if task is None:
            task = self._under_way[function] = self._portal.loop.create_task(self._register(function))
            task.add_done_callback(lambda _: self._under_way.pop(function))
        await asyncio.shield(task)

    async def _register(self, function: Function) -> None:
        registration = function.registration
        assert registration is not None  # without an id there is one
        answer = await persist(lambda: self._transport.register_function(registration), self._pace)
        function.id = answer.function_uuid


def _code(function: Function) -> int:
    """Characters that would have to ride."""
    return len(function.registration.function_code) if function.id is None and function.registration else 0
